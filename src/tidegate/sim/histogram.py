"""A histogram of times with bins 4.4% wide, and its quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.sim import kernel


def edge_s(index: int) -> float:
    """The upper edge of bin `index` in seconds."""
    return 0.0 if index == 0 else kernel.FIRST_EDGE_S * math.exp((index - 1) / kernel.PER_LOG)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per bin; bin 0 holds exact zeros."""

    counts: tuple[int, ...]

    @staticmethod
    def of(counts: Sequence[int]) -> Histogram:
        return Histogram(tuple(int(n) for n in counts))

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    @property
    def total(self) -> int:
        return sum(self.counts)

    def quantile_s(self, share: float) -> float:
        """The time that `share` of the requests did not exceed, interpolated within its bin; 0 when empty."""
        rank = share * self.total
        below = 0
        for index, count in enumerate(self.counts):
            if count and below + count >= rank:
                low = edge_s(index - 1) if index else 0.0
                return low + (edge_s(index) - low) * max(0.0, rank - below) / count
            below += count
        return 0.0

    def share_above(self, seconds: float) -> float:
        """The share of requests that took longer than `seconds` (to the bin)."""
        if not self.total:
            return 0.0
        return sum(self.counts[kernel.bin_of(seconds) + 1 :]) / self.total
