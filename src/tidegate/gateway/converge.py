"""From the servers a worker has to those it should have: the socket commands, in order. Pure.

Each round does what can be done now: a server with requests on it is drained in this round and removed in a later
one. Repeating a round when nothing is left to do gives no commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tidegate.gateway.names import backend_name, server_parameters
from tidegate.gateway.tables import BackendRow, ServerRow
from tidegate.model.snapshot import PoolRoute, Server, Snapshot


def commands(
    snapshot: Snapshot, numbers: Mapping[str, int], actual: Mapping[str, BackendRow], *, leaving: bool = False
) -> tuple[str, ...]:
    """What to tell a worker that has `actual`.

    With `leaving` the worker is an old one after a reload: only pools that still have requests inside matter, and
    pools that came later are not there.
    """
    told: list[str] = []
    for service in snapshot.services:
        for pool in service.pools:
            name = backend_name(pool.key)
            if name in actual and (actual[name].inside or not leaving):
                told += _pool(name, pool, numbers, actual[name])
    return tuple(told)


def _pool(backend: str, pool: PoolRoute, numbers: Mapping[str, int], actual: BackendRow) -> Iterator[str]:
    wanted = {s.replica for s in pool.servers}
    others = any(row.up and not row.closed for row in actual.servers.values())
    # New servers first: capacity is added before it is taken away.
    for server in pool.servers:
        row = actual.servers.get(server.replica)
        if row is None:
            number = numbers[server.replica]
            yield from _add(backend, server, server_parameters(server, number, pool.tls, slowly=others))
        else:
            yield from _adjust(f"{backend}/{row.name}", server, row)
    for row in actual.servers.values():
        if row.name not in wanted:
            yield from _remove(f"{backend}/{row.name}", row)


def _add(backend: str, server: Server, parameters: str) -> Iterator[str]:
    if server.draining:
        return
    path = f"{backend}/{server.replica}"
    yield f"add server {path} {parameters}"
    yield f"enable health {path}"
    yield f"enable server {path}"


def _adjust(path: str, server: Server, row: ServerRow) -> Iterator[str]:
    if server.address != row.address:
        host, _, port = server.address.rpartition(":")
        yield f"set server {path} addr {host.strip('[]')} port {port}"
    if server.slots != row.slots:
        yield f"set maxconn server {path} {server.slots}"
    if not server.draining and not row.closed and server.weight != row.weight:
        yield f"set server {path} weight {min(server.weight, 256)}"
    if server.draining and not row.closed:
        yield f"set server {path} state drain"
    elif not server.draining and row.closed:
        yield f"set server {path} state ready"


def _remove(path: str, row: ServerRow) -> Iterator[str]:
    """Maintenance closes kept connections, which must be gone before the server can be."""
    if row.in_flight:
        if not row.closed:
            yield f"set server {path} state drain"
        return
    if not row.maintenance:
        yield f"set server {path} state maint"
    yield f"del server {path}"
