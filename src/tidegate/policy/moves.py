"""Replicas that change clusters: taken back when room returns or money says so, displaced by what is more urgent.

Both only name replicas; the tick replaces a moved one first and drains it then, and drains a displaced one at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tidegate.model.memory import ReplicaMemory
from tidegate.policy.placement import Options, Room, better
from tidegate.policy.reconcile import Standing, victims
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolSpec


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

    The last-preferred cluster is left first. A pool that is starting, replacing or short of replicas moves nothing.
    """
    if not standing or any(s.stale or not s.ready for s in standing):
        return None
    per_cluster: dict[str, int] = {}
    for s in standing:
        per_cluster[s.memory.cluster] = per_cluster.get(s.memory.cluster, 0) + 1
    for here in reversed(choice.order):
        cluster = clusters.get(here)
        if cluster is None or not per_cluster.get(here) or per_cluster[here] <= _kept_for_spread(choice, per_cluster):
            continue
        target = better(pool, cluster, choice, room, clusters, pressed_at=pressed_at, startup_s=startup_s, at=at)
        if target is not None and per_cluster.get(target, 0) < choice.most:
            mine = [s for s in standing if s.memory.cluster == here]
            return victims(mine, 1, choice.order)[0].id, target
    return None


def _kept_for_spread(choice: Options, per_cluster: Mapping[str, int]) -> int:
    """How many replicas must stay in a cluster so that the pool stays spread over enough of them."""
    return 1 if sum(1 for n in per_cluster.values() if n) <= choice.min_clusters and choice.min_clusters > 1 else 0


def preempt(
    pool: PoolSpec, pending: int, choice: Options, room: Room, batch: Iterable[tuple[str, ReplicaMemory, PoolSpec]]
) -> list[str]:
    """Replicas of `batch` services to drain so that `pending` replicas of an interactive pool find room.

    Room that draining replicas give back soon is counted first, so that nobody is displaced twice for the same need.
    Newest go first; only as many as are needed.
    """
    if pool.placement.latencyClass == "batch":
        return []
    chosen: list[str] = []
    candidates = sorted(batch, key=lambda b: (-b[1].created_at, b[0]))
    for _ in range(pending):
        if not any(room.promise(c, pool.resources) for c in choice.order):
            displaced = _make_room(pool, choice, room, candidates, chosen)
            if not displaced:
                break
            chosen += displaced
    return chosen


def _make_room(
    pool: PoolSpec,
    choice: Options,
    room: Room,
    candidates: Sequence[tuple[str, ReplicaMemory, PoolSpec]],
    chosen: Sequence[str],
) -> list[str]:
    """The fewest newest batch replicas of one cluster whose room holds one more replica; it is reserved."""
    for cluster in choice.order:
        taken: list[str] = []
        for name, memory, spec in candidates:
            if memory.cluster != cluster or name in chosen:
                continue
            taken.append(name)
            room.expect(cluster, spec.resources)
            if room.promise(cluster, pool.resources):
                return taken
        for name in taken:  # not enough even with all of them: give the expectation back
            spec = next(s for n, _, s in candidates if n == name)
            room.unexpect(cluster, spec.resources)
    return []
