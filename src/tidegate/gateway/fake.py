"""A gateway in memory, with switches, for tests of the control loop.

It follows snapshots at once. `load` sets what the next looks report; `silent` makes it unseen, `refuses` makes it
refuse what it is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tidegate.base.errors import GatewayError
from tidegate.model.admission import Admission, AdmissionSeen, KeySet
from tidegate.model.observed import GatewaySeen, PoolLoad, ServerSeen
from tidegate.model.snapshot import Snapshot
from tidegate.spec.resolve import PoolKey


@dataclass
class FakeGateway:
    """Implements `gateway.protocol.Gateway`."""

    snapshot: Snapshot | None = None
    loads: dict[PoolKey, PoolLoad] = field(default_factory=dict)
    in_flight: dict[str, int] = field(default_factory=dict)
    silent: bool = False
    refuses: bool = False
    started: bool = False
    stopped: bool = False
    published: int = 0
    admission: Admission = field(default_factory=Admission)
    issuers: Mapping[str, KeySet] = field(default_factory=dict)
    seen: AdmissionSeen = field(default_factory=AdmissionSeen)

    async def start(self) -> None:
        self.started = True

    async def publish(self, snapshot: Snapshot) -> None:
        if self.refuses:
            raise GatewayError("the proxy refused its configuration")
        self.snapshot = snapshot
        self.published += 1

    async def admit(self, admission: Admission) -> None:
        if self.refuses:
            raise GatewayError("the proxy refused its maps")
        self.admission = admission

    def trust(self, issuers: Mapping[str, KeySet]) -> None:
        self.issuers = issuers

    async def observe(self) -> tuple[GatewaySeen, Mapping[PoolKey, PoolLoad]]:
        if self.silent:
            raise GatewayError("the proxy does not answer its socket")
        if self.snapshot is None:
            return GatewaySeen(None, admission=self._taken()), dict(self.loads)
        servers = {
            s.replica: ServerSeen(draining=s.draining, in_flight=self.in_flight.get(s.replica, 0))
            for service in self.snapshot.services
            for pool in service.pools
            for s in pool.servers
        }
        return GatewaySeen(self.snapshot.version, servers, admission=self._taken()), dict(self.loads)

    def _taken(self) -> AdmissionSeen:
        seen, self.seen = self.seen, AdmissionSeen()
        return seen

    async def close(self, *, stop: bool) -> None:
        self.stopped = stop

    def measure(self, key: PoolKey, at: float, **load: float) -> None:
        """What the next looks report for a pool."""
        self.loads[key] = replace(PoolLoad(at, 1.0), **load)  # type: ignore[arg-type]

    def serving(self) -> list[str]:
        """Replicas that get new requests."""
        snapshot = self.snapshot or Snapshot()
        return sorted(
            s.replica for service in snapshot.services for pool in service.pools for s in pool.servers if not s.draining
        )
