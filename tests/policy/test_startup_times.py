"""How long a start-up takes, told from those that have arrived and those that still start."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from policy.world import KEY, World
from tidegate.model.memory import Memory
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.policy import lifecycle
from tidegate.policy.lifecycle import STARTUPS_KEPT, is_timed, startup_p95_s
from tidegate.store import codec


def drawn(count: int, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [rng.lognormvariate(5.15, 0.3) for _ in range(count)]


BEFORE = tuple(drawn(100))
P95_S = startup_p95_s({"here": BEFORE}, 10.0)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_many_that_start_at_once_do_not_make_it_fall(share):
    """The quickest of a hundred have arrived and fill half of the sample or more."""
    together = sorted(drawn(100, seed=2))
    arrived = together[: int(100 * share)]
    sample = {"here": (*BEFORE[: 100 - len(arrived) // 2], *arrived)}
    ages_s = [arrived[-1]] * (100 - len(arrived))
    assert startup_p95_s(sample, 10.0, ages_s) > 0.9 * P95_S


def test_the_slow_half_is_not_forgotten_while_the_fast_half_arrives():
    measured = {"here": tuple([100.0] * 18 + [300.0] * 2 + [90.0] * 22)}
    assert startup_p95_s(measured, 10.0) == 100.0  # what only those say that have arrived
    assert startup_p95_s(measured, 10.0, [100.0] * 22) == 300.0


def test_those_that_have_just_begun_change_nothing():
    assert startup_p95_s({"here": BEFORE}, 10.0, [0.0] * 500) == P95_S


def test_one_that_never_starts_makes_it_no_longer_than_the_longest_measured():
    assert startup_p95_s({"here": (5.0, 6.0)}, 10.0, [3600.0] * 50) == 6.0


def test_before_any_was_measured_the_default_holds():
    assert startup_p95_s({}, 10.0, [4.0, 50.0]) == 10.0


def test_hundreds_that_start_at_once_leave_what_was_known_before():
    """Each nth is timed, when it arrives and while it starts, so the sample changes by no more than its size."""
    names = [f"ocr-default-9f2c-{i}" for i in range(1000)]
    assert 50 < sum(is_timed(name, 1000) for name in names) < 150
    assert all(is_timed(name, STARTUPS_KEPT - 1) for name in names)


def known(world: World, *times_s: float) -> World:
    pool = replace(world.memory.pools[KEY], startups_s={"here": times_s})
    world.memory = codec.decode(Memory, codec.encode(replace(world.memory, pools={KEY: pool})))
    return world


def test_a_full_sample_keeps_its_size_and_some_of_what_came_before(monkeypatch):
    monkeypatch.setattr(lifecycle, "STARTUPS_KEPT", 20)
    world = known(World(wanted=1).ticks(until=8), *(300.0,) * 20)
    world.wanted = 19
    (times,) = world.ticks(until=20).memory.pools[KEY].startups_s.values()
    assert len(times) == 20
    assert 0 < times.count(300.0) < 20


def test_a_sample_of_an_older_version_is_read_and_grows():
    world = known(World(wanted=1).ticks(until=8), 9.0, 2.0, 7.0)  # in the order in which they were measured
    world.wanted = 2
    (times,) = world.ticks(until=20).memory.pools[KEY].startups_s.values()
    assert times == (2.0, 4.0, 7.0, 9.0)


def test_the_scaling_policy_looks_as_far_ahead_as_the_slow_ones_need(monkeypatch):
    """So does the lead of its schedules: the quick half of many has arrived, the others still start."""
    asked_s: list[float] = []

    def scale(inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        asked_s.append(inp.startup_s)
        return ScaleResult(inp.spec.scaling.minReplicas + 20, memory, ())

    monkeypatch.setattr("policy.world.wants", lambda _: scale)
    world = World(startup_s=1000.0).ticks(until=60)  # 21 that still start
    known(world, *(40.0,) * 38, *(300.0,) * 2).tick()
    assert asked_s[-1] == 300.0
