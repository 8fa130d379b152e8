"""Propose schedule windows from what a service was asked: the hours of the week that regularly need more.

A half hour of the week is high when at least three of four of its occurrences needed half as much again as the
median half hour; neighbouring high ones make a window, and days with the same window share it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from zoneinfo import ZoneInfo

from tidegate.policy.schedule import WEEKDAYS

HALF_HOUR_S = 1800
HALF_HOURS = 48
HIGH = 1.5
REGULAR = 0.25  # the share of occurrences that may have needed less
ENOUGH_DAYS = 7


@dataclass(frozen=True, slots=True)
class Proposal:
    """A window to put under `scaling.schedules`; `from_` and `to` are local times, `replicas` its minReplicas."""

    days: tuple[str, ...]
    from_: str
    to: str
    replicas: int


def suggest(busy: Iterable[tuple[float, float]], zone: str, slots_per_replica: float) -> tuple[Proposal, ...]:
    """Windows for a series of (epoch second, busy slots); none when it covers less than a week.

    `slots_per_replica` is how many busy slots one replica is meant to carry.
    """
    peaks = _peaks(busy, ZoneInfo(zone))
    if len({day for day, _ in peaks}) < ENOUGH_DAYS:
        return ()
    usual = median(peaks.values())
    by_place: dict[tuple[int, int], list[float]] = {}
    for (day, half), value in peaks.items():
        by_place.setdefault(((day - 1) % 7, half), []).append(value)
    need = {place: _lower_quartile(values) for place, values in by_place.items()}
    windows: dict[tuple[int, int, int], list[int]] = {}
    for weekday in range(7):
        high = [need.get((weekday, half), 0.0) for half in range(HALF_HOURS)]
        for first, last in _runs([value >= HIGH * usual and value > 0 for value in high]):
            replicas = math.ceil(max(high[first:last]) / slots_per_replica)
            windows.setdefault((first, last, replicas), []).append(weekday)
    return tuple(
        Proposal(tuple(WEEKDAYS[d] for d in days), _clock(first), _clock(last % HALF_HOURS), replicas)
        for (first, last, replicas), days in sorted(windows.items(), key=lambda item: (item[1], item[0]))
    )


def _peaks(busy: Iterable[tuple[float, float]], zone: ZoneInfo) -> dict[tuple[int, int], float]:
    """The highest load of each local half hour, by (ordinal of the day, half hour); ordinal 1 is a Monday."""
    peaks: dict[tuple[int, int], float] = {}
    for at, value in busy:
        wall = datetime.fromtimestamp(at, zone)
        place = (wall.toordinal(), wall.hour * 2 + wall.minute // 30)
        peaks[place] = max(peaks.get(place, 0.0), value)
    return peaks


def _lower_quartile(values: Sequence[float]) -> float:
    return sorted(values)[math.floor(REGULAR * len(values))]


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """[first, last) of each stretch of True."""
    runs, first = [], None
    for i, flag in enumerate((*flags, False)):
        if flag and first is None:
            first = i
        elif not flag and first is not None:
            runs.append((first, i))
            first = None
    return runs


def _clock(half: int) -> str:
    return f"{half // 2:02d}:{half % 2 * 30:02d}"
