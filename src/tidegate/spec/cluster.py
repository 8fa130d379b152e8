"""`kind: Cluster`: a place where replicas can run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tidegate.base.units import Bytes, Cores, Seconds
from tidegate.spec.common import API_VERSION, Metadata, Strict


class Capacity(Strict):
    """What a cluster has; a resource left out of a local cluster is what the machine has."""

    cpu: Cores | None = Field(default=None, gt=0)
    memory: Bytes | None = Field(default=None, gt=0)
    gpu: dict[str, int] = {}


class Price(Strict):
    """Money per hour: per core, per GiB of memory, per card of a kind."""

    cpu: float = Field(default=0.0, ge=0)
    memory: float = Field(default=0.0, ge=0, description="per GiB")
    gpu: dict[str, float] = {}


class StaticHost(Strict):
    """A fixed replica of one service that somebody else runs (`runtime: static`)."""

    service: str
    pool: str = "default"
    address: str = Field(pattern=r"^[^\s:]+:\d+$")


class ClusterSpec(Strict):
    """`spec:` of a Cluster; see docs/manifest.md."""

    runtime: Literal["local", "static", "kubernetes"] = "local"
    region: str = "local"
    zone: str = ""
    capacity: Capacity = Capacity()
    price: Price = Price()
    quota: dict[str, Capacity] = {}
    distance: dict[str, Seconds] = {}
    hosts: tuple[StaticHost, ...] = ()
    context: str | None = None


class Cluster(Strict):
    """A cluster manifest."""

    apiVersion: Literal["tidegate.dev/v1"] = API_VERSION
    kind: Literal["Cluster"] = "Cluster"
    metadata: Metadata
    spec: ClusterSpec = ClusterSpec()

    @property
    def name(self) -> str:
        return self.metadata.name
