"""How a new revision takes the place of the old one, and when it does not, in an obedient world."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policy.world import KEY, World, cluster, service
from tidegate.base.streams import stream
from tidegate.base.times import Times, added, bin_of, edge_s
from tidegate.model.actions import Stop
from tidegate.model.lifecycle import ROLLOUT_MOVES, RolloutPhase
from tidegate.model.memory import Counted, Memory, RolloutMemory
from tidegate.model.observed import Intent
from tidegate.policy.rollout.evidence import against
from tidegate.spec.rollout import RollbackOn, Rollout
from tidegate.store import codec

BUSY = (30, 0, 0.1)  # 30 requests a second on every replica, none failed, 100 ms each


def upgrade(*, wanted: int = 8, traffic: dict[str, tuple[int, int, float]] | None = None, **rollout: Any) -> World:
    """A world whose replicas serve, in which a new revision has just been declared."""
    world = World(services=(declared("1", **rollout),), wanted=wanted).ticks(until=6)
    world.traffic = {"": BUSY} if traffic is None else traffic
    return declare(world, "2", **rollout)


def declared(version: str, **rollout: Any):  # type: ignore[no-untyped-def]
    return service(env={"V": version}, rollout=rollout, scaling={"maxReplicas": 100})


def declare(world: World, version: str, **rollout: Any) -> World:
    world.services = (declared(version, **rollout),)
    return world


def new(world: World) -> str:
    return world.specs.pools[0].revision


def old(world: World) -> str:
    return roll(world).stable


def roll(world: World) -> RolloutMemory:
    return world.memory.pools[KEY].rollout


def serving(world: World, revision: str) -> int:
    return sum(world.replicas[n].revision == revision for n in world.serving)


def until(world: World, phase: RolloutPhase, within_s: float = 400) -> World:
    """Tick until the rollout is in `phase`; capacity is looked at all the time."""
    end = world.at + within_s
    while roll(world).phase is not phase or roll(world).target not in ("", new(world)):
        assert world.at < end, roll(world)
        world.tick()
        assert len(world.serving) >= world.wanted
    return world


def ask(world: World, verb: str) -> World:
    world.intents = (Intent(f"{verb}-rollout", "ocr", world.at),)
    return world.tick()


# -- forward -----------------------------------------------------------------------------------------------------


def test_a_batch_is_watched_before_the_next_one_begins():
    world = until(upgrade(watchSeconds=10).tick(), RolloutPhase.WATCHING)
    began = world.at
    assert (serving(world, new(world)), serving(world, old(world))) == (2, 8)
    until(world, RolloutPhase.ADDING)
    assert world.at - began >= 10
    world.tick()
    assert len([s for s in world.started() if s.revision == new(world)]) == 4


def test_a_good_revision_replaces_the_old_one_and_is_remembered_as_proven():
    world = until(upgrade().tick(), RolloutPhase.STABLE)
    world.ticks(until=world.at - 1000 + 5)
    assert serving(world, new(world)) == len(world.alive()) == 8
    assert roll(world).stable == new(world)
    assert [r.outcome for r in roll(world).history] == ["done"]


def test_never_more_than_wanted_and_surge_are_alive():
    world = upgrade(maxSurge=1, batch="50%").tick()
    most = 0
    while roll(world).phase is not RolloutPhase.STABLE:
        most = max(most, len(world.tick().alive()) - world.plan().draining)
    assert most == 9


def test_the_first_revision_needs_no_rollout():
    assert roll(World(wanted=3).ticks(until=10)).phase is RolloutPhase.STABLE
    assert roll(World(wanted=3).ticks(until=10)).history == ()


def test_when_nothing_serves_there_is_nothing_to_be_careful_about():
    world = World(services=(declared("1"),), wanted=4)
    world.bad_revisions = {new(world)}
    world.ticks(until=20)
    declare(world, "2").ticks(until=30)
    assert serving(world, new(world)) == 4


def test_too_few_requests_in_the_whole_pool_are_no_reason_to_wait():
    world = until(upgrade(traffic={}).tick(), RolloutPhase.STABLE, within_s=80)
    assert roll(world).stable == new(world)


def test_requests_that_never_reach_the_new_ones_are_waited_for():
    world = upgrade()
    world.traffic = {new(world): (0, 0, 0.0), "": BUSY}
    world = until(world.tick(), RolloutPhase.WATCHING).ticks(until=100)
    assert roll(world).phase is RolloutPhase.WATCHING


# -- back --------------------------------------------------------------------------------------------------------


def test_a_revision_that_fails_its_test_never_serves_and_is_rolled_back():
    world = upgrade(verify={"python": "golden.py"})
    world.unverified = {new(world)}
    until(world.tick(), RolloutPhase.ROLLED_BACK)
    assert "verify failed" in roll(world).reason
    assert serving(world, old(world)) == len(world.alive()) == 8
    assert {a.why for a in world.log if isinstance(a, Stop)} == {"verify failed"}


def test_a_crash_loop_is_rolled_back():
    world = upgrade()
    world.tick()
    for _ in range(60):
        for name in world.alive():
            if world.replicas[name].revision == new(world):
                world.crash(name, exit_code=3)
        world.tick()
        assert serving(world, old(world)) == 8
    assert roll(world).phase is RolloutPhase.ROLLED_BACK
    assert "exited with 3" in roll(world).reason


def test_one_crash_is_no_crash_loop():
    world = until(upgrade().tick(), RolloutPhase.WATCHING)
    world.crash(next(n for n in world.serving if world.replicas[n].revision == new(world)))
    world = until(world.tick(), RolloutPhase.STABLE)
    assert roll(world).stable == new(world)


def test_no_progress_before_the_deadline_is_rolled_back():
    world = upgrade(progressDeadlineSeconds=60)
    world.bad_revisions = {new(world)}
    until(world.tick(), RolloutPhase.ROLLED_BACK, within_s=70)
    assert "no progress for 60 s: 0 of 2 ready" in roll(world).reason


def test_five_percent_errors_are_rolled_back():
    world = upgrade()
    world.traffic = {"": BUSY, new(world): (20, 1, 0.1)}
    until(world.tick(), RolloutPhase.ROLLED_BACK)
    assert roll(world).reason.startswith("success 95.00% of")
    assert roll(world).history[-1].outcome == "rolled back"


def test_errors_that_both_revisions_have_are_not_the_new_ones_fault():
    world = until(upgrade(traffic={"": (20, 1, 0.1)}).tick(), RolloutPhase.STABLE)
    assert roll(world).stable == new(world)


def test_twice_as_slow_is_rolled_back():
    world = upgrade()
    world.traffic = {"": BUSY, new(world): (15, 0, 0.2)}
    until(world.tick(), RolloutPhase.ROLLED_BACK)
    assert roll(world).reason == (
        "60 of 60 requests took longer than 1.5x the old revision's p95 of 102 ms; its own is 203 ms"
    )


def test_only_the_slowest_requests_being_slower_is_found():
    world = upgrade(watchSeconds=60)
    world.tail = {new(world): 4.0}
    until(world.tick(), RolloutPhase.ROLLED_BACK)
    assert "requests took longer than 1.5x the old revision's p95" in roll(world).reason


def test_one_slow_request_in_ten_is_no_fault_when_the_old_revision_has_it_too():
    world = upgrade()
    world.tail = {new(world): 4.0, old(world.tick()): 4.0}
    until(world, RolloutPhase.STABLE)


def draws(kind: str, scale: float, count: int, seed: int) -> Times:
    draw = stream(seed, kind)
    times = {
        "constant": lambda: 0.1 * draw.uniform(0.95, 1.05),
        "exponential": lambda: draw.expovariate(10.0),
        "lognormal": lambda: draw.lognormvariate(-2.5, 1.0),
    }[kind]
    return added([((bin_of(scale * times()), 1),) for _ in range(count)])


def counted_of(times: Times) -> Counted:
    spent_s = sum(count * edge_s(index) for index, count in times)
    return Counted(sum(count for _, count in times), 0, spent_s, times)


@pytest.mark.parametrize("kind", ["constant", "exponential", "lognormal"])
def test_the_test_of_times_finds_twice_as_slow_and_leaves_equals_alone(kind: str):
    def condemned(scale: float, count: int, seed: int) -> bool:
        new, old = draws(kind, scale, count, seed), draws(kind, 1.0, 4 * count, seed + 1000)
        return bool(against(counted_of(new), counted_of(old), RollbackOn()))

    assert sum(condemned(1.0, count, seed) for count in (60, 200, 1000) for seed in range(40)) == 0
    assert sum(condemned(2.0, 400, seed) for seed in range(40)) >= 36  # of 40


def test_a_rolled_back_revision_is_not_tried_again_by_itself_but_when_asked():
    world = upgrade(verify={"python": "golden.py"})
    world.unverified = {new(world)}
    until(world.tick(), RolloutPhase.ROLLED_BACK).ticks(until=300)
    assert roll(world).phase is RolloutPhase.ROLLED_BACK
    world.unverified = set()
    ask(world, "retry")
    assert roll(until(world, RolloutPhase.STABLE)).stable == new(world)


def test_the_old_revision_still_heals_and_scales_after_a_rollback():
    world = upgrade()
    world.traffic = {"": BUSY, new(world): (20, 10, 0.1)}
    until(world.tick(), RolloutPhase.ROLLED_BACK)
    world.wanted = 10
    world.crash(world.serving[0]).ticks(until=world.at - 1000 + 10)
    assert serving(world, old(world)) == 10


def test_a_manifest_that_changes_again_is_tried():
    world = upgrade()
    world.traffic = {"": BUSY, new(world): (20, 10, 0.1)}
    until(world.tick(), RolloutPhase.ROLLED_BACK)
    declare(world, "3").tick()
    assert roll(until(world, RolloutPhase.STABLE)).stable == new(world)


@pytest.mark.parametrize(
    ("new", "old", "bad"),
    [
        (Counted(1000, 2), Counted(5000, 0), False),  # chance: one was to be expected
        (Counted(1000, 8), Counted(5000, 0), True),
        (Counted(3, 3), Counted(0, 0), True),
        (Counted(2, 2), Counted(0, 0), False),
        (Counted(0, 5), Counted(100, 0), True),  # broken answers are not among the finished
        (Counted(1000, 50), Counted(1000, 50), False),
        (Counted(199, 0, 199.0), Counted(999, 0, 99.9), False),  # too few to compare times
        (Counted(200, 0, 40.0), Counted(999, 0, 99.9), True),
        (Counted(200, 0, 29.0), Counted(999, 0, 99.9), False),
    ],
)
def test_evidence(new: Counted, old: Counted, bad: bool):
    assert bool(against(new, old, RollbackOn())) is bad


# -- changes on the way --------------------------------------------------------------------------------------------


def test_scaling_goes_on_during_a_rollout():
    world = until(upgrade().tick(), RolloutPhase.WATCHING)
    world.wanted = 16
    world.ticks(until=world.at - 1000 + 6)
    assert len(world.serving) >= 16
    world.wanted = 4
    world = until(world, RolloutPhase.STABLE)
    world.ticks(until=world.at - 1000 + 5)
    assert serving(world, new(world)) == len(world.alive()) == 4


def test_a_pool_that_grows_on_and_on_does_not_hold_up_a_batch_that_is_watched():
    """Each tick one more is wanted, and its share of new ones is never ready: they take three seconds to start."""
    world = until(upgrade(watchSeconds=10).tick(), RolloutPhase.WATCHING)
    began = world.at
    while roll(world).phase is RolloutPhase.WATCHING:
        assert world.at <= began + 12, "those that were ready have been watched"
        world.wanted += 1
        world.tick()
    until(world, RolloutPhase.STABLE)
    world.ticks(until=world.at - 1000 + 6)
    assert serving(world, new(world)) == len(world.alive()) == world.wanted


def test_a_new_replica_that_dies_while_it_is_watched_is_waited_for():
    world = until(upgrade(watchSeconds=10).tick(), RolloutPhase.WATCHING)
    began = world.at
    world.startup_s = 30.0
    world.crash(next(n for n in world.serving if world.replicas[n].revision == new(world)))
    world = until(world, RolloutPhase.ADDING)
    assert world.at >= began + 30


def test_a_change_in_the_middle_aims_anew():
    world = until(upgrade().tick(), RolloutPhase.WATCHING)
    until(declare(world, "3").tick(), RolloutPhase.STABLE)
    world.ticks(until=world.at - 1000 + 5)
    assert serving(world, new(world)) == len(world.alive()) == 8
    assert [r.outcome for r in roll(world).history] == ["replaced", "done"]


def test_taking_the_change_back_in_the_middle_ends_the_rollout():
    world = until(upgrade().tick(), RolloutPhase.WATCHING)
    before = len(world.started())
    declare(world, "1").ticks(until=world.at - 1000 + 10)
    assert roll(world).phase is RolloutPhase.STABLE
    assert serving(world, new(world)) == len(world.alive()) == 8
    assert len(world.started()) == before


def test_a_restart_in_the_middle_continues():
    world = until(upgrade().tick(), RolloutPhase.WATCHING)
    world.memory = codec.decode(Memory, codec.encode(world.memory))
    world = until(world, RolloutPhase.STABLE)
    assert len([s for s in world.started() if s.revision == new(world)]) == 8


def test_lost_memory_in_the_middle_starts_over_from_what_serves():
    world = until(upgrade().tick(), RolloutPhase.WATCHING)
    world.memory = Memory()
    world = until(world.ticks(until=world.at - 1000 + 2), RolloutPhase.STABLE)
    assert roll(world).stable == new(world)


def test_without_room_to_surge_one_old_replica_goes_first():
    world = World(services=(declared("1"),), wanted=4, clusters=(cluster(cpu=4),)).ticks(until=6)
    declare(world, "2")
    least = 4
    while world.at < 1200 and serving(world, new(world)) < 4:
        least = min(least, len(world.tick().serving))
    assert (least, serving(world, new(world))) == (3, 4)


# -- strategies ----------------------------------------------------------------------------------------------------


def test_canary_goes_by_its_steps_and_pauses():
    steps = [{"weight": "10%", "pause": "30s"}, {"weight": "50%"}]
    world = upgrade(wanted=10, strategy="canary", canary={"steps": steps}, maxSurge="50%")
    until(world.tick(), RolloutPhase.WATCHING)
    assert serving(world, new(world)) == 1
    began = world.at
    until(world, RolloutPhase.ADDING)
    assert world.at - began == 30
    until(world, RolloutPhase.WATCHING)
    assert serving(world, new(world)) == 5
    assert roll(until(world, RolloutPhase.STABLE)).stable == new(world)


def test_a_manual_canary_step_waits_for_an_operator():
    steps = [{"weight": "10%", "manual": True}]
    world = upgrade(wanted=10, strategy="canary", canary={"steps": steps})
    until(world.tick(), RolloutPhase.WATCHING).ticks(until=300)
    assert (serving(world, new(world)), roll(world).paused) == (1, True)
    ask(world, "resume")
    assert roll(until(world, RolloutPhase.STABLE)).stable == new(world)


def chosen(world: World) -> dict[str, set[str]]:
    """Replicas by the route they are in."""
    assert world.last is not None
    routes = world.last.plan.snapshot.services[0].pools
    return {r.key.pool: {s.replica for s in r.servers if not s.draining} for r in routes}


def test_a_canary_by_header_has_a_route_of_its_own_and_the_old_ones_all_stay():
    steps = [{"weight": "25%", "header": {"x-canary": "yes"}, "manual": True}, {"weight": "50%"}]
    world = until(upgrade(strategy="canary", canary={"steps": steps}).tick(), RolloutPhase.WATCHING)
    routes = chosen(world.tick())
    assert {len(names) for names in routes.values()} == {2, 8}
    assert list(routes) == ["default_canary", "default"]
    assert world.last is not None
    route = world.last.plan.snapshot.services[0].pools[0]
    assert (route.canary_of, route.only, route.match) == ("default", (("x-canary", ("yes",)),), None)
    for _ in range(40):
        assert len(chosen(world.tick())["default"]) == 8, "a canary of few requests takes no capacity away"
    assert roll(world).paused
    ask(world, "resume")
    until(world, RolloutPhase.STABLE)
    assert set(chosen(world)) == {"default"}


def test_a_canary_whose_replicas_are_gone_leaves_its_requests_to_the_pool():
    steps = [{"weight": 1.0 / 8, "tenants": ["acme"], "manual": True}]
    world = until(upgrade(strategy="canary", canary={"steps": steps}).tick(), RolloutPhase.WATCHING)
    (name,) = chosen(world.tick())["default_canary"]
    assert world.last is not None
    assert world.last.plan.snapshot.services[0].pools[0].only == (("x-tidegate-tenant", ("acme",)),)
    world.crash(name).tick()
    assert set(chosen(world)) == {"default"}


def test_what_a_replica_failed_as_it_died_is_held_against_its_revision():
    steps = [{"weight": 1.0 / 8, "tenants": ["acme"], "manual": True}]
    world = until(upgrade(strategy="canary", canary={"steps": steps}).tick(), RolloutPhase.WATCHING)
    (name,) = chosen(world.tick())["default_canary"]
    world.traffic[new(world)] = (0, 20, 0.0)
    world.crash(name).tick()
    assert roll(world).phase is RolloutPhase.ROLLED_BACK
    assert roll(world).history[-1].reason.startswith("success")


def test_promoting_a_canary_by_header_lets_it_take_part_in_all():
    steps = [{"weight": "25%", "header": {"x-canary": "yes"}, "manual": True}]
    world = until(upgrade(strategy="canary", canary={"steps": steps}).tick(), RolloutPhase.WATCHING)
    ask(world, "promote")
    assert set(chosen(world.tick())) == {"default"}
    until(world, RolloutPhase.STABLE)


def test_a_canary_by_header_that_needs_more_than_the_surge_is_refused():
    with pytest.raises(ValueError, match="is above maxSurge"):
        Rollout(strategy="canary", canary={"steps": [{"weight": "50%", "header": {"x-canary": "yes"}}]})  # type: ignore[arg-type]


def test_blue_green_switches_when_all_are_ready_and_keeps_the_old_ones_a_while():
    world = upgrade(wanted=4, strategy="blueGreen", watchSeconds=20).tick()
    while roll(world).phase is RolloutPhase.ADDING:
        world.tick()
        both = (serving(world, new(world)), serving(world, old(world)))
        assert both in ((0, 4), (4, 0))
    assert (both, len(world.alive())) == ((4, 0), 8)
    world = until(world, RolloutPhase.STABLE)
    world.ticks(until=world.at - 1000 + 5)
    assert len(world.alive()) == 4


def test_blue_green_switches_back():
    world = upgrade(wanted=4, strategy="blueGreen")
    world.traffic = {"": BUSY, new(world): (30, 30, 0.1)}
    until(world.tick(), RolloutPhase.ROLLED_BACK)
    assert serving(world, old(world)) == len(world.alive()) == 4


# -- operators -----------------------------------------------------------------------------------------------------


def test_pause_holds_and_resume_goes_on():
    world = ask(upgrade(progressDeadlineSeconds=30).tick(), "pause").ticks(until=100)
    assert serving(world, new(world)) == 2
    assert roll(world).paused
    ask(world, "resume")
    assert roll(until(world, RolloutPhase.STABLE)).stable == new(world)


def test_a_wish_is_heard_once():
    world = ask(upgrade().tick(), "pause")
    pause = world.intents
    ask(world, "resume")
    world.intents = (*pause, *world.intents)
    assert not roll(world.tick().tick()).paused


def test_promote_does_not_watch():
    world = upgrade(watchSeconds=3600)
    world = ask(world.tick(), "promote")
    assert roll(until(world, RolloutPhase.STABLE, within_s=60)).stable == new(world)


def test_undo_on_the_way_goes_back():
    world = ask(until(upgrade().tick(), RolloutPhase.WATCHING), "undo")
    until(world, RolloutPhase.ROLLED_BACK)
    assert serving(world, old(world)) == len(world.alive()) == 8


def test_undo_afterwards_brings_the_last_revision_back():
    world = upgrade()
    before = world.replicas[world.serving[0]].revision
    ask(until(world.tick(), RolloutPhase.STABLE), "undo")
    until(world, RolloutPhase.ROLLED_BACK)
    assert serving(world, before) == len(world.alive()) == 8
    last = roll(world).history[-1]
    assert last.outcome == "rolled back" and last.ended_at > last.began_at, "how long going back took"


# -- the table -----------------------------------------------------------------------------------------------------


def test_every_phase_can_be_left_and_reached():
    reached = {after for moves in ROLLOUT_MOVES.values() for after in moves.values()}
    assert reached == set(RolloutPhase) == set(ROLLOUT_MOVES)
    assert all(moves for moves in ROLLOUT_MOVES.values())


def test_every_move_is_told_with_its_cause():
    world = upgrade()
    told = []
    while not told or roll(world).phase is not RolloutPhase.STABLE:
        told += [(m.before, m.after) for m in world.tick().last.rollouts]
    assert told[0] == ("stable", "adding")
    assert told[-1] == ("watching", "stable")
    assert all(ROLLOUT_MOVES[RolloutPhase(a)] for a, _ in told)


def test_memory_reads_what_an_older_version_wrote():
    text = codec.encode(replace(upgrade().tick().memory)).replace('"rollout":', '"unknown":')
    assert codec.decode(Memory, text).pools[KEY].rollout == RolloutMemory()
