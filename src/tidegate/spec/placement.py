"""Where replicas of a service may run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tidegate.base.units import Ratio, Seconds
from tidegate.base.wording import shown
from tidegate.spec.common import Name, NotNegative, Strict, Whole, fault


class Overflow(Strict):
    """How a pool may use other clusters when its first one is full."""

    afterSeconds: Seconds = Field(default=5.0, le=86400, description="how long replicas stay pending before they move")


class Spread(Strict):
    """Protection against the loss of a cluster."""

    minClusters: Whole = Field(default=1, ge=1, le=1000, description="at least this many clusters")
    maxShare: Ratio = Field(default=1.0, gt=0, description="at most this share of the replicas in one cluster")


class Placement(Strict):
    """Where replicas may run."""

    clusters: tuple[Name, ...] = Field(default=(), description="in order of preference; empty: all clusters")
    latencyClass: Literal["interactive", "batch"] = Field(
        default="interactive", description="`batch` leaves a full cluster first and goes farthest"
    )
    spread: Spread = Field(default=Spread(), description="protection against the loss of a cluster")
    overflow: Overflow = Field(default=Overflow(), description="when to use the next cluster")
    clusterSelector: dict[str, str] = Field(default={}, description="labels a cluster must have")
    tolerations: tuple[str, ...] = Field(default=(), description="taints of clusters this service may use all the same")
    users: dict[str, NotNegative] = Field(
        default={}, description="by region: share of the callers there; default: all where the gateway is"
    )

    @model_validator(mode="after")
    def _each_once(self) -> Placement:
        for i, name in enumerate(self.clusters):
            if name in self.clusters[:i]:
                raise fault(f"{shown(name)} stands here twice. Take one out", "clusters", i)
        if self.clusters and self.spread.minClusters > len(self.clusters):
            sentence = f"{self.spread.minClusters} is above the number of clusters named: {len(self.clusters)}"
            raise fault(f"{sentence}. Name more clusters or lower minClusters", "spread", "minClusters")
        return self
