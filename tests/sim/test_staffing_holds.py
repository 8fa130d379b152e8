"""The formulas of staffing held against simulated requests: small and large pools, with and without patience."""

from __future__ import annotations

import math

import pytest

from tidegate.policy.impatience import gives_up
from tidegate.policy.staffing import staff
from tidegate.sim.engine import Pool
from tidegate.sim.requests import Requests, ServiceTime

REQUESTS = 400_000


def simulated(slots: int, offered: float, service: ServiceTime, within_s: float, patience_s: float = math.inf) -> Pool:
    """A pool after 400 000 requests at a steady rate, the first tenth forgotten."""
    rate = offered / service.mean_s
    pool = Pool(slots=slots, within_s=within_s, patience_s=patience_s)
    pool.add("r1")
    source = Requests([(0.0, rate), (REQUESTS / rate, rate)], service, seed=slots)
    pool.advance(0.1 * REQUESTS / rate, source)
    pool.measure()
    pool.advance(REQUESTS / rate, source)
    return pool


@pytest.mark.parametrize(
    ("slots", "cv"), [(1, 0.5), (4, 0.5), (32, 0.5), (256, 0.5), (1000, 0.5), (16, 1.0), (64, 1.5)]
)
def test_the_staffed_pool_keeps_its_promise_and_is_hardly_too_large(slots: int, cv: float):
    """99% within three service times; three slots or a twentieth less would break it."""
    service, within_s = ServiceTime(1.0, cv), 4.0 if cv <= 1.0 else 8.0
    offered = 0.5 if slots == 1 else slots - 1.5 * math.sqrt(slots) * 0.8
    need = staff(offered, 1.0, cv, within_s, 0.99)
    assert need.kept
    assert late(simulated(need.slots, offered, service, within_s)) <= 0.0115
    fewer = need.slots - max(1, need.slots // 20)
    if fewer > 0:
        assert fewer <= offered or late(simulated(fewer, offered, service, within_s)) > 0.01


def late(pool: Pool) -> float:
    stats = pool.measure()
    return 1.0 - stats.in_time / stats.finished


@pytest.mark.parametrize(("slots", "load"), [(4, 1.0), (32, 1.1), (256, 1.05), (1000, 1.2)])
def test_as_many_give_up_as_erlang_a_says_where_more_come_than_can_be_served(slots: int, load: float):
    """Clients of the simulator have patience of a fixed length; in an overload the mean is what counts."""
    stats = simulated(slots, slots * load, ServiceTime(1.0, kind="exponential"), 1e9, patience_s=5.0).measure()
    share = stats.gave_up / stats.arrivals
    assert share <= gives_up(slots, slots * load, 1.0, 5.0) + 0.004
    assert share >= 1.0 - 1.0 / load - 0.004
