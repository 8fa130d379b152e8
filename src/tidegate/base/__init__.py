"""What every other package may lean on: units, the clock, seeded random streams, errors.

Knows nothing about serving: no service, no replica, no proxy is named here. Nothing in this package imports
another package of the project. Called by everybody.
"""
