"""How many requests may wait."""

from __future__ import annotations

import pytest

from gateway.world import pool
from tidegate.gateway.pace import Pace, Terms, first_terms, quantile_s, room, terms, worth_telling
from tidegate.model.observed import PoolLoad


def pace(mean_s: float, deviation_s: float = 0.0, count: int = 1000) -> Pace:
    squares = count * (mean_s**2 + deviation_s**2)
    load = PoolLoad(0.0, 1.0, finished=count, service_s_sum=count * mean_s, service_s2_sum=squares)
    return Pace().after(load)


RUSH = PoolLoad(0.0, 1e-6, arrivals=100, refused=2)


@pytest.mark.parametrize(
    ("slots", "known", "changes", "expected"),
    [
        (4, pace(0.05, 0.01), {"within_s": 0.5, "queue_max_wait_s": 5.0}, 32),
        (4, pace(0.05, 0.01).after(RUSH), {"within_s": 0.5, "queue_max_wait_s": 5.0}, 28),
        (4, pace(0.05, 0.01).after(RUSH), {"within_s": 0.5, "queue_max_wait_s": 0.1}, 6),
        (4, pace(0.05), {"within_s": 10.0, "queue_max_wait_s": 10.0, "queue_max_length_per_slot": 3}, 12),
        (4, pace(5.0), {"within_s": 1.0, "queue_max_wait_s": 1.0}, 4),
        (4, Pace(), {}, 256),
        (0, pace(0.05), {"slots_per_replica": 2}, 1024),
    ],
    ids=[
        "promise",
        "when some are refused",
        "longest wait",
        "length",
        "slower than the promise",
        "nothing measured",
        "no replica yet",
    ],
)
def test_as_many_wait_as_can_be_served_in_time(slots: int, known: Pace, changes: dict[str, float], expected: int):
    assert room(pool(**changes), slots, known) == expected


def test_what_was_measured_fades():
    fast = pace(0.1)
    slow = PoolLoad(0.0, 20.0, finished=500, service_s_sum=100.0, service_s2_sum=20.0)
    assert fast.after(slow).minute.mean_s == pytest.approx((0.5 * 1000 * 0.1 + 100) / (0.5 * 1000 + 500))
    silent = PoolLoad(0.0, 3600.0)
    assert fast.after(silent).service.mean_s is None
    assert fast.after(silent).service.deviation_s == 0.0


def test_a_service_that_became_slower_is_known_after_seconds_one_that_became_faster_later():
    def answers(count: int, mean_s: float) -> PoolLoad:
        return PoolLoad(0.0, 2.0, finished=count, service_s_sum=count * mean_s, service_s2_sum=count * mean_s**2)

    slower = pace(0.1, count=1000).after(answers(100, 0.3))
    assert slower.service.mean_s == pytest.approx((500 * 0.1 + 100 * 0.3) / 600)
    assert pace(0.3, count=1000).after(answers(100, 0.1)).service.mean_s > 0.28


def test_seconds_that_are_slower_by_chance_change_nothing():
    def seconds(mean_s: float) -> PoolLoad:
        return PoolLoad(0.0, 2.0, finished=100, service_s_sum=100 * mean_s, service_s2_sum=100 * (mean_s**2 + 0.05**2))

    known = pace(0.1, 0.05, count=2000)
    usual = known.after(seconds(0.105))
    assert usual.service == usual.minute, "0.105 s is one standard error above 0.1 s"
    slower = known.after(seconds(0.2))
    assert slower.service == slower.seconds


def test_a_slow_service_is_known_by_more_than_its_last_few_answers():
    def after(mean_s: float, refused: int = 0) -> Pace:
        known = pace(30.0, 20.0, count=100)
        squares = 3 * mean_s**2
        load = PoolLoad(0.0, 10.0, 3, finished=3, refused=refused, service_s_sum=3 * mean_s, service_s2_sum=squares)
        return known.after(load).after(PoolLoad(10.0, 10.0, 3)).after(PoolLoad(20.0, 10.0, 3))

    assert after(60.0).service.mean_s == pytest.approx(31, abs=0.5)
    assert not after(30.0, refused=1).overloaded, "one of nine requests in half a minute is no overload"


@pytest.mark.parametrize(
    ("mean_s", "deviation_s", "share", "expected"), [(1, 1, 0.9995, 7.8), (2, 0, 0.99, 2), (1, 0.5, 0.99, 2.5)]
)
def test_the_slowest_of_many_service_times(mean_s: float, deviation_s: float, share: float, expected: float):
    assert quantile_s(mean_s, deviation_s, share) == pytest.approx(expected, rel=0.02)


def test_in_an_overload_only_as_many_wait_as_can_all_be_in_time():
    calm, full = PoolLoad(0.0, 1.0, arrivals=100, refused=5), PoolLoad(0.0, 1.0, arrivals=100, refused=50)
    wide = room(pool(within_s=1.0), 16, pace(0.1, 0.1).after(calm))
    tight = room(pool(within_s=1.0), 16, pace(0.1, 0.1).after(full))
    assert (wide, tight) == (82, 21)


def test_who_is_refused_is_told_later_the_more_ask():
    full = PoolLoad(0.0, 1.0, arrivals=300, refused=200)
    assert terms(pool(), 4, pace(0.05).after(full)).turn_us == 3 * 12_500
    assert Pace().after(PoolLoad(0.0, 1.0, arrivals=10, refused=10)).pressure == 100


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


def looks(known: Pace, *finished: int, queued: int = 5, interval_s: float = 0.5, mean_s: float = 0.1) -> Pace:
    """`known` after looks at 16 busy slots at which so many ended, each as short as before."""
    for count in finished:
        times = {"service_s_sum": count * mean_s, "service_s2_sum": count * mean_s**2}
        load = PoolLoad(0.0, interval_s, finished=count, in_flight=16, queued=queued, **times)
        known = known.after(load)
    return known


def test_a_slower_service_shows_in_how_few_end_before_its_answers_are_there():
    known = looks(pace(0.1, 0.1), 80, 80)
    assert known.service.mean_s == pytest.approx(0.1, rel=0.05)
    slower = looks(known, 27)
    assert slower.service.mean_s == pytest.approx(0.3, rel=0.05)
    assert slower.service.deviation_s == pytest.approx(3 * slower.minute.deviation_s, rel=0.1)
    assert looks(slower, *[80] * 6).service.mean_s == pytest.approx(0.1, rel=0.1), "as many end again"


def test_fewer_by_chance_or_with_nobody_waiting_change_nothing():
    known = looks(pace(0.1, 0.1), 80, 80)
    assert looks(known, 65).service.mean_s == pytest.approx(0.1, rel=0.05)
    assert looks(known, 27, queued=0).service.mean_s == pytest.approx(0.1, rel=0.05)


def test_answers_that_come_in_step_do_not_look_slow():
    known = pace(1.0)
    for _ in range(5):
        known = looks(known, 0, mean_s=1.0)
        assert known.service.mean_s == pytest.approx(1.0)
        known = looks(known, 16, mean_s=1.0)
        assert known.service.mean_s == pytest.approx(1.0)


def test_of_a_service_too_slow_for_its_promise_only_few_wait():
    full = PoolLoad(0.0, 1.0, arrivals=240, refused=140)
    assert room(pool(within_s=1.0), 16, pace(0.3, 0.3).after(full)) == 3
    assert room(pool(within_s=1.0), 16, pace(0.3, 0.3)) > 16, "while nobody is refused it is a rush"
