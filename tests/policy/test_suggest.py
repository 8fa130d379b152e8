"""Windows proposed from a series of loads."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from tidegate.policy.suggest import suggest

ZONE = "Asia/Shanghai"
MONDAY = datetime(2026, 3, 2, tzinfo=ZoneInfo(ZONE)).timestamp()


def series(days: int, high: float = 10.0) -> list[tuple[float, float]]:
    """2 busy slots, on Friday and Saturday evenings from 19:30 to 23:00 `high` of them."""

    def load(at: float) -> float:
        wall = datetime.fromtimestamp(at, ZoneInfo(ZONE))
        return high if wall.weekday() in (4, 5) and (19, 30) <= (wall.hour, wall.minute) < (23, 0) else 2.0

    return [(MONDAY + i * 600, load(MONDAY + i * 600)) for i in range(days * 144)]


def test_an_evening_peak_becomes_a_window():
    (window,) = suggest(series(21), ZONE, slots_per_replica=1.6)
    assert (window.days, window.from_, window.to, window.replicas) == (("fri", "sat"), "19:30", "23:00", 7)


def test_even_traffic_needs_no_window():
    assert suggest(series(21, high=2.0), ZONE, 1.6) == ()


def test_less_than_a_week_says_nothing():
    assert suggest(series(5), ZONE, 1.6) == ()


def test_what_happened_once_is_no_rule():
    once = [(at, 10.0 if i < 100 else 2.0) for i, (at, _) in enumerate(series(28, high=2.0))]
    assert suggest(once, ZONE, 1.6) == ()
