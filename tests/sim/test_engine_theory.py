"""Within 1% of queueing theory, by confidence intervals.

Run lengths are such that the suite takes seconds; `benchmarks/simulator` repeats it with runs long enough that the
interval itself is below 1%.
"""

from __future__ import annotations

import pytest

from sim.queues import batches, erlang_c, mdc_wait_s, mean_wait, mmc_wait_s, pollaczek_khinchine_s
from tidegate.sim.requests import ServiceTime

CELLS = [(1, 0.5), (1, 0.8), (1, 0.95), (4, 0.5), (4, 0.8), (4, 0.95), (16, 0.5), (16, 0.8), (16, 0.95)]
CELLS += [(64, 0.8), (64, 0.95)]
LOADS = [0.5, 0.8, 0.95]
REQUESTS = 1_500_000


@pytest.mark.parametrize(("slots", "load"), CELLS)
def test_exponential_service_waits_as_erlang_says(slots, load):
    waits, shares = batches(slots, load, ServiceTime(1.0, kind="exponential"), REQUESTS, seed=slots)
    assert waits.agrees_with(mmc_wait_s(slots, load), within=0.01)
    assert shares.agrees_with(erlang_c(slots, slots * load), within=0.01)


@pytest.mark.parametrize(("slots", "load"), CELLS)
def test_fixed_service_waits_as_crommelin_says(slots, load):
    waits = mean_wait(slots, load, ServiceTime(1.0, kind="fixed"), REQUESTS // 2, seed=slots + 1)
    assert waits.agrees_with(mdc_wait_s(slots, load), within=0.01)


def test_practically_nobody_waits_for_half_of_64_slots():
    waits, shares = batches(64, 0.5, ServiceTime(1.0, kind="exponential"), REQUESTS, seed=1)
    assert erlang_c(64, 32) < 1e-6
    assert shares.mean < 1e-5
    assert waits.mean < 1e-5


@pytest.mark.parametrize("cv", [0.5, 1.5])
@pytest.mark.parametrize("load", LOADS)
def test_one_slot_with_lognormal_service_waits_as_pollaczek_and_khinchine_say(cv, load):
    waits = mean_wait(1, load, ServiceTime(1.0, cv), REQUESTS, seed=3)
    assert waits.agrees_with(pollaczek_khinchine_s(load, cv), within=0.01)


def test_crommelin_gives_the_known_value_of_one_slot():
    assert mdc_wait_s(1, 0.8) == pytest.approx(pollaczek_khinchine_s(0.8, 0.0), rel=1e-6)
