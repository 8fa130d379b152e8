"""What a user is told a promise costs on traffic that jumps is what it costs when every request is simulated."""

from __future__ import annotations

import pytest

from sim.pools import pool_spec
from tidegate.model.scaling import ScaleMemory
from tidegate.policy import price, risk, scaling
from tidegate.sim.requests import Requests, ServiceTime
from tidegate.sim.single import Outcome, Play, play

HOURS = 10
WORK = ServiceTime(0.8, 0.5)
SPEC = pool_spec(slots=2)
NEEDS = risk.Needs(WORK.mean_s, WORK.cv, 2, 0.0, SPEC.promise.within, SPEC.promise.success, 120.0)


def jumps() -> list[tuple[float, float]]:
    """Ten requests/s, and every hour four times as many at once, for five minutes."""
    points = []
    for hour in range(HOURS):
        at = 3600.0 * hour
        points += [(at, 10.0), (at + 1800, 10.0), (at + 1800, 40.0), (at + 2100, 40.0), (at + 2100, 10.0)]
    return [*points, (3600.0 * HOURS, 10.0)]


def lived_with(candidate: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Outcome, ScaleMemory]:
    """A run in which nothing but one margin or floor was ever chosen, and what the policy knows at its end."""
    monkeypatch.setattr(risk, "choose", lambda *_, **__: candidate)
    known = ScaleMemory()

    def scale(inp, memory):  # type: ignore[no-untyped-def]
        nonlocal known
        result = scaling.scale(inp, memory)
        known = result.memory
        return result

    how = Play(until_s=3600.0 * HOURS, startup_s=120.0, tick_s=5.0, patience_s=5.0, initial=6)
    return play(SPEC, Requests(jumps(), WORK, 1), scale, how, keep_points=False), known


@pytest.mark.parametrize("candidate", [(1.0, 0.0), (1.5, 0.7), (5.0, 0.7), (12.0, 0.0)], ids=str)
def test_imagined_costs_and_losses_are_those_of_a_run(candidate: tuple[float, float], monkeypatch: pytest.MonkeyPatch):
    index = risk.CANDIDATES.index(candidate)
    run, known = lived_with(index, monkeypatch)
    memory = known.risk
    assert memory.cost[index] == pytest.approx(run.replica_s, rel=0.1)
    lost = (1.0 - run.success) * run.arrivals
    assert memory.lost[index] == pytest.approx(lost, rel=0.25, abs=0.001 * run.arrivals)
    assert memory.lost[-1] == pytest.approx(memory.lost[index], rel=0.01, abs=50.0), "it was the one in use"
    told = price.prices(memory, NEEDS)
    assert [p.success for p in told] == [0.9995, 0.999, 0.995, 0.99]
    best = 1.0 - min(memory.lost) / memory.offered
    assert price.sentence(told).startswith(f"99.95% was out of reach ({best:.2%} at best)"), (
        "the first jump was new to all"
    )
