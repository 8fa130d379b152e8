"""A runtime whose cluster can be cut off, hang, refuse or lie, as a file says: to try out what happens then.

The file (`TIDEGATE_FAULTS`) is JSON by cluster name, read again at every call, so that faults come and go while the
system runs; a cluster that is not in it is well:

    {"here": {"cut": true}, "there": {"places": 3}}

| fault | what happens |
|---|---|
| cut | the cluster cannot be seen or told anything; what runs there goes on |
| hang | it does not answer |
| refuse | it answers, but takes no new replicas |
| places | it takes on any number of replicas and finds a place for so many |
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tidegate.base.clock import Clock
from tidegate.base.errors import RuntimeFault
from tidegate.model.observed import ClusterSeen, ReplicaSeen
from tidegate.runtimes.protocol import Runtime, StartOrder

FOREVER_S = 3600.0  # who asks gives up long before


class FaultyRuntime:
    """Implements `runtimes.protocol.Runtime` around another one."""

    def __init__(self, inner: Runtime, faults: Path, clock: Clock) -> None:
        self._inner, self._faults, self._clock = inner, faults, clock
        self._waiting: dict[str, ReplicaSeen] = {}
        self._placed: set[str] = set()

    @property
    def cluster(self) -> str:
        """The name of the cluster."""
        return self._inner.cluster

    async def observe(self) -> tuple[tuple[ReplicaSeen, ...], ClusterSeen]:
        """What the inner one sees, and replicas that wait for a place."""
        fault = await self._reach()
        replicas, cluster = await self._inner.observe()
        self._placed = {r.id for r in replicas if r.running}
        seen = replace(cluster, healthy=cluster.healthy and not fault.get("refuse"))
        return (*replicas, *self._waiting.values()), seen

    async def start(self, order: StartOrder) -> None:
        """Start it, or let it wait for a place that never comes."""
        fault = await self._reach()
        places = fault.get("places")
        if places is None or order.replica in self._placed or len(self._placed) < places:
            self._placed.add(order.replica)
            await self._inner.start(order)
        elif order.replica not in self._waiting:
            pool = order.pool
            self._waiting[order.replica] = ReplicaSeen(
                order.replica, pool.key, pool.revision, self.cluster, self._clock.wall(), placed=False
            )

    async def stop(self, replica: str, grace_s: float) -> None:
        """Stop it; one that waits ends at once."""
        await self._reach()
        if replica in self._waiting:
            self._waiting[replica] = replace(self._waiting[replica], running=False, exit_code=0)
        else:
            await self._inner.stop(replica, grace_s)

    async def forget(self, replica: str) -> None:
        """Drop the record."""
        await self._reach()
        if self._waiting.pop(replica, None) is None:
            await self._inner.forget(replica)

    def logs(self, replica: str, *, tail: int = 100, follow: bool = False) -> AsyncIterator[str]:
        """The inner one's."""
        return self._inner.logs(replica, tail=tail, follow=follow)

    async def close(self) -> None:
        """Let go."""
        await self._inner.close()

    async def _reach(self) -> dict[str, Any]:
        fault = self._now()
        if fault.get("cut"):
            raise RuntimeFault(f"cluster {self.cluster} cannot be seen (cut off by {self._faults})")
        if fault.get("hang"):
            await asyncio.sleep(FOREVER_S)
        return fault

    def _now(self) -> dict[str, Any]:
        try:
            told = json.loads(self._faults.read_text())
        except (OSError, ValueError):
            return {}
        fault = told.get(self.cluster, {}) if isinstance(told, dict) else {}
        return fault if isinstance(fault, dict) else {}
