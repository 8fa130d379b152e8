"""Phases of a start, steps of a stop, remedies and drains, as the tick tells them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy.world import KEY, World, cluster, service
from tidegate.model.actions import Remedy
from tidegate.model.lifecycle import PHASES, STOPPING, ReplicaState
from tidegate.model.memory import Memory
from tidegate.model.observed import Intent, Verdict
from tidegate.store import codec


def told(world: World, replica: str = "") -> list[str]:
    assert world.last is not None
    return [m.name for m in world.last.marks if replica in ("", m.replica)]


def watched(world: World, seconds: int) -> list[str]:
    """The names of all marks of the next `seconds` ticks."""
    names: list[str] = []
    for _ in range(seconds):
        names += told(world.tick())
    return names


def restart(world: World) -> World:
    world.memory = codec.decode(Memory, codec.encode(world.memory))
    return world


# -- starting ----------------------------------------------------------------------------------------------------


def test_each_phase_of_a_start_is_measured_and_told_once():
    world = World(wanted=1)
    names = watched(world, 8)
    assert names == ["serves"]
    (memory,) = world.memory.replicas.values()
    assert dict(zip(PHASES, memory.phases_s, strict=True)) == {
        "process": 3.0,  # in this world the process is seen when its startup probe passes
        "startup": 0.0,
        "prepare": 1.0,
        "verify": 0.0,
        "readiness": 0.0,
        "balancer": 1.0,
    }
    assert world.memory.pools[KEY].phases_s == (memory.phases_s,)
    assert not memory.marks


def test_a_replica_that_was_found_running_tells_no_phases():
    world = World(wanted=1).ticks(until=8)
    world.memory = Memory()
    assert watched(world, 5) == []
    assert world.memory.pools[KEY].startups_s == {}


# -- stopping ----------------------------------------------------------------------------------------------------


def stopping(world: World) -> tuple[World, str]:
    """One of two ready replicas is not wanted any more and works on a request."""
    world.ticks(until=8)
    for name in world.serving:
        world.busy(name)
    world.wanted = 1
    world.tick()
    return world, next(n for n, m in world.memory.replicas.items() if m.state is ReplicaState.DRAINING)


def test_the_steps_of_a_stop_are_told_in_their_order():
    world, name = stopping(World(wanted=2))
    names = watched(world, 3)
    assert names == ["acknowledged"]
    names += told(world.empty(name).tick())
    assert names == ["acknowledged", "idle", "told to stop"]
    world.update(name, ending=(("preStop", world.at), ("SIGTERM", world.at + 0.5)))
    names += told(world.tick())
    assert names == [s for s in STOPPING if s != "SIGKILL"]
    assert name not in world.memory.replicas


def test_what_was_done_at_the_very_end_is_told_though_the_replica_is_gone():
    world, name = stopping(World(wanted=2))
    world.empty(name).tick()
    at = world.at
    world.update(name, running=False, exit_code=-9, ending=(("SIGTERM", at), ("SIGKILL", at + 1)))
    world.tick()
    assert told(world, name)[-2:] == ["SIGTERM", "SIGKILL"]
    assert world.last is not None
    assert [(t.after, t.replica) for t in world.last.transitions] == [("gone", name)]


def test_a_request_that_does_not_end_is_cut_after_the_grace_and_that_is_said():
    world, _ = stopping(World(services=(service(terminationGracePeriodSeconds=5),), wanted=2))
    texts = []
    for _ in range(8):
        world.tick()
        assert world.last is not None
        texts += [m.text for m in world.last.marks if m.name == "told to stop"]
    assert texts == ["told to stop after 5.00 s: its time is over, requests or not"]


# -- remedies ----------------------------------------------------------------------------------------------------


def sick(count: int, wanted: int = 4, **liveness: object) -> World:
    """`count` of the ready replicas fail their liveness probe."""
    probes = {"liveness": {"tcp": True, **liveness}}
    world = World(services=(service(probes=probes),), wanted=wanted).ticks(until=8)
    for name in world.serving[:count]:
        world.update(name, liveness=Verdict.FAIL, detail="liveness: out of memory")
    return world


def remedied(world: World) -> list[str]:
    return [a.replica for a in world.log if isinstance(a, Remedy)]


def test_a_remedy_script_is_run_once_and_what_it_heals_stays():
    world = sick(1, remedy="script", remedyScript="free.py")
    name = world.serving[0]
    for _ in range(5):
        world.tick()
    assert remedied(world) == [name]
    world.update(name, liveness=Verdict.PASS, remedy=Verdict.PASS, detail="")
    assert told(world.tick(), name) == ["liveness"]
    assert name in world.serving
    assert world.memory.replicas[name].sick_at is None


@pytest.mark.parametrize("ended", [Verdict.FAIL, Verdict.PASS], ids=["the script fails", "the probe fails again"])
def test_a_replica_that_its_script_did_not_heal_is_replaced(ended: Verdict):
    world = sick(1, remedy="script", remedyScript="free.py")
    name = world.serving[0]
    world.tick()
    world.update(name, remedy=ended).tick()
    assert world.memory.replicas[name].state is ReplicaState.DRAINING
    assert "remedy script" in world.memory.replicas[name].cause
    assert remedied(world) == [name]


def test_a_script_that_nobody_heard_of_again_does_not_hold_the_replica_for_ever():
    world = sick(1, remedy="script", remedyScript="free.py")
    name = world.serving[0]
    world.tick()
    restart(world).tick(after_s=400)
    assert world.memory.replicas[name].state is ReplicaState.DRAINING


def test_remedy_scripts_keep_to_the_budget_and_say_so():
    world = sick(4, remedy="script", remedyScript="free.py", maxShare=0.5)
    names = watched(world, 3)
    assert len(remedied(world)) == 2
    assert names.count("remedy") == 2 + 1, "two scripts, and one sentence about the others"
    assert "4 fail their liveness probe; no more than 50%" in " ".join(r.text for r in world.plan().reasons)


def test_when_nothing_comes_back_a_wrong_probe_takes_no_more_than_its_share_away():
    world = sick(4)
    world.bad_revisions.add(world.specs.pools[0].revision)
    world.ticks(until=300)
    assert len(world.serving) == 3
    assert "no more than 34% of the pool may be under remedy" in " ".join(r.text for r in world.plan().reasons)
    world.ticks(until=640)
    assert len(world.serving) == 2, "one more after ten minutes: the probe may be right"


def test_a_failed_liveness_with_remedy_event_is_told_once():
    world = sick(1, remedy="event")
    assert watched(world, 3) == ["liveness"]
    assert len(world.serving) == 4


# -- drains ------------------------------------------------------------------------------------------------------


def two(wanted: int = 4) -> World:
    return World(clusters=(cluster("a"), cluster("b")), wanted=wanted).ticks(until=8)


def test_a_drained_cluster_stays_empty_after_a_restart_until_it_is_taken_back():
    world = two()
    world.intents = (Intent("drain", "a", world.at),)
    world.tick()
    world.intents = ()
    restart(world).ticks(until=30)
    assert {m.cluster for m in world.memory.replicas.values()} == {"b"}
    world.wanted = 6
    restart(world).ticks(until=40)
    assert {m.cluster for m in world.memory.replicas.values()} == {"b"}
    world.intents = (Intent("undrain", "a", world.at),)
    world.tick()
    assert world.memory.drained == {}


def test_a_drained_cluster_keeps_its_replicas_while_there_is_no_room_elsewhere():
    world = World(clusters=(cluster("a"), cluster("b", cpu=1)), wanted=4).ticks(until=8)
    world.intents = (Intent("drain", "a", world.at),)
    for _ in range(120):
        world.tick()
        assert len(world.serving) >= 4
    assert {m.cluster for m in world.memory.replicas.values()} == {"a", "b"}
    assert "no room for 1 cores and 512 MiB in a (drained), b" in " ".join(r.text for r in world.plan().reasons)


def test_a_drain_of_a_replica_is_over_when_it_is_gone():
    world = two()
    name = world.serving[0]
    world.intents = (Intent("drain", name, world.at),)
    world.tick()
    assert set(world.memory.drained) == {name}
    world.intents = ()
    world.ticks(until=30)
    assert name not in world.memory.replicas
    assert world.memory.drained == {}
    assert len(world.serving) == 4


def test_a_drain_taken_back_before_its_end_keeps_the_replica():
    world = two()
    name = world.serving[0]
    world.intents = (Intent("drain", name, world.at), Intent("undrain", name, world.at + 0.1))
    world.tick()
    world.intents = ()
    world.ticks(until=30)
    assert name in world.serving


def test_memory_of_an_older_version_has_no_drains():
    world = two()
    older = replace(world.memory, drained={})
    text = codec.encode(older).replace(',"drained":{}', "")
    assert codec.decode(Memory, text) == older
