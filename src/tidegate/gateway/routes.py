"""Which service a request is for: by host and longest path prefix, from map files. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tidegate.gateway import access, answers
from tidegate.gateway.answers import refused
from tidegate.gateway.names import POOLS_MAP, pools_map
from tidegate.model.snapshot import ServiceRoute, Snapshot

HOSTS_MAP, PATHS_MAP, LIMITS_MAP, WILDCARDS_MAP = "hosts.map", "paths.map", "limits.map", "wildcards.map"


def lines() -> Iterator[str]:
    """Set `txn.service`, by host and path.

    A slash is put behind the path so that /face matches the prefix /face/ and /facet does not.
    """
    unknown = "!{ var(txn.service) -m found }"
    yield "http-request set-var-fmt(txn.where) %[req.hdr(host),host_only,lower]%[path]/"
    yield "http-request set-var(txn.service) var(txn.where),map_beg(hosts.map)"
    yield f"http-request set-var(txn.service) var(txn.where),map_reg(wildcards.map) if {unknown}"
    yield "http-request set-var-fmt(txn.where) %[path]/"
    yield f"http-request set-var(txn.service) var(txn.where),map_beg(paths.map) if {unknown}"
    yield from refused(answers.NO_SERVICE, unknown)


def prefix_of(service: ServiceRoute) -> str:
    """The path prefix without its last slash; a service that says neither host nor prefix is found at /NAME."""
    route = service.route
    if not route.hosts and not route.pathPrefix:
        return f"/{service.service}"
    return route.pathPrefix.rstrip("/")


def maps(snapshot: Snapshot) -> dict[str, str]:
    """The map files that lines above and elsewhere read; they are part of the shape."""
    hosts, paths, limits = [], [], []
    for service in snapshot.services:
        prefix = prefix_of(service)
        hosts += [f"{host.lower()}{prefix}/ {service.service}" for host in service.route.hosts if host[0] != "*"]
        paths += [] if service.route.hosts else [f"{prefix}/ {service.service}"]
        limits.append(f"{service.service} {service.max_body_bytes}")
    named = {HOSTS_MAP: hosts, PATHS_MAP: paths, LIMITS_MAP: limits}
    texts = {name: "".join(f"{line}\n" for line in sorted(lines)) for name, lines in named.items()}
    if access.any_guarded(snapshot):
        texts[access.ACCESS_MAP] = access.access_map(snapshot)
    return texts | {POOLS_MAP: pools_map(snapshot), WILDCARDS_MAP: _wildcards(snapshot)}


def _wildcards(snapshot: Snapshot) -> str:
    """`*.example.org` takes every name below it. The first expression that fits wins, so the longest comes first."""
    found = []
    for service in snapshot.services:
        for host in service.route.hosts:
            if host.startswith("*."):
                prefix = prefix_of(service)
                expression = f"^[^/]+{re.escape(host[1:].lower())}{re.escape(prefix)}/"
                found.append((-len(prefix), -len(host), f"{expression} {service.service}\n"))
    return "".join(line for *_, line in sorted(found))
