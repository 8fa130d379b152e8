"""Windows: days, midnight, time zones, clocks that jump, exclusions, one-offs, overlaps."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tidegate.policy.schedule import bounds
from tidegate.spec.scaling import Schedule

BERLIN = "Europe/Berlin"


def window(from_: str, to: str, low: int = 5, zone: str = BERLIN, **fields: object) -> Schedule:
    return Schedule.model_validate({"from": from_, "to": to, "timeZone": zone, "minReplicas": low, **fields})


def at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def floor(schedule: Schedule | tuple[Schedule, ...], when: float, lead_s: float = 0.0) -> int | None:
    return bounds(schedule if isinstance(schedule, tuple) else (schedule,), when, lead_s).floor


EVENING = window("19:30", "23:00", days=("fri", "sat"))


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-03-06T19:29:59", None),
        ("2026-03-06T19:30", 5),
        ("2026-03-06T22:59:59", 5),
        ("2026-03-06T23:00", None),
        ("2026-03-05T20:00", None),
    ],
    ids=["before", "at from", "last second", "at to", "another day"],
)
def test_a_window_is_a_state(when: str, expected: int | None):
    assert floor(EVENING, at(when)) == expected


def test_capacity_is_ordered_a_start_up_time_earlier():
    assert floor(EVENING, at("2026-03-06T19:28"), lead_s=120) == 5
    assert floor(EVENING, at("2026-03-06T19:27:59"), lead_s=120) is None
    assert bounds((EVENING,), at("2026-03-06T12:00"), 120).look_again_at == at("2026-03-06T19:28")


def test_a_window_over_midnight_belongs_to_the_day_it_begins():
    night = window("22:00", "04:00", days=("sat",))
    assert floor(night, at("2026-03-08T03:59")) == 5
    assert floor(night, at("2026-03-07T03:59")) is None


def test_the_same_wall_time_in_summer_and_winter():
    daily = window("09:00", "10:00")
    assert floor(daily, at("2026-01-15T09:30")) == floor(daily, at("2026-07-15T09:30")) == 5
    assert floor(daily, at("2026-07-15T08:30")) is None


def test_a_start_that_the_clock_jumps_over_is_the_jump():
    early = window("02:30", "05:00")  # 2026-03-29 has no 02:30 in Berlin
    assert floor(early, at("2026-03-29T01:59:59")) is None
    assert floor(early, at("2026-03-29T03:00")) == 5


def test_an_hour_that_comes_twice_is_covered_without_a_hole():
    early = window("02:15", "02:45")  # 2026-10-25: twice
    start, end = at("2026-10-25T02:15", fold=0), at("2026-10-25T02:45", fold=1)
    assert all(floor(early, start + s) == 5 for s in range(0, int(end - start), 60))
    assert floor(early, end) is None


def test_excluded_and_one_off_dates():
    gala = window("18:00", "20:00", dates=("2026-05-01",))
    assert floor(gala, at("2026-05-01T19:00")) == 5
    assert floor(gala, at("2026-05-02T19:00")) is None
    shut = window("18:00", "20:00", days=("fri",), **{"except": ("2026-05-01",)})
    assert floor(shut, at("2026-05-01T19:00")) is None
    assert floor(shut, at("2026-05-08T19:00")) == 5


def test_of_overlapping_windows_the_largest_bounds_hold():
    both = (window("10:00", "14:00", 3, maxReplicas=6), window("12:00", "16:00", 8, maxReplicas=20))
    got = bounds(both, at("2026-03-06T13:00"), 0)
    assert (got.floor, got.ceiling) == (8, 20)
