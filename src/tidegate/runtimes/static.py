"""The static runtime: replicas that somebody else runs on fixed hosts, named in the Cluster manifest.

They are always there as far as this runtime knows; whether they answer is for the probes. They can be balanced and
drained, but neither started nor stopped from here, so the cluster has no room for more: its capacity is empty.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from tidegate.base.clock import Clock
from tidegate.base.errors import RuntimeFault
from tidegate.model.observed import ClusterSeen, ReplicaSeen
from tidegate.runtimes.protocol import StartOrder
from tidegate.spec.cluster import Cluster, StaticHost
from tidegate.spec.resolve import PoolKey

REVISION = "static"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.-]+")


class StaticRuntime:
    """Implements `runtimes.protocol.Runtime` for a list of addresses. `revision` of every replica is "static"."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._since: float | None = None

    @property
    def cluster(self) -> str:
        """The name of the cluster this runtime stands for."""
        return self._cluster.name

    async def observe(self) -> tuple[tuple[ReplicaSeen, ...], ClusterSeen]:
        """Every host of the manifest, running since the first look."""
        if self._since is None:
            self._since = self._clock.wall()
        replicas = tuple(
            ReplicaSeen(
                id=replica_id(host),
                key=PoolKey(host.service, host.pool),
                revision=REVISION,
                cluster=self.cluster,
                created_at=self._since,
                address=host.address,
            )
            for host in self._cluster.spec.hosts
        )
        return replicas, ClusterSeen({}, detail=f"{len(replicas)} fixed hosts, run by others")

    async def start(self, order: StartOrder) -> None:
        """Always refused.

        Raises:
            RuntimeFault: naming the manifest to change.
        """
        raise RuntimeFault(
            f"replica {order.replica} cannot be started: cluster {self.cluster} is static. "
            f"Start it on a host yourself and add the address to spec.hosts of Cluster {self.cluster}."
        )

    async def stop(self, replica: str, grace_s: float) -> None:
        """Refused for a host of the manifest; unknown ids are ignored.

        Raises:
            RuntimeFault: naming the manifest to change.
        """
        if any(replica_id(h) == replica for h in self._cluster.spec.hosts):
            raise RuntimeFault(
                f"replica {replica} cannot be stopped: somebody else runs it. "
                f"Take its address out of spec.hosts of Cluster {self.cluster}, then stop it on its host."
            )

    async def forget(self, replica: str) -> None:
        """Nothing is kept, so there is nothing to forget."""

    async def logs(self, replica: str, *, tail: int = 100, follow: bool = False) -> AsyncIterator[str]:
        """Always refused.

        Raises:
            RuntimeFault: logs are where the replica runs.
        """
        raise RuntimeFault(f"logs of replica {replica} are on its host: cluster {self.cluster} is static.")
        yield ""

    async def close(self) -> None:
        """Nothing to let go of."""


def replica_id(host: StaticHost) -> str:
    """The id of a host's replica: the same as long as its line in the manifest is.

    >>> replica_id(StaticHost(service="ocr", address="10.0.0.5:8080"))
    'ocr-default-10.0.0.5-8080'
    """
    return _NOT_IN_A_NAME.sub("-", f"{host.service}-{host.pool}-{host.address}")
