"""What every runtime can do. One contract suite (tests/contract) runs on each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from tidegate.model.observed import ClusterSeen, ReplicaSeen
from tidegate.spec.resolve import PoolSpec


@dataclass(frozen=True, slots=True)
class StartOrder:
    """What a runtime needs to start one replica; repeating an order for an id that exists changes nothing.

    `gateway` is the base URL at which other services are reached from the replica, "" when there is none.
    """

    replica: str
    pool: PoolSpec
    gateway: str = ""


class Runtime(Protocol):
    """One cluster of replicas."""

    @property
    def cluster(self) -> str:
        """The name of the cluster this runtime stands for."""

    async def observe(self) -> tuple[tuple[ReplicaSeen, ...], ClusterSeen]:
        """All replicas it knows of (also those that ended and were not forgotten), and the cluster itself.

        Raises:
            RuntimeFault: the cluster cannot be seen now.
        """

    async def start(self, order: StartOrder) -> None:
        """Ask for a replica; returns when it is asked for, not when it runs.

        Raises:
            RuntimeFault: it cannot be started (missing command, no permission); the message says what to do.
        """

    async def stop(self, replica: str, grace_s: float) -> None:
        """preStop, SIGTERM, and SIGKILL once `grace_s` is over; returns at once.

        Repeating changes nothing, except that a shorter grace holds from then on. Unknown ids are ignored.

        Raises:
            RuntimeFault: its replicas are not ours to stop (static hosts).
        """

    async def forget(self, replica: str) -> None:
        """Drop the record of a replica that has ended. Unknown ids are ignored."""

    def logs(self, replica: str, *, tail: int = 100, follow: bool = False) -> AsyncIterator[str]:
        """The replica's output, line by line: the last `tail` lines, and what follows until it ends when asked.

        Raises:
            RuntimeFault: there is no log of it here; when the first line is asked for.
        """

    async def close(self) -> None:
        """Let go of the cluster; replicas go on running."""
