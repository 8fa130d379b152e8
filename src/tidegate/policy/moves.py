"""Replicas that change clusters: taken back when room returns or money says so, displaced by what is more urgent.

Both only name replicas; the tick replaces a moved one first and drains it then, and drains a displaced one at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tidegate.model.memory import ReplicaMemory
from tidegate.policy import lifecycle
from tidegate.policy.placement import Options, Room, better
from tidegate.policy.reconcile import Standing, victims
from tidegate.policy.room import kept_there
from tidegate.policy.work import Work
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolSpec

MOVED = "moved to "  # how the `leaving` of a replica begins that only goes to a better cluster


def reclaim(
    pool: PoolSpec,
    standing: Sequence[Standing],
    choice: Options,
    room: Room,
    clusters: Mapping[str, Cluster],
    *,
    pressed_at: Mapping[str, float],
    startup_s: float,
    at: float,
) -> tuple[str, str] | None:
    """A replica to move and the cluster it should go to; None when all is well or a move is under way.

    Where the spread is not as declared (after a scale-down, or while a cluster was away) it is mended first; then the
    last-preferred cluster is left first. A pool that is starting, replacing or short of replicas moves nothing.
    """
    per_cluster: dict[str, int] = {}
    for s in standing:
        if s.stale or not s.ready:
            return None
        per_cluster[s.memory.cluster] = per_cluster.get(s.memory.cluster, 0) + 1
    if not per_cluster:
        return None
    crowded = _crowded(pool, choice, room, per_cluster)
    if crowded is not None:
        return _least_missed(standing, crowded[0], choice), crowded[1]
    kept = _kept_for_spread(choice, per_cluster)
    for here in reversed(choice.order):
        cluster = clusters.get(here) if here in per_cluster else None
        if cluster is None or per_cluster[here] <= kept:
            continue
        target = better(pool, cluster, choice, room, clusters, pressed_at=pressed_at, startup_s=startup_s, at=at)
        if target is not None and per_cluster.get(target, 0) < choice.most:
            return _least_missed(standing, here, choice), target
    return None


def _least_missed(standing: Sequence[Standing], cluster: str, choice: Options) -> str:
    return victims([s for s in standing if s.memory.cluster == cluster], 1, choice.order)[0].id


def _crowded(pool: PoolSpec, choice: Options, room: Room, per_cluster: Mapping[str, int]) -> tuple[str, str] | None:
    """The cluster that holds too many replicas for the declared spread, and one that takes one of them."""
    fullest = max(per_cluster.values())
    narrow = len(per_cluster) < choice.min_clusters and fullest > 1
    if fullest <= choice.most and not narrow:
        return None
    here = max(c for c, n in per_cluster.items() if n == fullest)
    most = 1 if narrow else choice.most
    target = next((c for c in choice.order if per_cluster.get(c, 0) < most and room.fits(c, pool)), None)
    return (here, target) if target is not None else None


def _kept_for_spread(choice: Options, per_cluster: Mapping[str, int]) -> int:
    """How many replicas must stay in a cluster so that the pool stays spread over enough of them."""
    return 1 if sum(1 for n in per_cluster.values() if n) <= choice.min_clusters and choice.min_clusters > 1 else 0


def preempt(
    pool: PoolSpec,
    pending: int,
    choice: Options,
    room: Room,
    batch: Iterable[tuple[str, ReplicaMemory, PoolSpec]],
    *,
    there: Mapping[str, int],
) -> list[str]:
    """Replicas of `batch` services to drain so that `pending` replicas of an interactive pool find room.

    Room that draining replicas give back soon is counted first, so that nobody is displaced twice for the same need.
    Newest go first; only as many as are needed, and only where the pool may have more (`there` counts what it has).
    """
    if pool.placement.latencyClass == "batch":
        return []
    chosen: list[str] = []
    candidates = sorted(batch, key=lambda b: (-b[1].created_at, b[0]))
    have = dict(there)
    for _ in range(pending):
        order = [c for c in choice.order if have.get(c, 0) < choice.most and room.allows(c, pool)]
        cluster = next((c for c in order if room.promise(c, pool)), None)
        if cluster is None:
            cluster, displaced = _make_room(pool, order, room, candidates, chosen)
            if cluster is None:
                break
            chosen += displaced
        have[cluster] = have.get(cluster, 0) + 1
    return chosen


def _make_room(
    pool: PoolSpec,
    order: Sequence[str],
    room: Room,
    candidates: Sequence[tuple[str, ReplicaMemory, PoolSpec]],
    chosen: Sequence[str],
) -> tuple[str | None, list[str]]:
    """The fewest newest batch replicas of one cluster whose room holds one more replica; it is reserved."""
    for cluster in order:
        taken: list[str] = []
        for name, memory, spec in candidates:
            if memory.cluster != cluster or name in chosen:
                continue
            taken.append(name)
            room.expect(cluster, spec.resources)
            if room.promise(cluster, pool):
                return cluster, taken
        for name in taken:  # not enough even with all of them: give the expectation back
            spec = next(s for n, _, s in candidates if n == name)
            room.unexpect(cluster, spec.resources)
    return None, []


def stay(work: Work, standing: list[Standing]) -> bool:
    """Call off the moves of a pool whose room went to others in the meantime; whether there were any."""
    moving = [s.id for s in standing if s.memory.leaving.startswith(MOVED)]
    for name in moving:
        work.replicas[name] = replace(work.replicas[name], leaving="")
    return bool(moving)


def move_one(work: Work, spec: PoolSpec, standing: list[Standing], choice: Options, startup_s: float) -> None:
    """Begin to move one replica to a cluster that is better for it, when one has had room for a while."""
    if len(choice.order) < 2 and len({s.memory.cluster for s in standing} | set(choice.order)) < 2:
        return
    if work.room.unseen and any(s.memory.cluster in work.room.unseen for s in standing):
        return  # what cannot be seen is not moved away for that, and its room may come back
    move = reclaim(
        spec,
        standing,
        work.open(choice),
        work.room,
        work.clusters,
        pressed_at=work.before.pressed_at,
        startup_s=startup_s,
        at=work.observed.at,
    )
    if move is not None:
        name, target = move
        work.replicas[name] = replace(work.replicas[name], leaving=f"{MOVED}{target}")
        work.room.take(target, spec)  # nobody else may have it until the replica that moves is started there
        work.wake.append(work.observed.at)


def displace(
    work: Work,
    spec: PoolSpec,
    pending: int,
    choice: Options,
    standing: list[Standing],
    placed: Iterable[str],
) -> None:
    """Drain replicas of batch services where an interactive one finds no room."""
    there = kept_there(standing, placed)
    batch = [
        (n, m, owner)
        for owner in work.specs.pools
        if owner.placement.latencyClass == "batch"
        for n, m in work.alive(owner.key)
    ]
    for name in preempt(spec, pending, work.open(choice), work.room, batch, there=there):
        why = f"makes room for {spec.key}"
        work.replicas[name] = lifecycle.retire(work.replicas[name], why, work.observed.at)
