"""What `tick` decides about the lives of replicas, in an obedient world."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from policy.world import KEY, World, cluster, service
from tidegate.model.actions import Publish, Start, Stop
from tidegate.model.lifecycle import REPLICA_MOVES, ReplicaState
from tidegate.model.memory import Memory, ReplicaMemory
from tidegate.model.observed import Intent, Verdict
from tidegate.policy.lifecycle import backoff_s
from tidegate.policy.reconcile import Standing, victims
from tidegate.policy.tick import tick


def settled(**world: object) -> World:
    """A world whose replicas are ready and in the balancer."""
    return World(**world).ticks(until=6)  # type: ignore[arg-type]


# -- starting ----------------------------------------------------------------------------------------------------


def test_wanted_replicas_are_started_once():
    world = World(wanted=3).ticks(until=2)
    assert len(world.started()) == 3
    assert world.plan().starting == 3


def test_a_replica_serves_only_after_startup_prepare_and_readiness():
    world = World(wanted=1, startup_s=3).ticks(until=3)
    assert world.serving == []
    world.tick()
    assert world.memory.replicas[world.alive()[0]].state is ReplicaState.PREPARING
    world.tick()
    assert world.serving == world.alive()


def test_measured_startup_time_is_remembered():
    world = settled(wanted=1, startup_s=3)
    (times,) = world.memory.pools[KEY].startups_s.values()
    assert times == (4.0,)  # 3 s to start, one look to be prepared


def test_what_does_not_fit_is_pending_and_says_why():
    world = World(wanted=5, clusters=(cluster(cpu=2),)).tick()
    assert (len(world.alive()), world.plan().pending) == (2, 3)
    assert world.plan().reasons[-1].text == "3 pending: no room for 1 cores and 512 MiB in here"


def test_a_second_cluster_takes_what_the_first_cannot():
    world = World(wanted=5, clusters=(cluster("a", cpu=2), cluster("b", cpu=9))).tick()
    assert (len(world.alive("a")), len(world.alive("b"))) == (2, 3)


def test_the_manifest_orders_the_clusters():
    far_first = service(placement={"clusters": ["b", "a"]})
    world = World((far_first,), wanted=2, clusters=(cluster("a"), cluster("b"))).tick()
    assert len(world.alive("b")) == 2


# -- stopping ----------------------------------------------------------------------------------------------------


def test_a_replica_is_stopped_only_when_the_balancer_has_drained_it():
    world = settled(wanted=2)
    world.busy(world.serving[0]).busy(world.serving[1])
    world.wanted = 1
    world.tick().tick().tick()
    assert world.stopped() == []
    (leaving,) = set(world.alive()) - set(world.serving)
    world.empty(leaving).tick()
    assert world.stopped() == [leaving]


def test_routing_is_published_before_anything_is_stopped():
    world = settled(wanted=2)
    world.wanted = 0
    world.tick()
    assert isinstance(world.last.actions[0], Publish)


def test_a_drain_that_does_not_end_is_cut_at_the_grace_period():
    world = settled(services=(service(terminationGracePeriodSeconds=20),), wanted=1)
    world.busy(world.serving[0])
    world.wanted = 0
    world.ticks(until=6 + 19)
    assert world.stopped() == []
    world.ticks(until=6 + 22)
    assert len(world.stopped()) >= 1


@pytest.mark.parametrize("grace_s", [5, 60])
def test_a_service_that_is_no_longer_declared_has_the_time_that_it_had_asked_for_last(grace_s: int):
    world = settled(services=(service(terminationGracePeriodSeconds=30),), wanted=1)
    world.services = (service(terminationGracePeriodSeconds=grace_s),)
    world.tick()
    world.services = ()
    world.ticks(until=12)
    first = next(a for a in world.log if isinstance(a, Stop))
    assert grace_s - 2 <= first.grace_s <= grace_s


def test_nothing_is_stopped_for_want_of_an_acknowledgement_when_the_gateway_cannot_be_seen():
    world = settled(wanted=1)
    world.gateway = None
    world.wanted = 0
    world.ticks(until=20)
    assert world.stopped() == []


def standing(name: str, *, age_s: float, ready: bool = True, in_flight: int = 0, where: str = "a") -> Standing:
    return Standing(name, ReplicaMemory(KEY, "r", where, created_at=-age_s), ready, in_flight, stale=False)


def test_victims_are_the_unready_then_the_last_cluster_then_the_idle_then_the_newest():
    replicas = [
        standing("old", age_s=90, in_flight=1),
        standing("new", age_s=10, in_flight=1),
        standing("idle", age_s=50),
        standing("unready", age_s=70, ready=False),
        standing("overflow", age_s=99, in_flight=1, where="b"),
    ]
    missed_least_first = [s.id for s in victims(replicas, 5, ("a", "b"))]
    assert missed_least_first == ["unready", "overflow", "idle", "new", "old"]


def test_an_undeclared_service_drains_away():
    world = settled(wanted=2)
    world.services = ()
    world.tick().tick().tick().tick()
    assert world.alive() == []
    assert world.memory.replicas == {}


# -- crashes -----------------------------------------------------------------------------------------------------


def test_a_crashed_replica_is_replaced_at_once_the_first_time():
    world = settled(wanted=1)
    world.crash(world.serving[0]).tick()
    assert world.started()[-1].why == "restart after killed by signal 9"
    assert world.serving == []


def test_a_crash_loop_backs_off_like_kubernetes():
    world = World(wanted=1, startup_s=99)
    starts = []
    for _ in range(200):
        world.tick()
        for a in world.last.actions:
            if isinstance(a, Start):
                starts.append(world.at)
        for name in world.alive():
            world.crash(name, exit_code=1)
    gaps = [round(b - a) for a, b in itertools.pairwise(starts)]
    assert gaps == pytest.approx([1, 11, 21, 41, 81], abs=1)
    assert "exited with 1" in world.plan().reasons[0].text


@pytest.mark.parametrize(("restarts", "delay_s"), [(0, 0), (1, 10), (2, 20), (5, 160), (6, 300), (99, 300)])
def test_backoff_doubles_from_ten_seconds_to_five_minutes(restarts: int, delay_s: float):
    assert backoff_s(restarts) == delay_s


def test_a_crash_elsewhere_does_not_hold_back_growth():
    world = settled(wanted=2)
    for _ in range(3):
        world.tick()
        world.crash(world.alive()[0], exit_code=1)
    before = len(world.started())
    world.wanted = 6
    world.tick()
    assert len(world.started()) - before >= 3


# -- health ------------------------------------------------------------------------------------------------------


def test_an_unready_replica_gets_no_new_requests_and_stays_alive():
    world = settled(wanted=2)
    sick = world.serving[0]
    world.update(sick, readiness=Verdict.FAIL).tick()
    assert sick not in world.serving
    assert sick in world.alive()
    world.update(sick, readiness=Verdict.PASS).tick()
    assert sick in world.serving


def test_unknown_readiness_takes_nothing_out_of_service():
    world = settled(wanted=2)
    for name in world.serving:
        world.update(name, readiness=Verdict.UNKNOWN)
    assert len(world.tick().serving) == 2


def test_a_bad_liveness_probe_cannot_restart_the_whole_fleet_at_once():
    probes = {"liveness": {"http": "/live", "remedy": "drain"}}
    world = settled(services=(service(probes=probes),), wanted=9)
    for name in world.serving:
        world.busy(name).update(name, liveness=Verdict.FAIL)
    world.tick()
    assert len(world.serving) == 6


def test_liveness_remedy_event_restarts_nothing():
    probes = {"liveness": {"http": "/live", "remedy": "event"}}
    world = settled(services=(service(probes=probes),), wanted=1)
    world.update(world.serving[0], liveness=Verdict.FAIL).ticks(until=20)
    assert len(world.serving) == 1


# -- what cannot be seen -----------------------------------------------------------------------------------------


def test_a_cluster_that_cannot_be_seen_is_left_alone():
    world = settled(wanted=2)
    world.hidden = {"here"}
    world.ticks(until=60)
    assert len(world.serving) == 2
    assert world.stopped() == []
    assert len(world.started()) == 2


def test_a_replica_that_vanished_from_a_visible_cluster_is_replaced():
    world = settled(wanted=1)
    world.replicas.clear()
    world.tick()
    assert len(world.started()) == 2


def test_replicas_found_running_are_adopted_when_memory_is_lost():
    world = settled(wanted=2)
    world.memory = Memory()
    world.ticks(until=12)
    assert len(world.started()) == 2
    assert len(world.serving) == 2


# -- new revisions -----------------------------------------------------------------------------------------------


def new_revision(world: World) -> World:
    world.services = (service(env={"V": "2"}),)
    return world


def test_a_new_revision_never_takes_ready_replicas_below_wanted():
    world = new_revision(settled(wanted=4))
    for _ in range(60):
        world.tick()
        assert len(world.serving) >= 4
        assert len(world.alive()) <= 4 + 1 + world.plan().draining
    revision = world.specs.pools[0].revision
    assert {r.revision for r in world.replicas.values()} == {revision}


def test_a_revision_that_never_gets_ready_leaves_the_old_one_serving():
    world = new_revision(settled(wanted=4))
    world.bad_revisions = {world.specs.pools[0].revision}
    world.ticks(until=300)
    assert len(world.serving) == 4


def test_a_full_cluster_replaces_in_place():
    world = new_revision(settled(wanted=4, clusters=(cluster(cpu=4),)))
    serving = []
    for _ in range(60):
        serving.append(len(world.tick().serving))
    assert min(serving) == 3
    assert {r.revision for r in world.replicas.values()} == {world.specs.pools[0].revision}


# -- operators ---------------------------------------------------------------------------------------------------


def test_a_drained_replica_is_replaced_before_it_goes():
    world = settled(wanted=1)
    old = world.serving[0]
    world.intents = (Intent("drain", old, at=world.at),)
    for _ in range(12):
        world.tick()
        assert world.serving
    assert old not in world.alive()


def test_a_drained_cluster_empties_into_another():
    world = settled(wanted=3, clusters=(cluster("a"), cluster("b")))
    world.intents = (Intent("drain", "a", at=world.at),)
    for _ in range(40):
        world.tick()
        assert len(world.serving) >= 3
    assert (len(world.alive("a")), len(world.alive("b"))) == (0, 3)


# -- laws --------------------------------------------------------------------------------------------------------


def test_same_input_same_output():
    world = settled(wanted=3)
    observed = world.observed()
    assert tick(world.specs, observed, world.memory) == tick(world.specs, observed, world.memory)


def test_an_untouched_world_is_left_alone():
    world = settled(wanted=3)
    world.log.clear()
    world.ticks(until=100)
    assert world.log == []


def test_every_state_but_the_last_can_be_left():
    dead_ends = [s for s, moves in REPLICA_MOVES.items() if not moves]
    assert dead_ends == [ReplicaState.GONE]


def test_transitions_name_their_cause():
    world = settled(wanted=1)
    world.crash(world.serving[0]).tick()
    causes = {(t.before, t.after): t.cause for t in world.last.transitions}
    assert causes[("ready", "gone")] == "killed by signal 9"


def test_stop_is_repeated_until_the_process_is_gone():
    world = settled(wanted=1)
    name = world.serving[0]
    world.wanted = 0
    world.tick().tick()
    world.replicas[name] = replace(world.replicas[name], running=True)
    world.tick()
    assert any(isinstance(a, Stop) and a.replica == name for a in world.last.actions)
