"""When to look next. Pure; seconds."""

from __future__ import annotations

import hashlib

# A replica that starts is looked at this often: half of the 100 ms within which readiness is to be noticed.
EARLY_S = 0.05
EARLY_MAX_S = 0.25  # after long: 10 ms more per second of waiting, a model that loads for minutes is not asked 20x/s
EARLY_LOOKS_PER_S = 500.0  # all starting replicas together; a look costs about 0.3 ms of CPU, so 15% of a core
EARLY_PROCESS_S = 1.0  # checks that start a process


def early_pause_s(waited_s: float, starting: int, *, process: bool) -> float:
    """Pause between two looks at a replica that has been starting for `waited_s`, one of `starting`.

    >>> [early_pause_s(waited_s, n, process=False) for waited_s, n in ((1.0, 1), (1.0, 100), (60.0, 1))]
    [0.05, 0.2, 0.25]
    """
    if process:
        return EARLY_PROCESS_S
    return max(min(max(EARLY_S, 0.01 * waited_s), EARLY_MAX_S), starting / EARLY_LOOKS_PER_S)


def phase(replica: str, probe: str) -> float:
    """Where in the period a replica's turn is, 0 to 1: always the same for one replica, spread evenly over many."""
    digest = hashlib.blake2b(f"{replica}/{probe}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) / 2**32


def next_turn_s(at: float, period_s: float, at_phase: float) -> float:
    """Seconds from `at` to the next turn; turns lie on a grid of `period_s`, moved by `at_phase`.

    >>> next_turn_s(103.0, 10.0, 0.5), next_turn_s(105.0, 10.0, 0.5)
    (2.0, 10.0)
    """
    left_s = period_s - (at - at_phase * period_s) % period_s
    return left_s if left_s > 0 else period_s
