"""Schedules as a state: which windows are open at an instant, or will be within the start-up time.

A window belongs to the local day it begins on, and runs over midnight when `to` is not after `from`. It begins at the
first instant at which the local clock shows `from` or has jumped past it, and ends at the last instant at which it
shows `to`; so when the clocks go back it is an hour longer, and never has a hole. Of windows that overlap, the largest
minReplicas and the largest maxReplicas hold; a minimum above the maximum lifts it.

The time zone database is read by `zoneinfo`, a constant table as far as decisions are concerned: the same instant gives
the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tidegate.spec.scaling import Schedule

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Window:
    """One opening of a schedule, epoch seconds; `label` is how to name it to people."""

    start: float
    end: float
    floor: int | None
    ceiling: int | None
    label: str


class Bounds(NamedTuple):
    """`floor` and `ceiling` from the open windows (None: no window says), their labels, and when that changes next."""

    floor: int | None
    ceiling: int | None
    labels: tuple[str, ...]
    look_again_at: float | None


def bounds(schedules: tuple[Schedule, ...], at: float, lead_s: float) -> Bounds:
    """The bounds in force at `at`; a window counts from `lead_s` before it begins, so that capacity is ready then."""
    if not schedules:
        return Bounds(None, None, (), None)
    windows = list(_near(schedules, at, lead_s))
    current = [w for w in windows if w.start - lead_s <= at < w.end]
    edges = [edge for w in windows for edge in (w.start - lead_s, w.end) if edge > at]
    return Bounds(
        floor=max((w.floor for w in current if w.floor is not None), default=None),
        ceiling=max((w.ceiling for w in current if w.ceiling is not None), default=None),
        labels=tuple(w.label for w in current),
        look_again_at=min(edges, default=None),
    )


def _near(schedules: tuple[Schedule, ...], at: float, lead_s: float) -> Iterator[Window]:
    """Windows that may be open between now and the lead time, and the next ones: two days back, two ahead."""
    for schedule in schedules:
        today = datetime.fromtimestamp(at, ZoneInfo(schedule.timeZone)).date().toordinal()
        for ordinal in range(today - 2, today + 3 + int(lead_s // 86400)):
            window = _window(_key(schedule), ordinal)
            if window is not None:
                yield window


_Key = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str, str, str, int | None, int | None, str]


def _key(s: Schedule) -> _Key:
    return (s.days, s.dates, s.exclude, s.from_, s.to, s.timeZone, s.minReplicas, s.maxReplicas, s.name)


@lru_cache(maxsize=8192)
def _window(key: _Key, ordinal: int) -> Window | None:
    """The window that begins on a local day, None when it does not open on that day."""
    days, dates, excluded, from_, to, zone_name, floor, ceiling, name = key
    day = date.fromordinal(ordinal)
    if day.isoformat() in excluded:
        return None
    one_off = day.isoformat() in dates
    if not one_off and (WEEKDAYS[day.weekday()] not in days if days else bool(dates)):
        return None
    zone = ZoneInfo(zone_name)
    begin, end = _minutes(from_), _minutes(to)
    last = day if end > begin else day + timedelta(days=1)
    label = f"{name + ': ' if name else ''}{from_}-{to} {zone_name}"
    return Window(_first(day, begin, zone), _last(last, end, zone), floor, ceiling, label)


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")[:2]
    return int(hours) * 60 + int(minutes)


def _wall(day: date, minutes: int, zone: ZoneInfo, fold: int) -> float:
    naive = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)
    return naive.replace(tzinfo=zone, fold=fold).timestamp()


def _first(day: date, minutes: int, zone: ZoneInfo) -> float:
    """The first instant at which the clock shows the time, or, when it jumps over it, the instant of the jump."""
    early, late = _wall(day, minutes, zone, 1), _wall(day, minutes, zone, 0)
    if early >= late:  # an ordinary time, or one that comes twice: then fold 0 is the first
        return late
    before = _offset(early, zone)
    while late - early > 1.0:  # skipped: the clock jumps somewhere between the two readings
        middle = (early + late) // 2
        early, late = (middle, late) if _offset(middle, zone) == before else (early, middle)
    return late


def _last(day: date, minutes: int, zone: ZoneInfo) -> float:
    """The last instant at which the clock shows the time; when it is skipped, as if the clock had not jumped."""
    return max(_wall(day, minutes, zone, 0), _wall(day, minutes, zone, 1))


def _offset(at: float, zone: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()
