"""What a replica costs an hour."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tidegate.spec.cluster import Cluster
from tidegate.spec.common import Resources
from tidegate.spec.resolve import PoolSpec


def hourly_price(cluster: Cluster, resources: Resources) -> float:
    """Money one replica costs per hour in a cluster."""
    price = cluster.spec.price
    cards = math.fsum(count * price.gpu.get(kind, 0.0) for kind, count in resources.gpu.items())
    return resources.cpu * price.cpu + resources.memory / 2**30 * price.memory + cards


def price_of(cluster: str, spec: PoolSpec, clusters: Mapping[str, Cluster]) -> float | None:
    """A replica's price; where the journal does not say its cluster, the only one there is. None: no price is known."""
    name = cluster or (next(iter(clusters)) if len(clusters) == 1 else "")
    if name not in clusters or not _has_price(clusters[name]):
        return None
    return hourly_price(clusters[name], spec.resources)


def _has_price(cluster: Cluster) -> bool:
    price = cluster.spec.price
    return bool(price.cpu or price.memory or any(price.gpu.values()))
