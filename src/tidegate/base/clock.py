"""The only place that reads the machine's clocks.

Policy never sees a clock: it gets `observed.at`. Adapters and the control loop get a `Clock` when they are put
together, so that tests and the simulator can give them another one.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings: one that people understand and one that never jumps."""

    def wall(self) -> float:
        """Seconds since the Unix epoch (may jump when the machine's clock is set)."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes backwards (deadlines, durations)."""


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told; both readings move together.

    >>> clock = ManualClock(at=100.0)
    >>> clock.advance(2.5)
    >>> clock.wall()
    102.5
    """

    def __init__(self, at: float = 0.0) -> None:
        self._at = at

    def wall(self) -> float:
        return self._at

    def monotonic(self) -> float:
        return self._at

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds` (>= 0)."""
        if seconds < 0:
            raise ValueError(f"a clock cannot be advanced by {seconds} s")
        self._at += seconds
