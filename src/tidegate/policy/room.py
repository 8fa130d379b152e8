"""Room in the clusters: charged with what stands, given to what is to start, given up where there is none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tidegate.model.lifecycle import ReplicaState
from tidegate.policy import lifecycle, placement, reconcile, refusals, rollout
from tidegate.policy.work import Work
from tidegate.spec.resolve import PoolSpec

DRAINING, GONE = ReplicaState.DRAINING, ReplicaState.GONE


def account(work: Work) -> None:
    """Charge what is there to the quotas, and note what draining replicas will give back."""
    for name, memory in work.replicas.items():
        if memory.state is not DRAINING and name in work.seen and not work.room.quota:
            continue
        spec = work.declared.get(memory.key)
        if spec is None or memory.state is GONE:
            continue
        work.room.charge(memory.cluster, spec)
        if name not in work.seen:
            work.room.assume(memory.cluster, spec)
        if memory.state is DRAINING and name in work.seen:
            work.room.expect(memory.cluster, spec.resources)


def options(work: Work, spec: PoolSpec, wanted: int) -> placement.Options:
    """Clusters for a pool in order of preference, near its users first."""
    choice = placement.options(spec, work.specs.clusters, wanted, work.way)
    usable = sum(c in work.room.capacity for c in choice.order)
    if 0 < usable < len(choice.order) and any(c in work.room.unseen for c in choice.order):
        # What cannot be seen protects nobody: serving all in what is left goes before the share in one cluster.
        choice = choice._replace(most=max(choice.most, -(-wanted // usable)))
    work.orders[spec.key] = choice.order
    return choice


def place(
    work: Work,
    spec: PoolSpec,
    count: int,
    choice: placement.Options,
    standing: list[reconcile.Standing],
    placed: Iterable[str],
) -> tuple[str, ...]:
    if not count:
        return ()
    failing = frozenset(v.cluster for v in work.pools[spec.key].vacancies if v.restarts > 1)
    there = kept_there(standing, placed)
    return placement.place(spec, count, work.open(choice), work.room, there=there, avoid=failing)


def overflow(work: Work) -> None:
    """Give up replicas for which their cluster finds no room, where another one has some."""
    unplaced = [n for n, seen in work.seen.items() if not seen.placed]
    told = {}
    for name in unplaced:
        memory, spec = work.replicas[name], work.declared.get(work.replicas[name].key)
        waited_s = work.observed.at - memory.created_at
        if spec is None or memory.state is not ReplicaState.STARTING:
            continue
        after_s = spec.placement.overflow.afterSeconds
        if waited_s < after_s:
            work.wake.append(memory.created_at + after_s)
            continue
        told[memory.cluster] = refusals.refused(work.before.refusals.get(memory.cluster), work.observed.at)
        work.room.close(memory.cluster)
        order = work.open(options(work, spec, 1)).order
        if any(work.room.fits(c, spec) for c in order if c != memory.cluster):
            why = f"no room in {memory.cluster} after {waited_s:.0f} s"
            work.replicas[name] = lifecycle.retire(memory, why, work.observed.at)
    work.refusals |= told


def make(work: Work, spec: PoolSpec, wanted: int, standing: list[reconcile.Standing], order: tuple[str, ...]) -> None:
    """Let one old replica go first when there is no room to surge, rather than never finish a rollout.

    Not one in a cluster that an operator drains: the room it leaves is no room for another one.
    """
    stale = [s for s in standing if s.stale and s.memory.cluster not in work.drained]
    under_way = any(not s.ready for s in standing) or any(m.state is DRAINING for _, m in work.mine(spec.key))
    pool = work.pools[spec.key]
    if wanted >= 2 and not under_way and rollout.may_crowd(spec, pool.rollout, wanted):
        work.pools[spec.key] = replace(pool, rollout=replace(pool.rollout, crowded=True, crowded_at=wanted))
        work.wake.append(work.observed.at)
    elif wanted >= 2 and stale and not under_way:
        name = reconcile.victims(stale, 1, order)[0].id
        work.replicas[name] = lifecycle.retire(work.replicas[name], "replaced, no room to surge", work.observed.at)


def kept_there(standing: Iterable[reconcile.Standing], placed: Iterable[str] = ()) -> dict[str, int]:
    """Replicas per cluster that stay, and those that are started there now."""
    there: dict[str, int] = {}
    for s in standing:
        there[s.memory.cluster] = there.get(s.memory.cluster, 0) + (not s.stale)
    for cluster in placed:
        there[cluster] = there.get(cluster, 0) + 1
    return there
