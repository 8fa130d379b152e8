"""The small harness: start-up times, drains, costs and success."""

from __future__ import annotations

import pytest

from sim.pools import pool_spec
from tidegate.model.observed import PoolLoad
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.sim.baselines.fixed import Planned, Static
from tidegate.sim.baselines.hpa import Hpa
from tidegate.sim.requests import Requests, ServiceTime
from tidegate.sim.single import Play, play


def steady(rate: float, until: float, mean_s: float = 1.0, seed: int = 1) -> Requests:
    return Requests([(0.0, rate), (until, rate)], ServiceTime(mean_s, 0.5), seed)


def test_a_fixed_number_costs_its_time():
    out = play(pool_spec(), steady(2.0, 3600), Static(4), Play(until_s=3600, initial=4))
    assert out.replica_hours == pytest.approx(4.0)
    assert out.utilization == pytest.approx(0.5, rel=0.05)
    assert out.starts == out.stops == 0
    assert out.arrivals == pytest.approx(7200, rel=0.05)


def test_replicas_serve_a_start_up_time_after_they_were_ordered():
    plan = Planned((0.0, 100.0), (1, 3))
    out = play(pool_spec(), steady(0.5, 600), plan, Play(until_s=600, startup_s=60.0, tick_s=5.0))
    ready = {p.at: p.ready for p in out.points}
    assert (ready[100.0], ready[155.0], ready[165.0]) == (1, 1, 3)
    assert out.starts == 2
    assert out.replica_s == pytest.approx(600 + 2 * 500)


def test_those_that_start_are_given_back_first_and_their_time_is_paid():
    plan = Planned((0.0, 100.0, 130.0), (2, 5, 2))
    out = play(pool_spec(), steady(0.1, 300), plan, Play(until_s=300, startup_s=60.0, initial=2))
    assert out.replica_s == pytest.approx(2 * 300 + 3 * 30)
    assert all(p.ready == 2 for p in out.points)


def test_a_drained_replica_is_paid_until_its_request_ends():
    plan = Planned((0.0, 10.0), (1, 0))
    source = Requests.of([9.0], [20.0])
    out = play(pool_spec(least=0, within_s=60.0), source, plan, Play(until_s=60))
    assert out.replica_s == pytest.approx(29.0)
    assert (out.in_time, out.finished) == (1, 1)


def test_what_lies_before_the_measured_part_does_not_count():
    whole = play(pool_spec(), steady(2.0, 1200), Static(4), Play(until_s=1200, initial=4))
    part = play(pool_spec(), steady(2.0, 1200), Static(4), Play(until_s=1200, initial=4, measure_from_s=600))
    assert part.replica_s == pytest.approx(2400)
    assert part.arrivals < whole.arrivals * 0.6


def test_clients_that_give_up_are_no_success():
    out = play(pool_spec(within_s=2.0), steady(3.0, 600), Static(2), Play(until_s=600, initial=2, patience_s=2.0))
    assert out.success < 0.8
    assert out.gave_up > 0
    assert out.broken_s > 300


def test_in_an_overload_the_gateway_refuses_some_where_a_plain_queue_makes_all_late():
    def run(plain: bool):
        source = Requests([(0.0, 3.0), (600, 3.0), (600, 6.0), (900, 6.0)], ServiceTime(1.0, 0.3), 1)
        how = Play(until_s=900, initial=4, patience_s=5.0, measure_from_s=60.0, plain_queue=plain)
        return play(pool_spec(), source, Static(4), how)

    gateway, plain = run(False), run(True)
    assert gateway.arrivals == plain.arrivals
    assert plain.refused == 0
    assert gateway.refused == pytest.approx(300 * 2, abs=3 * 1800**0.5), "6/s come, 4/s are served"
    assert gateway.success == pytest.approx(1 - gateway.refused / gateway.arrivals, abs=0.01), "all others are in time"
    assert plain.success < gateway.success - 0.1


@pytest.mark.parametrize(("patience_s", "late"), [(5.0, True), (60.0, True), (1.5, False)])
def test_those_whom_the_queue_makes_late_are_told_from_those_who_leave_early(patience_s: float, late: bool):
    seen: list[PoolLoad] = []

    def watch(inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        seen.extend([inp.load] if inp.load else [])
        return Static(2)(inp, memory)

    how = Play(until_s=600, initial=2, patience_s=patience_s, plain_queue=True)
    out = play(pool_spec(within_s=5.0), steady(3.0, 600), watch, how)
    vain = sum(load.waited_in_vain for load in seen)
    lost = out.gave_up + out.finished - out.in_time
    assert lost > 100
    assert vain == (pytest.approx(lost, rel=0.05) if late else 0)


def test_the_same_seed_gives_the_same_run_compiled_or_not():
    def run(fast: bool):
        source = Requests([(0.0, 1.0), (900, 9.0)], ServiceTime(1.0, 0.5), 5, compile=fast)
        return play(pool_spec(), source, Hpa(), Play(until_s=900, startup_s=30, startup_cv=0.3, compile=fast))

    assert run(True) == run(False) == run(False)
