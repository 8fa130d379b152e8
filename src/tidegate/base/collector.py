"""How often Python looks for garbage that its reference counts do not free."""

from __future__ import annotations

import gc

# New containers before the youngest are looked through; such looks before the middle-aged are; those before all are.
THRESHOLDS = (100_000, 50, 100)


def collect_seldom() -> None:
    """Look for unreachable cycles seldom in this process, and never among what is there already.

    A decision replaces most of what is remembered, hundreds of thousands of values that reference each other in one
    direction only and are freed at once when they are replaced. Python's collector takes their number for a sign of
    garbage and looks through all of them in nearly every tick of a large fleet, in vain.
    Source: https://docs.python.org/3/library/gc.html#gc.set_threshold
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
