"""Each baseline does what its source says it does."""

from __future__ import annotations

import pytest

from sim.pools import pool_spec, seen
from tidegate.base.errors import TidegateError
from tidegate.model.scaling import ScaleMemory
from tidegate.sim.baselines import NAMES, Case, baseline
from tidegate.sim.baselines.fixed import Planned, Static, static_peak
from tidegate.sim.baselines.hpa import CronHpa, Hpa, cron_floors
from tidegate.sim.baselines.kpa import Kpa
from tidegate.sim.baselines.rayserve import RayServe
from tidegate.sim.baselines.skyserve import SkyServe
from tidegate.sim.trace import Trace


def follow(policy, looks):
    """The answers to one look after another; replicas wanted at one look are ready at the next."""
    memory, answers = ScaleMemory(), []
    for look in looks:
        result = policy(look, memory)
        memory = result.memory
        answers.append(result.wanted)
    return answers


class TestHpa:
    def test_goes_to_the_ratio_of_use_and_target(self):
        assert follow(Hpa(), [seen(0, ready=4, demand=4.0)]) == [6]

    def test_does_nothing_within_ten_per_cent(self):
        assert follow(Hpa(), [seen(0, ready=10, demand=7.6)]) == [10]

    def test_at_most_doubles_or_adds_four_in_fifteen_seconds(self):
        hungry = [seen(t, ready=r, demand=500.0, busy=float(r)) for t, r in ((0, 2), (15, 2))]
        demand = Hpa(metric="demand")
        assert follow(demand, hungry) == [6, 12]

    def test_replicas_that_start_count_as_idle_when_going_up(self):
        assert follow(Hpa(), [seen(0, ready=4, demand=4.0, starting=2)]) == [6]
        assert follow(Hpa(), [seen(0, ready=4, demand=4.0, starting=1)]) == [6]

    def test_goes_down_to_the_highest_of_five_minutes(self):
        looks = [seen(0, ready=10, demand=7.0)] + [seen(15.0 * i, ready=10, demand=2.0) for i in range(1, 23)]
        answers = follow(Hpa(), looks)
        assert answers[:20] == [10] * 20
        assert answers[20] == 3, "the last one that wanted ten is 300 s old"

    def test_without_a_measurement_nothing_changes(self):
        first = seen(0, ready=5, demand=3.5)
        blind = type(first)(15.0, first.spec, None, 5, (), 120.0)
        assert follow(Hpa(), [first, blind]) == [5, 5]

    def test_is_asked_often_and_evaluates_every_fifteen_seconds(self):
        looks = [seen(5.0 * i, ready=4, demand=4.0, interval_s=5.0) for i in range(4)]
        assert follow(Hpa(), looks) == [6, 6, 6, 6]


class TestKpa:
    def looks(self, demands, ready=1):
        return [seen(2.0 * (i + 1), ready=ready, demand=d, interval_s=2.0) for i, d in enumerate(demands)]

    def test_goes_to_concurrency_over_seventy_per_cent(self):
        assert follow(Kpa(), self.looks([6.9] * 30, ready=8))[-1] == 10

    def test_panics_on_six_seconds_of_twice_the_pods_and_holds_for_a_minute(self):
        answers = follow(Kpa(), self.looks([0.7] * 30 + [14.0] * 3 + [0.7] * 60, ready=2))
        assert answers[29] == 1
        assert answers[32] == 20
        assert answers[32 + 28] == 20, "no scale-down while panicking"
        assert answers[-1] < 20

    def test_gives_back_at_most_half_in_one_go(self):
        assert follow(Kpa(), self.looks([0.1] * 40, ready=16))[-1] == 8


class TestRayServe:
    def test_waits_thirty_seconds_before_it_adds(self):
        answers = follow(RayServe(), [seen(5.0 * i, ready=2, demand=8.0, interval_s=5.0) for i in range(8)])
        assert answers == [2, 2, 2, 2, 2, 2, 4, 4]

    def test_waits_ten_minutes_before_it_takes_away(self):
        answers = follow(RayServe(), [seen(5.0 * i, ready=4, demand=2.0, interval_s=5.0) for i in range(122)])
        assert answers[119] == 4
        assert answers[120] == 1

    def test_aims_at_two_a_replica_or_at_seventy_per_cent_of_few_slots(self):
        assert [RayServe.for_slots(n).target_ongoing for n in (1, 2, 3, 8)] == [0.7, 1.4, 2.0, 2.0]


class TestSkyServe:
    def test_waits_five_minutes_before_it_adds_and_twenty_before_it_takes_away(self):
        up = [seen(20.0 * i, ready=2, arrivals=200, interval_s=20.0) for i in range(1, 18)]
        assert follow(SkyServe(target_qps=2.0), up)[13:16] == [2, 2, 5]
        down = [seen(20.0 * i, ready=5, arrivals=20, interval_s=20.0) for i in range(1, 62)]
        assert follow(SkyServe(target_qps=2.0), down)[58:61] == [5, 1, 1]


def test_static_peak_keeps_the_highest_five_minutes_at_seventy_per_cent():
    trace = Trace("t", 60.0, (1.0,) * 10 + (7.0,) * 5 + (1.0,) * 5)
    assert static_peak(trace, mean_service_s=1.0, slots=2) == Static(5)
    between = Trace("t", 60.0, (1.0,) * 8 + (7.0,) * 5 + (1.0,) * 8)
    assert static_peak(between, mean_service_s=1.0, slots=2) == Static(5), "wherever the five minutes begin"
    assert static_peak(Trace("t", 60.0, (7.0,) * 2), mean_service_s=1.0, slots=2) == Static(5), "all there is"


def test_cron_floors_are_the_peaks_of_each_hour():
    trace = Trace("t", 3600.0, tuple(float(h % 24) for h in range(24 * 7)), start=1_704_067_200.0)
    floors = cron_floors(trace, 1.0, 1, share=1.0)
    assert floors[:24] == (1, *range(1, 24))
    assert CronHpa(floors)(seen(1_704_067_200.0 + 5 * 3600, ready=1), ScaleMemory()).wanted == 5


def test_a_plan_is_followed():
    plan = Planned((0.0, 60.0), (3, 7))
    assert follow(plan, [seen(t, ready=1) for t in (0, 59, 60, 600)]) == [3, 3, 7, 7]


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_keeps_within_the_bounds(name):
    trace = Trace("t", 60.0, (5.0,) * 60, start=0.0)
    policy = baseline(name, Case(trace, trace, 1.0, 1))
    spec = pool_spec(least=2, most=4)
    looks = [
        seen(60.0 * i, ready=3, demand=d, arrivals=60, interval_s=60.0, spec=spec) for i in range(60) for d in (i,)
    ]
    assert set(follow(policy, looks)) <= {2, 3, 4}


def test_an_unknown_baseline_is_refused_by_name():
    trace = Trace("t", 60.0, (1.0,))
    with pytest.raises(TidegateError, match="no baseline 'vpa'"):
        baseline("vpa", Case(trace, trace, 1.0, 1))
    assert baseline("static:7", Case(trace, trace, 1.0, 1)) == Static(7)
