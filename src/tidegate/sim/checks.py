"""What must hold in every world after every tick. A breach is a bug of the policy or the simulator, no result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.base.errors import SimulationError
from tidegate.model.actions import Publish, Start, Stop
from tidegate.model.lifecycle import ReplicaState
from tidegate.model.plan import Tick
from tidegate.sim.faults import Fault
from tidegate.sim.front import Front
from tidegate.sim.places import Places
from tidegate.spec.resolve import Specs

ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Scene:
    """A world just after a decision and before it is obeyed."""

    specs: Specs
    decided: Tick
    places: Places
    front: Front
    faults: list[Fault]
    now: float


def check(scene: Scene, repeat: str) -> None:
    """Raise when something does not hold.

    Raises:
        SimulationError: names every breach and the command that repeats the run.
    """
    breaches = [
        *_starts(scene),
        *_stops(scene),
        *_routing(scene),
        *_bounds(scene),
        *_capacity(scene),
        *_rollouts(scene),
        *_verified(scene),
    ]
    if breaches:
        told = "\n".join(f"  at second {scene.now:.3f}: {b}" for b in breaches)
        raise SimulationError(f"the simulated world broke:\n{told}\nRepeat it with:\n  {repeat}")


def _starts(scene: Scene) -> Iterator[str]:
    seen = set(scene.places.bodies)
    for action in scene.decided.actions:
        if isinstance(action, Start):
            if action.replica in seen:
                yield f"replica {action.replica} is started, but the name is taken"
            seen.add(action.replica)


def _stops(scene: Scene) -> Iterator[str]:
    replicas = scene.decided.memory.replicas
    for action in scene.decided.actions:
        if not isinstance(action, Stop) or action.replica not in scene.places.bodies:
            continue
        busy, known = scene.front.busy(action.replica), replicas.get(action.replica)
        if busy and action.grace_s > ROUNDING and known is not None and not _may_be_cut(known.cause):
            yield f"replica {action.replica} is stopped with {busy} requests on it and {action.grace_s:.1f} s left"


def _may_be_cut(cause: str) -> bool:
    """A sick replica is stopped at once: its requests are lost anyway."""
    return cause.startswith(("liveness failed", "startup failed", "prepare failed"))


def _routing(scene: Scene) -> Iterator[str]:
    for action in scene.decided.actions:
        if not isinstance(action, Publish):
            continue
        yield from action.snapshot.check()
        for service in action.snapshot.services:
            for route in service.pools:
                for server in route.servers:
                    body = scene.places.bodies.get(server.replica)
                    if body is not None and body.prepared > scene.now + ROUNDING:
                        yield f"replica {server.replica} is in the routing, but it is not prepared"
                    elif body is not None and not body.passed(scene.now + ROUNDING):
                        yield f"replica {server.replica} is in the routing, but its verify has not passed"
                    if body is not None and body.key != route.key:
                        yield f"replica {server.replica} of {body.key} is in the routing of {route.key}"


def _bounds(scene: Scene) -> Iterator[str]:
    most = {}
    for spec in scene.specs.pools:
        scheduled = [s.maxReplicas for s in spec.scaling.schedules if s.maxReplicas is not None]
        most[spec.key] = max([spec.scaling.maxReplicas, *scheduled])
    for plan in scene.decided.plan.pools:
        if not 0 <= plan.wanted <= most[plan.key]:
            yield f"{plan.key}: {plan.wanted} replicas wanted, maxReplicas is {most[plan.key]}"


def _capacity(scene: Scene) -> Iterator[str]:
    """What is started fits beside what runs (what ran before a cluster shrank may exceed it)."""
    places = scene.places
    new: dict[str, dict[str, float]] = {}
    for action in scene.decided.actions:
        if isinstance(action, Start):
            amounts = places.pools[action.key].resources.amounts()
            total = new.setdefault(action.cluster, {})
            for name, amount in amounts.items():
                total[name] = total.get(name, 0.0) + amount
    for cluster, wanted in new.items():
        if cluster not in places.clusters:
            yield f"a replica is started in {cluster}, which is not declared"
            continue
        used, capacity = places.used(cluster, scene.now), places.claimed(cluster, scene.faults)
        for name, amount in wanted.items():
            if used.get(name, 0.0) + amount > capacity.get(name, 0.0) + ROUNDING:
                yield (
                    f"{cluster}: {used.get(name, 0.0):g} of {name} used and {amount:g} more started, "
                    f"capacity is {capacity.get(name, 0.0):g}"
                )


def _verified(scene: Scene) -> Iterator[str]:
    """No replica counts as ready, and so none makes a batch good, before its verify has passed."""
    for t in scene.decided.transitions:
        body = scene.places.bodies.get(t.replica)
        if t.after is ReplicaState.READY and body is not None and not body.passed(scene.now + ROUNDING):
            yield f"replica {t.replica} is ready, but its verify has not passed"


def _rollouts(scene: Scene) -> Iterator[str]:
    """A rollout takes no ready replica away that is needed now, and starts no more than the surge allows."""
    if any(scene.places.hidden(c, scene.faults) for c in scene.places.clusters):
        return  # what cannot be seen may be gone: its place is filled elsewhere, and it is kept all the same
    memory, specs = scene.decided.memory, {p.key: p for p in scene.specs.pools}
    taken = {
        t.key for t in scene.decided.transitions if t.before == "ready" and t.cause.startswith(("replaced", "rolled"))
    }
    started = {a.key for a in scene.decided.actions if isinstance(a, Start)}
    for plan in scene.decided.plan.pools:
        if plan.key not in specs or plan.key not in taken | started:
            continue
        rollout, wanted = specs[plan.key].service.rollout, plan.wanted
        states = [m.state for m in memory.replicas.values() if m.key == plan.key]
        missing = max(rollout.unavailable_of(wanted), 1)  # 1: without room to surge an old one goes first
        if plan.key in taken and states.count(ReplicaState.READY) < wanted - missing:
            yield f"{plan.key}: a rollout left {states.count(ReplicaState.READY)} ready replicas of {wanted} wanted"
        alive = sum(s not in (ReplicaState.DRAINING, ReplicaState.GONE) for s in states)
        most = 2 * wanted if rollout.strategy == "blueGreen" else wanted + max(1, rollout.surge_of(wanted))
        if plan.key in started and alive > most:
            yield f"{plan.key}: {alive} replicas alive after a start, {most} allowed for {wanted} wanted"
