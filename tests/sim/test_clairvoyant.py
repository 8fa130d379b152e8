"""The bound: ordered ahead, as few as keep the promise."""

from __future__ import annotations

import pytest

from sim.pools import pool_spec
from tidegate.sim.clairvoyant import bound, plan_for
from tidegate.sim.rates import mean_rates
from tidegate.sim.requests import Requests, ServiceTime
from tidegate.sim.single import Play
from tidegate.sim.trace import Trace

STEP = Trace("step", 30.0, (2.0,) * 40 + (8.0,) * 40 + (2.0,) * 40)


def test_orders_go_out_a_start_up_time_ahead_and_come_back_when_the_load_goes():
    plan = plan_for(STEP, 1.0, pool_spec(), startup_s=120.0, margin=1.0)
    assert plan.counts == (3, 9, 3)
    assert plan.times[1] == pytest.approx(1200 - 120, abs=30)
    assert plan.times[2] == pytest.approx(2400)


def test_a_valley_shorter_than_a_start_is_kept_through():
    trace = Trace("valley", 30.0, (8.0,) * 20 + (2.0,) * 3 + (8.0,) * 20)
    assert plan_for(trace, 1.0, pool_spec(), startup_s=120.0, margin=0.0).counts == (8,)
    assert plan_for(trace, 1.0, pool_spec(), startup_s=20.0, margin=0.0).counts == (8, 2, 8)


def test_the_bound_keeps_the_promise_at_high_use():
    work = ServiceTime(1.0, 0.5)
    how = Play(until_s=STEP.length_s, startup_s=120.0, patience_s=5.0, initial=4)
    found = bound(pool_spec(), STEP, 1.0, lambda: Requests(STEP.points(), work, 1), how)
    assert found.reached
    assert found.outcome.success >= 0.9995
    assert 0.6 < found.outcome.utilization < 0.95


def test_a_plan_that_may_spend_less_of_the_allowance_loses_less():
    work = ServiceTime(1.0, 0.5)
    how = Play(until_s=STEP.length_s, startup_s=120.0, startup_cv=0.3, patience_s=5.0, initial=4)
    found = bound(pool_spec(), STEP, 1.0, lambda: Requests(STEP.points(), work, 1), how, spent=0.5)
    assert found.reached
    assert found.outcome.success >= 0.99975


def test_an_impossible_promise_is_not_called_reached():
    how = Play(until_s=600.0, startup_s=60.0)
    trace = Trace("flat", 60.0, (1.0,) * 10)
    slow = bound(pool_spec(within_s=0.5), trace, 2.0, lambda: Requests(trace.points(), ServiceTime(2.0, 0.1), 1), how)
    assert not slow.reached


def test_mean_rates_keep_the_number_of_requests():
    trace = Trace("t", 60.0, (1.0, 5.0, 2.0, 0.0, 7.0))
    rates = mean_rates(trace.points(), 7.0, trace.length_s)
    exact = sum((b - a) * (p + q) / 2 for (a, p), (b, q) in zip(trace.points(), trace.points()[1:], strict=False))
    assert sum(rates) * 7.0 == pytest.approx(exact)
