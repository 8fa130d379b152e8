"""The whole routing state as one immutable value, versioned by its content.

A gateway is told to be like this; it never gets a part. `check` names what does not fit together, and a snapshot
with faults is never published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from tidegate.spec.access import Access
from tidegate.spec.by_url import MediaByUrl
from tidegate.spec.requests import Accepts, Match, Route
from tidegate.spec.resolve import PoolKey
from tidegate.spec.tls import ReplicaTls

CANARY = "_canary"  # behind a pool's name; no pool of a manifest can be called so


def canary_key(key: PoolKey) -> PoolKey:
    """The route of the replicas that get only chosen requests of a pool."""
    return PoolKey(key.service, f"{key.pool}{CANARY}")


def pool_of(key: PoolKey) -> PoolKey:
    """The pool that a route belongs to: itself, or the one it is the canary of."""
    return PoolKey(key.service, key.pool.removesuffix(CANARY))


@dataclass(frozen=True, slots=True)
class Server:
    """One replica in the balancer. `slots` requests at a time; lower `tier` is filled first; `weight` within a tier."""

    replica: str
    address: str
    slots: int
    draining: bool = False
    tier: int = 0
    weight: int = 100


@dataclass(frozen=True, slots=True)
class PoolRoute:
    """One pool: what it matches, its queue and its servers. Times in seconds; `success` is the share promised.

    One with `canary_of` holds the replicas of a new revision that get only some requests of that pool, and all of
    those: `only` says by which headers (name, values of which one will do) they are told.
    """

    key: PoolKey
    match: Match | None
    servers: tuple[Server, ...]
    slots_per_replica: int
    queue_max_wait_s: float
    queue_max_length_per_slot: int
    start_wait_s: float
    request_timeout_s: float
    within_s: float
    fallback: str | None = None
    tls: ReplicaTls | None = None
    success: float = 0.9995
    canary_of: str | None = None
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """One service: how requests are told to be for it, and its pools in match order, the default pool last."""

    service: str
    route: Route
    pools: tuple[PoolRoute, ...]
    max_body_bytes: int
    retry: bool
    accepts: Accepts = Accepts()
    access: Access | None = None
    media_by_url: MediaByUrl | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All services of a gateway. `shape` changes need a reload of the proxy, everything else goes over its socket."""

    services: tuple[ServiceRoute, ...] = ()
    version: str = field(default="", compare=False)

    @staticmethod
    def of(services: tuple[ServiceRoute, ...], texts: Sequence[str] | None = None) -> Snapshot:
        """Name the version; `texts` are the `repr` of each service where the caller has them already."""
        known = [repr(s) for s in services] if texts is None else texts
        whole = f"({known[0]},)" if len(known) == 1 else f"({', '.join(known)})"
        return Snapshot(services, hashlib.blake2b(whole.encode(), digest_size=8).hexdigest())

    def check(self) -> tuple[str, ...]:
        """Sentences naming what does not fit together; empty when it may be published."""
        faults = []
        seen: dict[str, str] = {}
        for service in self.services:
            if not service.pools:
                faults.append(f"service {service.service} has no pool")
            for pool in service.pools:
                for server in pool.servers:
                    if server.replica in seen:
                        faults.append(f"replica {server.replica} is in {seen[server.replica]} and in {pool.key}")
                    seen[server.replica] = str(pool.key)
        return tuple(faults)
