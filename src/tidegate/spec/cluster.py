"""`kind: Cluster`: a place where replicas can run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from tidegate.base.units import Bytes, Cores, Seconds
from tidegate.base.wording import shown
from tidegate.spec.common import API_VERSION, Cards, Flag, Metadata, Name, Number, Strict, Word, fault

NotNegative = Annotated[Number, Field(ge=0)]
Address = Annotated[str, StringConstraints(pattern=r"^[^\s:/]+:[1-9]\d{0,4}$")]


class Capacity(Strict):
    """What a cluster has; a resource left out of a local cluster is what the machine has."""

    cpu: Cores | None = Field(default=None, gt=0, description="cores")
    memory: Bytes | None = Field(default=None, gt=0, description="bytes")
    gpu: dict[str, Cards] = Field(default={}, description="cards per kind: `{a10: 4}`")


class Price(Strict):
    """Money per hour, in any one currency."""

    cpu: Number = Field(default=0.0, ge=0, description="per core and hour")
    memory: Number = Field(default=0.0, ge=0, description="per GiB and hour")
    gpu: dict[str, NotNegative] = Field(default={}, description="per card and hour, by kind")


class StaticHost(Strict):
    """A fixed replica of one service that somebody else runs (`runtime: static`)."""

    service: Name = Field(description="the service it answers for")
    pool: Name = Field(default="default", description="the pool of that service it belongs to")
    address: Address = Field(description="`host:port`")


class ClusterSpec(Strict):
    """`spec:` of a Cluster."""

    runtime: Literal["local", "static", "kubernetes"] = Field(
        default="local",
        description="`local`: processes on this machine; `static`: fixed hosts; `kubernetes`: a kube context",
    )
    region: Word = Field(default="local", description="clusters of one region are near each other")
    zone: str = Field(default="", description="failure domain within the region")
    gateway: Flag = Field(default=False, description="the gateway stands here; default: in the first local cluster")
    capacity: Capacity = Field(default=Capacity(), description="what may be used of it")
    price: Price = Field(default=Price(), description="what it costs")
    quota: dict[str, Capacity] = Field(default={}, description="by service name: the most that service may take here")
    distance: dict[str, Seconds] = Field(default={}, description="by region: network round trip from here")
    taints: tuple[Word, ...] = Field(default=(), description="keeps services off that do not tolerate each of them")
    hosts: tuple[StaticHost, ...] = Field(default=(), description="`runtime: static` only: the fixed replicas")
    context: Word | None = Field(default=None, description="`runtime: kubernetes` only: the kube context")

    @model_validator(mode="after")
    def _fields_of_the_runtime(self) -> ClusterSpec:
        if self.hosts and self.runtime != "static":
            raise fault(f"belongs to runtime: static, not {self.runtime}. Take it out or set runtime: static", "hosts")
        if self.runtime == "static" and not self.hosts:
            raise fault("is missing; a static cluster is its hosts. Add {service: NAME, address: host:port}", "hosts")
        if self.context is not None and self.runtime != "kubernetes":
            raise fault(f"belongs to runtime: kubernetes, not {self.runtime}. Take it out", "context")
        addresses = [host.address for host in self.hosts]
        for i, address in enumerate(addresses):
            if int(address.rpartition(":")[2]) > 65535:
                raise fault(f"got {shown(address)}, expected a port up to 65535", "hosts", i, "address")
            if address in addresses[:i]:
                raise fault(f"{shown(address)} stands here twice. Take one out", "hosts", i, "address")
        return self


class Cluster(Strict):
    """A place where replicas can run: this machine, fixed hosts, or a Kubernetes cluster."""

    apiVersion: Literal["tidegate.dev/v1"] = Field(default=API_VERSION, description="`tidegate.dev/v1`")
    kind: Literal["Cluster"] = Field(default="Cluster", description="`Cluster`")
    metadata: Metadata = Field(description="its name")
    spec: ClusterSpec = Field(default=ClusterSpec(), description="what it is")

    @property
    def name(self) -> str:
        return self.metadata.name
