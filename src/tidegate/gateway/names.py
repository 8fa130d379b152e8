"""The names and lines by which the proxy knows pools and replicas; used by the generated file and by the socket."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tidegate.base.errors import GatewayError
from tidegate.gateway.upstream import server_options
from tidegate.model.snapshot import PoolRoute, Server, Snapshot
from tidegate.spec.resolve import PoolKey
from tidegate.spec.tls import ReplicaTls

PUBLIC = "public"
POOLS_MAP = "pools.map"
# What follows from the pace of a pool, by backend: requests that may wait, microseconds until the next slot is free,
# microseconds after which another try would end too late.
TERMS_MAPS = ROOMS_MAP, TURNS_MAP, LATEST_MAP = "rooms.map", "turns.map", "latest.map"
# In a canary's backend: the server by which its pool stands in for it (see `stand_in`). No replica can be called so.
STAND_IN = "_pool"
_SERVER_NAME = re.compile(r"[A-Za-z0-9._:-]+")
_ROUTE = re.compile(r"[!#-&(-\[\]-~]*")

# A TCP look every 2 s, every 0.5 s when in doubt or down. Readiness is judged by probes elsewhere; this keeps requests
# away from a port that is gone until the next snapshot says so. One refused connection is enough: it costs a request
# one of its few tries, and a port that is there after all is back after the next look. (Replicas that answer 5xx are
# put to rest by `rest_failing` in gateway.lua.)
_CHECK = "check inter 2s fastinter 500ms downinter 500ms rise 1 fall 2 observe layer4 error-limit 1 on-error mark-down"
# A replica of several slots gets them one after the other over this time: caches and pools fill, compilers warm up.
_SLOW_START = "slowstart 5s"


def backend_name(key: PoolKey) -> str:
    """`service.pool`; neither part may hold a dot (they are RFC 1123 labels), so it can be read back."""
    return f"{key.service}.{key.pool}"


def lane_name(size: int) -> str:
    """The name of a lane's backend and folder."""
    return f"lane-{size}"


def pools_map(snapshot: Snapshot) -> str:
    """The lines of the map from a service to the backend of its default pool."""
    pools = (p.key for s in snapshot.services for p in s.pools if p.match is None and p.canary_of is None)
    return "".join(f"{key.service} {backend_name(key)}\n" for key in sorted(pools))


def pool_key(backend: str) -> PoolKey | None:
    """The pool a backend stands for, None for a backend that is not a pool."""
    service, dot, pool = backend.partition(".")
    return PoolKey(service, pool) if dot else None


def server_parameters(server: Server, number: int, tls: ReplicaTls | None = None, *, slowly: bool = True) -> str:
    """What follows the name in a `server` line and in `add server`: the same text, so both mean the same.

    `slowly` false is for a replica that nobody stands in for: it gets all its slots at once.
    """
    text = f"{server.address} id {number} maxconn {server.slots} weight {min(server.weight, 256)} {_CHECK}"
    slow = f" {_SLOW_START}" if server.slots > 1 and slowly else ""
    return f"{text}{slow}{server_options(tls)}"


def balance(pool: PoolRoute) -> str:
    """`roundrobin`, which follows weights among the servers with a free slot; see docs/decisions/0120.

    `leastconn` where a replica has several slots and all are in one place: even use matters more there than weights.
    """
    several = len({s.tier for s in pool.servers}) > 1
    return "roundrobin" if several or pool.slots_per_replica == 1 else "leastconn"


def number_servers(snapshot: Snapshot, known: Mapping[str, int]) -> dict[str, int]:
    """A server id for every replica; a known one is kept."""
    numbers: dict[str, int] = {}
    for service in snapshot.services:
        for pool in service.pools:
            numbers |= _number_pool(pool, known)
    return numbers


def _number_pool(pool: PoolRoute, known: Mapping[str, int]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for server in pool.servers:  # one that comes from a canary's backend may have a number that is taken here
        if server.replica in known and known[server.replica] not in numbers.values():
            numbers[server.replica] = known[server.replica]
    # Also the numbers of servers that are only now being taken away: the proxy has them until their requests are done.
    taken, free = set(known.values()), 1
    for server in pool.servers:
        if server.replica not in numbers:
            while free in taken:
                free += 1
            taken.add(free)
            numbers[server.replica] = free
    return numbers


def check_names(snapshot: Snapshot) -> None:
    """Refuse what could not be written into the file without changing its meaning.

    Raises:
        GatewayError: an id, an address or a route holds characters the proxy's file cannot carry.
    """
    for service in snapshot.services:
        for text in (service.route.pathPrefix, *service.route.hosts):
            if not _ROUTE.fullmatch(text):
                raise GatewayError(
                    f"service {service.service}: route {text!r}: quotes, backslashes, blanks do not work"
                )
        for pool in service.pools:
            for server in pool.servers:
                if not _SERVER_NAME.fullmatch(server.replica) or server.replica == STAND_IN:
                    raise GatewayError(f"replica id {server.replica!r}: only letters, digits and . _ : - can be used")
                if not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+:\d+", server.address):
                    raise GatewayError(f"replica {server.replica}: address {server.address!r} is not host:port")
