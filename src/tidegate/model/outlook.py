"""The answer to "what if": how every pool would stand after clusters are lost or change their size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ClusterChange:
    """What is supposed to happen to a cluster: it is lost (`down`), or it has other amounts per resource name."""

    cluster: str
    down: bool = False
    amounts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PoolOutlook:
    """One pool before and after: replicas per cluster, and how many of the `wanted` ones fit nowhere."""

    service: str
    pool: str
    latency_class: str
    wanted: int
    before: Mapping[str, int]
    after: Mapping[str, int]
    pending_before: int
    pending: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """How the world would come to rest.

    `survives` is True when no pool misses more replicas than before. `settled` is False when it was still moving at the
    end of the look ahead, `after_s` later. Costs are money per hour for replicas, in the currency of the manifests.
    """

    changes: tuple[str, ...]
    survives: bool
    settled: bool
    after_s: float
    pools: tuple[PoolOutlook, ...]
    cost_per_hour_before: float
    cost_per_hour_after: float
