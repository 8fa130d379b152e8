"""How far clusters are from those who call: given in manifests, measured by the gateway, or taken to be far.

Distances are network round trips in seconds, between a region and a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tidegate.spec.cluster import Cluster

FAR_S = 0.05  # another region of which nothing is known; a usual round trip within a continent
STEP_S = 0.005  # measured round trips are compared in steps of this size, so that noise moves nothing
HALF_LIFE_LOOKS = 10  # a measured round trip counts half after this many further looks


def home_of(clusters: Sequence[Cluster]) -> str:
    """The region of the gateway: of the cluster that says so, else of the first local one, else of the first."""
    chosen = [c for c in clusters if c.spec.gateway] or [c for c in clusters if c.spec.runtime == "local"]
    return (chosen or list(clusters))[0].spec.region if clusters else ""


def round_trip_s(region: str, cluster: Cluster, clusters: Iterable[Cluster], measured: Mapping[str, float]) -> float:
    """From `region` to `cluster`: what either of the two gives, else nothing within a region, else what was measured.

    `measured` holds round trips from the gateway by cluster name; pass an empty one for other regions.
    """
    given = cluster.spec.distance.get(region)
    if given is not None:
        return given
    if cluster.spec.region == region or not region:
        return 0.0
    for other in clusters:
        if other.spec.region == region and cluster.spec.region in other.spec.distance:
            return other.spec.distance[cluster.spec.region]
    return measured.get(cluster.name, FAR_S)


def measure(before: Mapping[str, float], seen: Mapping[str, float]) -> dict[str, float]:
    """Smoothed round trips by cluster: `seen` are the least connect times of this look, seconds."""
    keep = 0.5 ** (1 / HALF_LIFE_LOOKS)
    return {**before, **{name: keep * before.get(name, now) + (1 - keep) * now for name, now in seen.items()}}


def stepped(measured: Mapping[str, float]) -> dict[str, float]:
    """Measured round trips without their noise."""
    return {name: round(s / STEP_S) * STEP_S for name, s in measured.items()}
