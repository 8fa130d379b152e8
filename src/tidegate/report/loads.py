"""What was asked and how it was answered, added up from the loads in a journal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.model.journal import Entry, Kind

PEAK_S = 300.0
"""A peak is the mean over this long: shorter ones are for the queue, not for capacity."""


@dataclass(frozen=True, slots=True)
class Interval:
    """One load entry: the numbers of `PoolLoad` that a report uses, over the `interval_s` before `at`."""

    at: float
    interval_s: float
    arrivals: int
    finished: int
    in_time: int
    failed: int
    gave_up: int
    refused: int
    service_s_sum: float
    service_s2_sum: float
    wait_s_sum: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """The sums over a window. `measured_s` is how much of it the entries cover."""

    measured_s: float = 0.0
    arrivals: int = 0
    finished: int = 0
    in_time: int = 0
    failed: int = 0
    gave_up: int = 0
    refused: int = 0
    service_s_sum: float = 0.0
    service_s2_sum: float = 0.0
    wait_s_sum: float = 0.0

    @property
    def ended(self) -> int:
        """Requests that came to an end of any kind."""
        return self.finished + self.failed + self.gave_up + self.refused

    @property
    def success(self) -> float | None:
        """Answered within the promise / ended; None when nothing ended."""
        return self.in_time / self.ended if self.ended else None

    @property
    def service_s_mean(self) -> float | None:
        return self.service_s_sum / self.finished if self.finished else None

    @property
    def service_cv(self) -> float:
        """Standard deviation of the service time / its mean; 0 when nothing was measured."""
        mean = self.service_s_mean
        if not mean:
            return 0.0
        return math.sqrt(max(0.0, self.service_s2_sum / self.finished - mean * mean)) / mean

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*(getattr(self, name) + getattr(other, name) for name in Traffic.__slots__))


def intervals(entries: Sequence[Entry], since: float, until: float) -> tuple[Interval, ...]:
    """The load entries whose interval ends within the window, oldest first; fields that are missing count as 0."""
    found = [
        Interval(entry.at, *(entry.data.get(name, 0) for name in Interval.__slots__[1:]))
        for entry in entries
        if entry.kind == Kind.LOAD and since < entry.at <= until
    ]
    return tuple(sorted(found, key=lambda interval: interval.at))


def traffic(of: Sequence[Interval]) -> Traffic:
    """The sums of intervals."""
    return Traffic(
        measured_s=math.fsum(i.interval_s for i in of),
        arrivals=sum(i.arrivals for i in of),
        finished=sum(i.finished for i in of),
        in_time=sum(i.in_time for i in of),
        failed=sum(i.failed for i in of),
        gave_up=sum(i.gave_up for i in of),
        refused=sum(i.refused for i in of),
        service_s_sum=math.fsum(i.service_s_sum for i in of),
        service_s2_sum=math.fsum(i.service_s2_sum for i in of),
        wait_s_sum=math.fsum(i.wait_s_sum for i in of),
    )


def peak_arrivals_per_s(of: Sequence[Interval]) -> float:
    """The highest mean arrival rate over `PEAK_S`; over all there is, when that is shorter."""
    best, low, arrived, covered = 0.0, 0, 0, 0.0
    for high, interval in enumerate(of):
        arrived += interval.arrivals
        covered += interval.interval_s
        while low < high and covered - of[low].interval_s >= PEAK_S:
            arrived -= of[low].arrivals
            covered -= of[low].interval_s
            low += 1
        if covered >= PEAK_S or high == len(of) - 1:
            best = max(best, arrived / max(covered, 1e-9))
    return best


def rate_points(of: Sequence[Interval], since: float) -> tuple[tuple[float, float], ...]:
    """Arrivals a second as (seconds from `since`, rate), a step per interval, nothing where nothing was measured."""
    points: list[tuple[float, float]] = []
    end = 0.0
    for interval in of:
        if interval.interval_s <= 0:
            continue
        start = max(end, interval.at - interval.interval_s - since)
        if start - end > interval.interval_s / 10:  # a gap, not a rounding error
            points += [(end, 0.0), (start, 0.0)]
        end = max(start, interval.at - since)
        rate = interval.arrivals / interval.interval_s
        points += [(start, rate), (end, rate)]
    return tuple(points)
