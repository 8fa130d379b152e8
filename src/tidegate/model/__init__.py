"""The values that pass between observing, deciding and acting.

Frozen dataclasses without behaviour beyond reading themselves: what was observed, what is remembered, what is
wanted, what is to be done and why; the lifecycle tables; the routing snapshot. No I/O, no clock, no decisions.
Made by adapters and policies; read by everybody.
"""
