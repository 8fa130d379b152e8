"""`tick`: the one decision function. Live loop, dry run, simulator and replay all call it.

Order of business: every replica takes one step of its life; every pool says how many it wants; what is wanted is
compared with what stands, within the room there is; the routing follows; actions come out in the order they must be
done (routing before stopping).
"""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.model.actions import Publish
from tidegate.model.lifecycle import ReplicaState
from tidegate.model.memory import Memory, ReplicaMemory
from tidegate.model.observed import Observed
from tidegate.model.plan import Plan, Tick, Transition
from tidegate.model.scaling import Scale
from tidegate.policy import balancing, lifecycle, lives, pools, remedy, room, routing, termination
from tidegate.policy.scaling import scale as promise_scale
from tidegate.policy.work import Work
from tidegate.spec.resolve import Specs

GONE = ReplicaState.GONE


def tick(specs: Specs, observed: Observed, memory: Memory, *, scale: Scale = promise_scale) -> Tick:
    """Decide once.

    Args:
        specs: what is declared.
        observed: what was seen; `observed.at` is now.
        memory: what the last tick returned (`Memory()` at the very beginning).
        scale: the scaling policy; the simulator passes the baselines it compares with.
    """
    work = Work.of(specs, observed, memory)
    lives.advance(work)
    remedy.apply(work)
    room.account(work)
    room.overflow(work)
    nearest_first = sorted(specs.pools, key=lambda p: p.placement.latencyClass == "batch")
    plans = {pool.key: pools.decide(work, pool, scale) for pool in nearest_first}
    termination.remember_grace(work)
    termination.retire_undeclared(work)
    termination.stop_drained(work)
    by_pool = work.by_pool()
    weights = balancing.balance(work, by_pool, plans)
    shot = routing.snapshot(specs, by_pool, memory.addresses, frozenset(work.held), weights, work.canaries)
    return _finished(work, Plan(tuple(plans[p.key] for p in specs.pools), shot))


def _finished(work: Work, plan: Plan) -> Tick:
    gateway = work.observed.gateway
    first = [Publish(plan.snapshot)] if gateway is not None and gateway.version != plan.snapshot.version else []
    seen, last = work.seen, work.before.addresses
    addresses = {n: a for n in work.replicas if (a := (seen[n].address if n in seen else None) or last.get(n))}
    pressed = {**work.before.pressed_at, **dict.fromkeys(work.room.pressed, work.observed.at)}
    memory = Memory(
        work.pools, work.replicas, addresses, pressed, work.refusals, work.round_trips_s, dict(work.drained)
    )
    return Tick(
        plan=plan,
        actions=(*first, *work.actions),
        memory=memory,
        transitions=tuple(_transitions(work)),
        look_again_at=min(work.wake, default=None),
        rollouts=tuple(work.rollouts),
        ejections=tuple(work.ejections),
        marks=tuple(work.marks),
    )


def _transitions(work: Work) -> Iterable[Transition]:
    at = work.observed.at
    for name, was in work.before.replicas.items():
        now = work.replicas.get(name)
        if now is was:
            continue
        after = now.state if now else GONE
        if was.state is not after:
            cause = now.cause if now else _last_cause(work, name, was)
            yield Transition(name, was.key, was.state, after, cause, at)
    for name, now in work.replicas.items():
        if name not in work.before.replicas:
            yield Transition(name, now.key, "", now.state, now.cause, at)


def _last_cause(work: Work, name: str, was: ReplicaMemory) -> str:
    seen = work.seen.get(name)
    step = lifecycle.advance(was, seen, cluster_seen=True, at=work.observed.at)
    return step.memory.cause
