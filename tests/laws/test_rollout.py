"""Laws of upgrades in generated worlds: replicas crash, tests fail, load and manifests change, at any moment.

Kept whatever happens: enough serve (as far as crashes allow), never more than wanted + surge are alive, no batch begins
before the one before it was verified and watched, and a rollout that is left alone ends or goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from policy.world import KEY, World, service
from tidegate.model.lifecycle import ROLLOUT_MOVES, ReplicaState, RolloutPhase
from tidegate.model.memory import Memory, RolloutMemory
from tidegate.model.observed import Intent, Verdict
from tidegate.store import codec

WATCH_S = 4.0
DEADLINE_S = 40.0
FORWARD = (RolloutPhase.ADDING, RolloutPhase.WATCHING)

rollouts = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["rolling", "rolling", "canary", "blueGreen"]),
        "batch": st.sampled_from([1, 2, "25%", "50%", "100%"]),
        "maxSurge": st.sampled_from([0, 1, 3, "25%", "50%"]),
        "maxUnavailable": st.sampled_from([0, 0, 1, "25%"]),
    }
)
# What happens in one second: mostly nothing.
happenings = st.lists(
    st.one_of(
        st.none(),
        st.none(),
        st.none(),
        st.tuples(st.just("crash"), st.integers(0, 30)),
        st.tuples(st.just("scale"), st.integers(0, 12)),
        st.tuples(st.just("declare"), st.integers(1, 4)),
        st.tuples(st.just("ask"), st.sampled_from(["pause", "resume", "promote", "undo", "retry"])),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)
faults = st.fixed_dictionaries(
    {
        "unverified": st.booleans(),
        "never ready": st.booleans(),
        "failing": st.booleans(),
        "busy": st.booleans(),
    }
)


@dataclass
class Fleet:
    """A world in which versions 2, 4, ... are bad in the ways of `how`; versions are declared by number."""

    rollout: dict[str, Any]
    how: dict[str, bool]
    world: World = field(default_factory=World)
    crashed: bool = False

    def begin(self, wanted: int) -> Fleet:
        self.world.wanted = wanted
        if self.how["busy"]:
            self.world.traffic = {"": (30, 0, 0.1)}
        self.declare(1)
        self.world.ticks(until=6)
        return self

    def declare(self, version: int) -> None:
        given = self.rollout | {"watchSeconds": WATCH_S, "progressDeadlineSeconds": DEADLINE_S}
        if given["maxSurge"] == 0 and given["maxUnavailable"] == 0:
            given["maxSurge"] = 1
        spec = {"env": {"V": str(version)}, "rollout": given | {"verify": {"python": "golden.py"}}}
        self.world.services = (service(scaling={"maxReplicas": 50}, **spec),)
        if version % 2 == 0:
            revision = self.world.specs.pools[0].revision
            self.world.unverified |= {revision} if self.how["unverified"] else set()
            self.world.bad_revisions |= {revision} if self.how["never ready"] else set()
            if self.how["failing"]:
                self.world.traffic[revision] = (20, 5, 0.1)

    def happen(self, what: tuple[str, Any] | None) -> None:
        world = self.world
        self.crashed = False
        match what:
            case ("crash", number) if world.alive():
                world.crash(world.alive()[number % len(world.alive())])
                self.crashed = True
            case ("scale", wanted):
                world.wanted = wanted
            case ("declare", version):
                self.declare(version)
            case ("ask", verb):
                world.intents = (Intent(f"{verb}-rollout", "ocr", world.at),)
            case ("restart", _):
                world.memory = codec.decode(Memory, codec.encode(world.memory))

    @property
    def roll(self) -> RolloutMemory:
        return self.world.memory.pools[KEY].rollout

    def alive(self) -> int:
        gone = (ReplicaState.DRAINING, ReplicaState.GONE)
        return sum(m.state not in gone for m in self.world.memory.replicas.values())

    def most(self) -> int:
        rollout, wanted = self.world.specs.pools[0].service.rollout, self.world.wanted
        both = 2 * wanted if rollout.strategy == "blueGreen" else 0
        return max(both, wanted + max(1, rollout.surge_of(wanted)))

    def least(self) -> int:
        """Ready ones below which no ready one may be taken away."""
        rollout, wanted = self.world.specs.pools[0].service.rollout, self.world.wanted
        zero = rollout.surge_of(wanted) == 0
        return wanted - min(wanted, max(rollout.unavailable_of(wanted), int(zero)))


def ready(world: World) -> set[str]:
    return {n for n, m in world.memory.replicas.items() if m.state is ReplicaState.READY and world.replicas[n].running}


@given(rollouts, faults, st.integers(0, 9), happenings)
@settings(max_examples=150, deadline=None)
def test_enough_serve_and_never_too_many_are_alive(rollout: Any, how: Any, wanted: int, story: Any):
    fleet = Fleet(rollout, how).begin(wanted)
    fleet.declare(2)
    for what in [None, *story]:
        fleet.happen(what)
        before, alive = ready(fleet.world), fleet.alive()
        fleet.world.tick()
        after = ready(fleet.world)
        assert len(after) >= min(len(before), fleet.least()), "a ready replica was taken away though it was needed"
        assert fleet.alive() <= max(fleet.most(), alive), "more than wanted and surge were started"


@given(rollouts, faults, st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_alive_stays_within_the_surge_while_nothing_else_changes(rollout: Any, how: Any, wanted: int):
    fleet = Fleet(rollout, how).begin(wanted)
    fleet.declare(2)
    for _ in range(120):
        fleet.world.tick()
        assert fleet.alive() <= fleet.most()
        assert len(ready(fleet.world)) >= fleet.least()


@given(rollouts, faults, st.integers(0, 9), happenings)
@settings(max_examples=150, deadline=None)
def test_no_batch_begins_before_the_last_one_was_verified_and_watched(rollout: Any, how: Any, wanted: int, story: Any):
    fleet = Fleet(rollout, how).begin(wanted)
    fleet.declare(2)
    for what in [None, *story]:
        fleet.happen(what)
        was = fleet.roll
        fleet.world.tick()
        now, at = fleet.roll, fleet.world.at
        for step in fleet.world.last.rollouts:
            assert step.after in ROLLOUT_MOVES[RolloutPhase(step.before)].values()
        grown = now.phase in FORWARD and now.target == was.target and was.phase in FORWARD and now.done > was.done
        if grown and not (was.promoted or now.promoted):
            assert was.phase is RolloutPhase.WATCHING
            assert at - was.since >= WATCH_S
        for name in fleet.world.serving:
            replica = fleet.world.replicas.get(name)
            assert replica is None or replica.verify is Verdict.PASS, f"{name} serves without having passed its test"


@given(rollouts, faults, st.integers(0, 9), happenings)
@settings(max_examples=80, deadline=None)
def test_a_rollout_that_is_left_alone_ends_or_goes_back(rollout: Any, how: Any, wanted: int, story: Any):
    fleet = Fleet(rollout, how).begin(wanted)
    fleet.declare(2)
    for what in [None, *story]:
        fleet.happen(what)
        fleet.world.tick()
    world = fleet.world
    world.wanted = max(1, world.wanted)
    fleet.happen(("ask", "resume"))
    for _ in range(900):
        world.tick()
        if fleet.roll.phase in (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK):
            break
    assert fleet.roll.phase in (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK), fleet.roll
