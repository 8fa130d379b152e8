"""The made-up gateway: one queue per pool, servers as the last published snapshot has them.

Follows snapshots as a proxy does: new servers take requests at once, draining ones finish theirs, each gets as many of
the requests as it weighs while others are free, too, and a server whose process has died is taken out by the failing
connections. Chooses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tidegate.model.observed import GatewaySeen, ServerSeen
from tidegate.model.snapshot import Snapshot
from tidegate.sim.engine import IntervalStats, Pool
from tidegate.sim.requests import Requests
from tidegate.spec.resolve import PoolKey


@dataclass(slots=True)
class Front:
    """All pools behind the gateway.

    `pace` says how a server works: (times as long as the work, seconds of way to it and back). `held` are the servers
    with a place in the engine; `down` those that are listed and dead.
    """

    pools: Mapping[PoolKey, Pool]
    requests: Mapping[PoolKey, Requests]
    pace: Callable[[str], tuple[float, float]]
    version: str | None = None
    listed: dict[str, tuple[PoolKey, bool]] = field(default_factory=dict)
    held: dict[str, PoolKey] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)

    def advance(self, until: float) -> None:
        """Serve until then."""
        for key, pool in self.pools.items():
            pool.advance(until, self.requests[key])
            for name in pool.ended():
                self.held.pop(name, None)

    def take(self, snapshot: Snapshot, serving: Callable[[str], bool]) -> None:
        """Become like a snapshot."""
        wanted = {
            server.replica: (route.key, server.draining, server.weight)
            for service in snapshot.services
            for route in service.pools
            for server in route.servers
        }
        for name in [n for n in self.held if n not in wanted]:
            self._close(name)
        for name, (key, draining, weight) in wanted.items():
            if name in self.down or not serving(name):
                self.down.add(name)
            elif draining:
                self._close(name)
            else:
                self._open(name, key, weight)
        self.listed = {name: (key, draining) for name, (key, draining, _) in wanted.items()}
        self.down &= set(wanted)
        self.version = snapshot.version

    def lose(self, replica: str) -> None:
        """The process behind a server has ended: its connections break."""
        key = self.held.pop(replica, None)
        if key is not None:
            self.pools[key].kill(replica)
        if replica in self.listed:
            self.down.add(replica)

    def slow_down(self, replica: str, slow: float) -> None:
        key = self.held.get(replica)
        if key is not None and self.pools[key].takes(replica):
            self.pools[key].slow_down(replica, slow)

    def busy(self, replica: str) -> int:
        key = self.held.get(replica)
        return self.pools[key].busy_on(replica) if key is not None else 0

    def seen(self) -> GatewaySeen:
        """How it stands now, and what each server answered since this was last asked."""
        servers = {}
        for name, (_, draining) in self.listed.items():
            key = self.held.get(name)
            finished, service_s, times = self.pools[key].answered(name) if key is not None else (0, 0.0, ())
            servers[name] = ServerSeen(
                draining, name not in self.down, self.busy(name), finished, 0, service_s, times=times
            )
        return GatewaySeen(self.version, servers)

    def measure(self) -> dict[PoolKey, IntervalStats]:
        """What each pool did since the last time."""
        return {key: pool.measure() for key, pool in self.pools.items()}

    def _open(self, name: str, key: PoolKey, weight: int) -> None:
        pool = self.pools[key]
        if name not in self.held:
            slow, distance_s = self.pace(name)
            pool.add(name, weight=weight, slow=slow, distance_s=distance_s)
            self.held[name] = key
            return
        if not pool.takes(name):
            pool.reopen(name)
        pool.weigh(name, weight)

    def _close(self, name: str) -> None:
        key = self.held.get(name)
        if key is not None and self.pools[key].takes(name):
            self.pools[key].drain(name)
            for ended in self.pools[key].ended():
                self.held.pop(ended, None)
