"""Upgrades in the simulator: the live policy, made-up requests, and its laws checked after every decision."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.worlds import cluster, scenario, service
from tidegate.model.lifecycle import RolloutPhase
from tidegate.sim.world import World

ENDED = (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK)
faults = st.lists(
    st.sampled_from(
        [
            {"at": "11m", "crash": {"service": "ocr", "count": 2}},
            {"at": "12m", "for": "2m", "slow": {"service": "ocr", "factor": 1.5}},
            {"at": "11m", "for": "3m", "partition": {"cluster": "here"}},
            {"at": "11m", "for": "1m", "blind": {}},
            {"at": "12m", "for": "5m", "capacity": {"cluster": "here", "factor": 0.5}},
        ]
    ),
    max_size=2,
)
rollouts = st.fixed_dictionaries(
    {
        "batch": st.sampled_from([1, "25%", "50%"]),
        "maxSurge": st.sampled_from([1, "25%", "50%"]),
        "maxUnavailable": st.sampled_from([0, 1]),
        "watchSeconds": st.sampled_from([5, 30]),
        "strategy": st.sampled_from(["rolling", "rolling", "canary", "blueGreen"]),
        "progressDeadlineSeconds": st.just(180),
        "verify": st.just({"python": "golden.py"}),
    }
)


def upgraded(bad: str, *, rollout: dict[str, Any], rate: float, wrongs: list[dict[str, Any]], clusters: int) -> World:
    """A world after 22 minutes, in which a revision was declared after ten."""
    places = [cluster("here", cpu=40), cluster("there", cpu=40)][:clusters]
    change = {"at": "10m", "upgrade": {"service": "ocr", "bad": bad, "factor": 2}}
    shape = f"constant:mean={rate},length=22m"
    world = World(scenario(service(rollout=rollout), *places, shape=shape, faults=[*wrongs, change], startup_s=20))
    world.run()
    return world


def phase(world: World) -> RolloutPhase:
    return next(iter(world.memory.pools.values())).rollout.phase


@given(
    st.sampled_from(["", "slow", "never-ready", "verify"]),
    rollouts,
    st.sampled_from([3.0, 8.0]),
    faults,
    st.sampled_from([1, 2]),
)
@settings(max_examples=5, deadline=None)
def test_whatever_happens_a_rollout_ends_or_goes_back_and_breaks_no_law(
    bad: str, rollout: Any, rate: float, wrongs: Any, clusters: int
):
    assert phase(upgraded(bad, rollout=rollout, rate=rate, wrongs=wrongs, clusters=clusters)) in ENDED


@pytest.mark.parametrize(
    ("bad", "outcome", "why"),
    [
        ("", "done", "requests of the new revision watched"),
        ("slow", "rolled back", "requests took longer than 1.5x the old revision's p95"),
        ("never-ready", "rolled back", "no progress for 180 s: 0 of 1 ready"),
        ("verify", "rolled back", "verify failed: the answer is wrong"),
    ],
)
def test_a_bad_revision_goes_back_and_a_good_one_stays(bad: str, outcome: str, why: str):
    rules = {"progressDeadlineSeconds": 180, "verify": {"python": "golden.py"}}
    world = upgraded(bad, rollout=rules, rate=8, wrongs=[], clusters=1)
    (record,) = next(iter(world.memory.pools.values())).rollout.history
    assert record.outcome == outcome
    assert why in record.reason
