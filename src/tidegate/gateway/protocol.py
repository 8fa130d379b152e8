"""What a gateway can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tidegate.model.admission import Admission, KeySet
from tidegate.model.observed import GatewaySeen, PoolLoad
from tidegate.model.snapshot import Snapshot
from tidegate.spec.resolve import PoolKey


class Gateway(Protocol):
    """One load balancer that follows snapshots."""

    async def start(self) -> None:
        """Start the proxy, or adopt the one that still runs from before.

        Raises:
            GatewayError: no usable proxy, or an address is taken; the message says what to do.
        """

    async def publish(self, snapshot: Snapshot) -> None:
        """Become like `snapshot`: over the socket where possible, by a seamless reload otherwise. Idempotent.

        Raises:
            GatewayError: the proxy refused; what it had stays in force.
        """

    async def admit(self, admission: Admission) -> None:
        """Let in who `admission` says, at once and without a reload, whatever is published. Idempotent.

        Raises:
            GatewayError: the proxy was not told; it will be by the next call, or by its next start.
        """

    def trust(self, issuers: Mapping[str, KeySet]) -> None:
        """These are the sets of keys that issuers of tokens publish, by URL; in force after the next `publish`."""

    async def observe(self) -> tuple[GatewaySeen, Mapping[PoolKey, PoolLoad]]:
        """The servers now, and what was measured per pool since the last call.

        Raises:
            GatewayError: the proxy cannot be seen now.
        """

    async def close(self, *, stop: bool) -> None:
        """Let go of the proxy; with `stop`, end it after its running requests."""
