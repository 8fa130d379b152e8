"""Times counted in bins: a distribution in a few numbers, which can be added up and compared.

Bins are a 24th of a doubling wide (2.9%), from a millisecond on, so a quantile read from them is at most 3% too high.
 `Times` are (bin, count) pairs in rising order; bins without a count are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

Times = tuple[tuple[int, int], ...]

PER_DOUBLING = 24
FIRST_S = 0.001  # bin 0 holds everything below


def bin_of(seconds: float) -> int:
    """The bin of a time.

    >>> bin_of(0.0004), bin_of(0.001), bin_of(0.002)
    (0, 1, 25)
    """
    return 0 if seconds < FIRST_S else 1 + math.floor(PER_DOUBLING * math.log2(seconds / FIRST_S) + 1e-9)


def edge_s(index: int) -> float:
    """Where bin `index` ends, seconds; the next one begins there.

    >>> [round(edge_s(i), 6) for i in (0, 24, 48)]
    [0.001, 0.002, 0.004]
    """
    return float(FIRST_S * 2.0 ** (index / PER_DOUBLING))


def times_of(counts: Mapping[int, int]) -> Times:
    """The pairs of a mapping."""
    return tuple(sorted(counts.items()))


def added(parts: Iterable[Times]) -> Times:
    """Several distributions as one."""
    counts: dict[int, int] = {}
    for part in parts:
        for index, count in part:
            counts[index] = counts.get(index, 0) + count
    return times_of(counts)


def quantile_s(times: Times, share: float) -> float:
    """The end of the bin below which `share` of the times lie; 0 when there are none."""
    left = share * sum(count for _, count in times)
    for index, count in times:
        left -= count
        if left <= 1e-9:
            return edge_s(index)
    return 0.0


def longer(times: Times, seconds: float) -> int:
    """How many lie in bins that begin at `seconds` or later."""
    return sum(count for index, count in times if index and edge_s(index - 1) >= seconds * (1 - 1e-9))
