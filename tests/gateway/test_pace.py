"""How many requests may wait."""

from __future__ import annotations

import pytest

from gateway.world import pool
from tidegate.gateway.pace import Pace, Terms, first_terms, room, terms, worth_telling
from tidegate.model.observed import PoolLoad


def pace(mean_s: float, deviation_s: float = 0.0, count: int = 1000) -> Pace:
    squares = count * (mean_s**2 + deviation_s**2)
    load = PoolLoad(0.0, 1.0, finished=count, service_s_sum=count * mean_s, service_s2_sum=squares)
    return Pace().after(load)


@pytest.mark.parametrize(
    ("slots", "known", "changes", "expected"),
    [
        (4, pace(0.05, 0.01), {"within_s": 0.5, "queue_max_wait_s": 5.0}, 28),
        (4, pace(0.05, 0.01), {"within_s": 0.5, "queue_max_wait_s": 0.1}, 6),
        (4, pace(0.05), {"within_s": 10.0, "queue_max_wait_s": 10.0, "queue_max_length_per_slot": 3}, 12),
        (4, pace(5.0), {"within_s": 1.0, "queue_max_wait_s": 1.0}, 4),
        (4, Pace(), {}, 256),
        (0, pace(0.05), {"slots_per_replica": 2}, 1024),
    ],
    ids=["promise", "longest wait", "length", "slower than the promise", "nothing measured", "no replica yet"],
)
def test_as_many_wait_as_can_be_served_in_time(slots: int, known: Pace, changes: dict[str, float], expected: int):
    assert room(pool(**changes), slots, known) == expected


def test_what_was_measured_fades():
    fast = pace(0.1)
    slow = PoolLoad(0.0, 20.0, finished=500, service_s_sum=100.0, service_s2_sum=20.0)
    assert fast.after(slow).mean_s == pytest.approx((0.5 * 1000 * 0.1 + 100) / (0.5 * 1000 + 500))
    silent = PoolLoad(0.0, 3600.0)
    assert fast.after(silent).mean_s is None
    assert fast.after(silent).deviation_s == 0.0


def test_small_changes_are_not_told():
    assert worth_telling({"a": 100, "b": 100, "c": 100}, {"a": 105, "b": 120, "c": 80, "d": 5}) == {
        "b": 120,
        "c": 80,
        "d": 5,
    }


def test_the_terms_say_when_a_slot_is_free_and_when_another_try_is_too_late():
    known = pace(0.05)
    assert terms(pool(within_s=0.5), 4, known) == Terms(room(pool(within_s=0.5), 4, known), 12_500, 450_000)
    assert terms(pool(within_s=0.01), 4, known).latest_us == 0
    assert terms(pool(within_s=0.5), 0, Pace()) == Terms(512, 0, 500_000)
    assert first_terms(pool(within_s=0.5, slots_per_replica=2)) == Terms(128, 0, 500_000)
