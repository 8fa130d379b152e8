"""In which order clusters get a new revision: one cluster first, then the rest of its region, then region by region.

The first one is where the fewest replicas stand, so that a bad revision meets the fewest requests. Each wave begins
when the one before it was verified and watched (see `policy.rollout`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tidegate.spec.cluster import Cluster
from tidegate.spec.rollout import Rollout

Waves = tuple[tuple[str, ...], ...]


def plan(rollout: Rollout, clusters: Iterable[Cluster], counts: Mapping[str, int]) -> Waves:
    """The waves of a rollout; empty when it takes all clusters together. `counts`: replicas that stand, per cluster."""
    regions = {c.name: c.spec.region for c in clusters if counts.get(c.name)}
    if rollout.waves == "together" or rollout.strategy == "blueGreen" or len(regions) < 2:
        return ()
    if rollout.waves != "byRegion":
        return _as_written(rollout.waves, tuple(regions))
    first = min(regions, key=lambda name: (counts[name], name))
    near = tuple(n for n in regions if regions[n] == regions[first] and n != first)
    far: dict[str, tuple[str, ...]] = {}
    for name, region in regions.items():
        if region != regions[first]:
            far[region] = (*far.get(region, ()), name)
    smallest_first = sorted(far.items(), key=lambda kv: (sum(counts[n] for n in kv[1]), kv[0]))
    return tuple(w for w in ((first,), near, *(names for _, names in smallest_first)) if w)


def _as_written(waves: Sequence[Sequence[str]], there: Sequence[str]) -> Waves:
    """Those of the manifest that have replicas, and last the clusters it does not name."""
    named = [tuple(n for n in wave if n in there) for wave in waves]
    rest = tuple(n for n in there if all(n not in wave for wave in waves))
    return tuple(w for w in (*named, rest) if w)


def clusters_of(waves: Waves, wave: int) -> tuple[str, ...]:
    """Where new replicas may be started in this wave: its own clusters first, then those of the waves before it."""
    return (*waves[wave], *(name for before in reversed(waves[:wave]) for name in before))
