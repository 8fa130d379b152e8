"""The formulas of staffing held against simulated requests: small and large pools, with and without patience."""

from __future__ import annotations

import math

import pytest

from tidegate.policy.impatience import gives_up
from tidegate.policy.staffing import staff
from tidegate.sim.engine import IntervalStats, Pool
from tidegate.sim.requests import Requests, ServiceTime

REQUESTS = 400_000


def simulated(slots: int, offered: float, service: ServiceTime, within_s: float, wait_s: float) -> IntervalStats:
    """400 000 requests at a steady rate, of which the first tenth does not count; nobody waits longer than `wait_s`."""
    rate = offered / service.mean_s
    pool = Pool(within_s=within_s, max_wait_s=wait_s)
    for number in range(slots):
        pool.add(f"r{number}")
    source = Requests([(0.0, rate), (REQUESTS / rate, rate)], service, seed=slots)
    pool.advance(0.1 * REQUESTS / rate, source)
    pool.measure()
    pool.advance(REQUESTS / rate, source)
    return pool.measure()


@pytest.mark.parametrize(("slots", "cv"), [(1, 0.5), (4, 0.5), (4, 1.0), (32, 0.5), (64, 1.0), (16, 1.5), (256, 0.5)])
def test_the_staffed_pool_keeps_its_promise_and_is_hardly_too_large(slots: int, cv: float):
    """99% within 3.5 or 8 service times; two slots less break it (of 256: leave fewer than are busy, or nearly)."""
    service, within_s = ServiceTime(1.0, cv), 3.5 if cv < 1 else 8.0
    offered = 0.5 if slots == 1 else slots - 1.2 * math.sqrt(slots)
    need = staff(offered, 1.0, cv, within_s, 0.99)
    assert need.kept
    assert late(need.slots, offered, service, within_s) <= 0.0115
    if slots <= 64 and need.slots - 2 > offered:
        assert late(need.slots - 2, offered, service, within_s) > 0.01


def late(slots: int, offered: float, service: ServiceTime, within_s: float) -> float:
    stats = simulated(slots, offered, service, within_s, math.inf)
    return 1.0 - stats.in_time / stats.finished


@pytest.mark.parametrize(("slots", "load"), [(1, 0.8), (4, 1.0), (32, 0.9), (32, 1.1), (256, 1.05), (1000, 1.2)])
def test_as_many_wait_in_vain_as_the_formula_says(slots: int, load: float):
    service = ServiceTime(1.0, kind="exponential")
    stats = simulated(slots, slots * load, service, math.inf, 5.0)
    assert stats.refused / stats.arrivals == pytest.approx(gives_up(slots, slots * load, 1.0, 5.0), abs=0.004)
