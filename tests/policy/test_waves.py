"""Upgrades over several clusters: one first, then its region, then region by region, each gated by the one before."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.world import KEY, World, cluster, service
from tidegate.base.errors import SpecError
from tidegate.model.lifecycle import RolloutPhase
from tidegate.model.memory import Memory, RolloutMemory
from tidegate.policy.rollout.waves import plan
from tidegate.spec.cluster import Cluster
from tidegate.spec.rollout import Rollout
from tidegate.store import codec

BUSY = (30, 0, 0.1)
REGIONS = {"a": "north", "b": "north", "c": "south", "d": "west"}


def fleet(cpu: dict[str, float], wanted: int, version: str = "1", **rollout: Any) -> World:
    """A world in which each cluster has room for so many replicas of one core."""
    clusters = tuple(cluster(name, cpu=room, region=REGIONS[name]) for name, room in cpu.items())
    world = World(services=(declared(version, **rollout),), clusters=clusters, wanted=wanted).ticks(until=8)
    world.traffic = {"": BUSY}
    return world


def declared(version: str, **rollout: Any) -> Any:
    spread = {"clusters": list(REGIONS)}
    rules = {"watchSeconds": 4} | rollout
    return service(env={"V": version}, rollout=rules, placement=spread, scaling={"maxReplicas": 100})


def upgrade(world: World, version: str = "2", **rollout: Any) -> World:
    world.services = (declared(version, **rollout),)
    return world.tick()


def roll(world: World) -> RolloutMemory:
    return world.memory.pools[KEY].rollout


def where(world: World, revision: str) -> Counter[str]:
    return Counter(m.cluster for m in world.memory.replicas.values() if m.revision == revision)


def order_of_arrival(world: World, until_s: float = 300) -> list[str]:
    """The clusters in which the new revision was started, each once, until the rollout has ended."""
    new, end, seen = world.specs.pools[0].revision, world.at + until_s, dict[str, None]()
    while roll(world).phase not in (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK):
        assert world.at < end, roll(world)
        seen |= dict.fromkeys(where(world, new))
        world.tick()
        assert len(world.serving) >= world.wanted
    return list(seen)


def test_one_cluster_first_then_its_region_then_region_by_region():
    world = upgrade(fleet({"a": 5, "b": 4, "c": 4, "d": 6}, wanted=14))
    before = Counter(m.cluster for m in world.memory.replicas.values() if m.revision == roll(world).stable)
    assert before == {"a": 5, "b": 4, "c": 4, "d": 1}
    assert roll(world).waves == (("d",), ("c",), ("a", "b"))
    assert order_of_arrival(world)[0] == "d"
    assert roll(world).phase is RolloutPhase.STABLE


def test_a_wave_begins_only_when_the_one_before_was_verified_and_watched():
    world = upgrade(fleet({"a": 8, "b": 8}, wanted=8 + 2, wavePauseSeconds=20), wavePauseSeconds=20)
    new = world.specs.pools[0].revision
    assert roll(world).waves == (("b",), ("a",))
    while roll(world).wave == 0:
        was = roll(world)
        world.tick()
        assert set(where(world, new)) <= {"b"} or roll(world).wave == 1
    assert was.phase is RolloutPhase.WATCHING
    assert world.at - was.since >= 20
    assert world.last is not None
    assert world.last.rollouts[0].cause.startswith("wave good: wave 1 of 2 (b)")


def test_a_bad_revision_stays_in_the_first_wave():
    world = fleet({"a": 8, "b": 8}, wanted=10)
    world.services = (declared("2"),)
    new = world.specs.pools[0].revision
    world.traffic[new] = (20, 5, 0.1)
    world.tick()
    assert order_of_arrival(world) == ["b"]
    assert roll(world).phase is RolloutPhase.ROLLED_BACK
    assert where(world.ticks(until=world.at - 990), new) == {}


def test_a_restart_in_the_middle_goes_on_in_the_same_wave():
    world = upgrade(fleet({"a": 8, "b": 8}, wanted=10))
    while roll(world).wave == 0:
        world.tick()
    world.memory = codec.decode(Memory, codec.encode(world.memory))
    assert (roll(world).wave, roll(world).waves) == (1, (("b",), ("a",)))
    order_of_arrival(world)
    assert roll(world).phase is RolloutPhase.STABLE


def test_full_clusters_are_upgraded_in_place_wave_by_wave():
    world = upgrade(fleet({"a": 4, "b": 2}, wanted=6))
    new = world.specs.pools[0].revision
    end = world.at + 300
    while roll(world).phase is not RolloutPhase.STABLE:
        assert world.at < end, roll(world)
        if roll(world).wave == 0:
            assert set(where(world, new)) <= {"b"}
        world.tick()
        assert len(world.serving) >= world.wanted - 1
    assert where(world, new) == {"a": 4, "b": 2}


def test_what_a_full_cluster_lost_in_its_wave_comes_back_when_it_has_had_room_for_a_while():
    world = upgrade(fleet({"a": 3, "b": 8}, wanted=5))
    order_of_arrival(world)
    new = world.specs.pools[0].revision
    for _ in range(400):
        world.tick()
        assert len(world.serving) >= world.wanted
    assert where(world, new) == {"a": 2, "b": 3}, "all but the margin that reclaiming leaves free"


def test_together_and_one_cluster_have_no_waves():
    assert roll(upgrade(fleet({"a": 8, "b": 8}, wanted=10), waves="together")).waves == ()
    assert roll(upgrade(fleet({"a": 8, "b": 8}, wanted=3))).waves == ()
    assert roll(upgrade(fleet({"a": 8, "b": 8}, wanted=10), strategy="blueGreen")).waves == ()


def test_waves_as_the_manifest_says_with_the_others_last():
    clusters = [cluster(name, region=region) for name, region in REGIONS.items()]
    rollout = Rollout(waves=(("c",), ("a",)))
    assert plan(rollout, clusters, {"a": 1, "b": 1, "c": 9, "d": 1}) == (("c",), ("a",), ("b", "d"))
    assert plan(rollout, clusters, {"b": 1, "d": 1}) == (("b", "d"),)


def test_a_cluster_in_two_waves_is_refused():
    with pytest.raises((SpecError, ValueError), match="stands in two waves"):
        Rollout(waves=(("a",), ("b", "a")))


names = st.sampled_from(sorted(REGIONS))


@given(st.dictionaries(names, st.integers(0, 5), min_size=1), st.booleans())
def test_every_cluster_with_replicas_is_in_exactly_one_wave(counts: dict[str, int], canary: bool):
    clusters: list[Cluster] = [cluster(name, region=region) for name, region in REGIONS.items()]
    waves = plan(Rollout(strategy="canary" if canary else "rolling"), clusters, counts)
    there = sorted(name for name, count in counts.items() if count)
    assert sorted(name for wave in waves for name in wave) == (there if len(there) > 1 else [])
    for wave in waves[1:]:
        assert len({REGIONS[name] for name in wave}) == 1
    assert not waves or len(waves[0]) == 1


@given(
    st.dictionaries(names, st.integers(2, 8), min_size=2),
    st.integers(2, 16),
    st.lists(st.tuples(st.integers(1, 12), st.integers(2, 16)), max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_no_wave_begins_before_the_last_one_is_watched_and_capacity_holds(
    room: dict[str, int], wanted: int, scaling: list[tuple[int, int]]
):
    wanted = min(wanted, sum(room.values()) - 1)
    world = fleet({name: float(cpu) for name, cpu in room.items()}, wanted)
    full = [n for n, cpu in room.items() if sum(m.cluster == n for m in world.memory.replicas.values()) == cpu]
    upgrade(world)
    new, changes = (
        world.specs.pools[0].revision,
        {sum(t for t, _ in scaling[: i + 1]): w for i, (_, w) in enumerate(scaling)},
    )
    for second in range(300):
        if second in changes:
            world.wanted = min(changes[second], sum(room.values()) - 1)
        was = roll(world)
        world.tick()
        now = roll(world)
        if now.wave < len(now.waves) - 1 and now.phase in (RolloutPhase.ADDING, RolloutPhase.WATCHING):
            open_now = {name for wave in now.waves[: now.wave + 1] for name in wave}
            assert set(where(world, new)) <= open_now, "the new revision is in a cluster whose turn has not come"
        if now.wave > was.wave and was.phase is RolloutPhase.WATCHING:
            assert world.at - was.since >= 4
        if not scaling:
            assert len(world.serving) >= world.wanted - bool(full)
        if now.phase is RolloutPhase.STABLE:
            break
    assert roll(world).phase is RolloutPhase.STABLE
