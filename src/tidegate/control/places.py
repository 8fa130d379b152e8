"""The clusters of a status: what they have, what runs there, what waits for room, what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from tidegate.model.observed import Observed
from tidegate.model.plan import Tick
from tidegate.model.status import ClusterStatus
from tidegate.policy.distance import home_of, round_trip_s
from tidegate.policy.placement import amounts_of, hourly_price, options
from tidegate.spec.cluster import Cluster, Price
from tidegate.spec.resolve import Specs


def clusters(specs: Specs, observed: Observed, tick: Tick, faults: Mapping[str, str]) -> tuple[ClusterStatus, ...]:
    """Every declared cluster; `faults` says, as "cluster NAME", why one could not be seen."""
    pending = _pending(specs, tick)
    replicas = Counter(m.cluster for m in tick.memory.replicas.values())
    costs = _costs(specs, tick)
    home, measured = home_of(specs.clusters), tick.memory.round_trips_s
    return tuple(
        replace(
            _cluster(c, observed, faults, replicas[c.name], pending[c.name], costs.get(c.name, 0.0)),
            distance_s=round_trip_s(home, c, specs.clusters, measured),
            drained=c.name in tick.memory.drained,
        )
        for c in specs.clusters
    )


def _cluster(
    cluster: Cluster,
    observed: Observed,
    faults: Mapping[str, str],
    replicas: int,
    pending: int,
    cost: float,
) -> ClusterStatus:
    seen, spec = observed.clusters.get(cluster.name), cluster.spec
    return ClusterStatus(
        name=cluster.name,
        runtime=spec.runtime,
        region=spec.region,
        capacity=dict(seen.capacity) if seen else None,
        used=dict(seen.used) if seen else None,
        healthy=seen.healthy if seen else False,
        detail=seen.detail if seen else faults.get(f"cluster {cluster.name}", ""),
        zone=spec.zone,
        replicas=replicas,
        pending=pending,
        prices=_prices(spec.price),
        cost_per_hour=cost,
        quotas={service: amounts_of(quota) for service, quota in spec.quota.items()},
    )


def _pending(specs: Specs, tick: Tick) -> Counter[str]:
    """Replicas that fit nowhere, each counted in the cluster it would go to first."""
    waiting = {p.key: p.pending for p in tick.plan.pools if p.pending}
    counts: Counter[str] = Counter()
    for pool in specs.pools:
        if pool.key in waiting:
            for first in options(pool, specs.clusters, waiting[pool.key]).order[:1]:
                counts[first] += waiting[pool.key]
    return counts


def _costs(specs: Specs, tick: Tick) -> dict[str, float]:
    resources = {p.key: p.resources for p in specs.pools}
    declared = {c.name: c for c in specs.clusters}
    costs: dict[str, float] = {}
    for m in tick.memory.replicas.values():
        if m.cluster in declared and m.key in resources:
            costs[m.cluster] = costs.get(m.cluster, 0.0) + hourly_price(declared[m.cluster], resources[m.key])
    return costs


def _prices(price: Price) -> dict[str, float]:
    named = {"cpu": price.cpu, "memory": price.memory} | {f"gpu/{k}": p for k, p in price.gpu.items()}
    return {k: p for k, p in named.items() if p}
