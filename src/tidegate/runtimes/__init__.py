"""Where replicas run: local processes, static hosts, Kubernetes, and a fake with failure switches for tests.

A runtime reports what it sees and does one thing when told. It does not retry for policy reasons, count, choose or
judge health; it imports neither policy nor another adapter. Called by `control` only.
"""
