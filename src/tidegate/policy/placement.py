"""Where replicas go: room per cluster, reserved as it is given out, so that nothing is spent twice.

Clusters are tried in the manifest's order of preference (all of them by name when it gives none). What is there stays
there; what fits nowhere is pending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tidegate.model.observed import ClusterSeen
from tidegate.spec.cluster import Cluster
from tidegate.spec.common import Resources
from tidegate.spec.resolve import PoolSpec

ROOM_EPSILON = 1e-6  # cores are written with at most three decimals; sums of them carry rounding errors


@dataclass(slots=True)
class Room:
    """Free amounts per cluster during one tick; `take` reserves."""

    free: dict[str, dict[str, float]] = field(default_factory=dict)

    @staticmethod
    def of(clusters: Iterable[Cluster], seen: Mapping[str, ClusterSeen]) -> Room:
        """Room in the clusters that are declared, can be seen, are healthy and take replicas (static ones do not)."""
        free = {}
        for cluster in clusters:
            view = seen.get(cluster.name)
            if view is None or not view.healthy or cluster.spec.runtime == "static":
                continue
            free[cluster.name] = {k: amount - view.used.get(k, 0.0) for k, amount in view.capacity.items()}
        return Room(free)

    def fits(self, cluster: str, resources: Resources) -> bool:
        """Whether one replica fits now; a resource the cluster does not name is one it does not have."""
        free = self.free.get(cluster)
        if free is None:
            return False
        return all(free.get(k, 0.0) + ROOM_EPSILON >= amount for k, amount in resources.amounts().items())

    def take(self, cluster: str, resources: Resources) -> None:
        """Reserve the room of one replica."""
        free = self.free[cluster]
        for k, amount in resources.amounts().items():
            free[k] = free.get(k, 0.0) - amount


def preference(pool: PoolSpec, clusters: Iterable[Cluster]) -> tuple[str, ...]:
    """The clusters a pool may use, best first."""
    return pool.placement.clusters or tuple(c.name for c in clusters)


def place(pool: PoolSpec, count: int, order: tuple[str, ...], room: Room, closed: frozenset[str]) -> tuple[str, ...]:
    """Clusters for up to `count` new replicas, room reserved; shorter than `count` when there is no more room."""
    placed: list[str] = []
    for name in order:
        if name in closed:
            continue
        while len(placed) < count and room.fits(name, pool.resources):
            room.take(name, pool.resources)
            placed.append(name)
    return tuple(placed)
