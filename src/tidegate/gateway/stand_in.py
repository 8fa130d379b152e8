"""The pool stands in for its canary: a request that no replica of the canary answers goes to the pool's others. Pure.

A canary that gets only chosen requests has a backend of its own, often with a single server. The proxy sends a request
again only within its backend, so that one has a last server beside the canary's, used when none of them is up: an
entrance of this proxy, where the request comes in once more and joins the pool's queue. There it is counted like any
other; the line of the first pass says only that the canary failed it (see `meter`).

What the gateway itself answers there with 503 must not be taken for a replica's, which would be asked again: it is
passed back as 425 and made what it was. The entrance is there whether there is a canary or not: when one dies, the next
snapshot has none any more, while requests still come back from its backend in the worker before the reload. The time a
request may take does not begin anew for its client: the canary's `timeout server` holds for queue and answer of the
pool together.
"""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.gateway import sharing
from tidegate.gateway.names import STAND_IN, backend_name
from tidegate.gateway.settings import GatewaySettings
from tidegate.model.snapshot import PoolRoute, ServiceRoute, Snapshot, pool_of

_NUMBER = 2**31 - 1  # no replica's server gets so far
_BY_POOL = f"{{ srv_name -m str {STAND_IN} }}"
UNLESS_BY_POOL = f"unless {_BY_POOL}"


def request_lines(service: ServiceRoute, pool: PoolRoute) -> Iterator[str]:
    """For the canary's backend: what the entrance must know of the request."""
    yield f"http-request set-header x-tidegate-service {service.service}"
    yield f"http-request set-header x-tidegate-choice {backend_name(pool_of(pool.key))}"
    yield "http-request set-header x-tidegate-media %[var(txn.media)] if { var(txn.media) -m found }"
    if sharing.shared(service):
        yield "http-request set-header x-tidegate-class %[var(txn.class)]"
    yield f"http-response set-status 503 if {_BY_POOL} {{ status 425 }}"


def server_line(settings: GatewaySettings) -> str:
    """For the end of the canary's backend. Without a `maxconn` it would never take what waits in that one's queue."""
    most = f"maxconn {settings.max_connections}"
    return f"server {STAND_IN} unix@{settings.socket('stand-in')} id {_NUMBER} {most} send-proxy-v2 backup"


def entrance_lines(snapshot: Snapshot, settings: GatewaySettings) -> Iterator[str]:
    """Where such requests come in, before it is told which pools they go to."""
    yield f"bind unix@{settings.socket('stand-in')} accept-proxy mode 600"
    yield "http-request set-var(txn.rid) req.hdr(x-request-id)"
    yield from taken_up_lines(snapshot)
    yield "http-after-response set-status 425 if { status 503 }"


def taken_up_lines(snapshot: Snapshot) -> Iterator[str]:
    """For the entrances within the proxy: what the first pass said of the request, then not passed on."""
    yield "http-request set-var(txn.service) req.hdr(x-tidegate-service)"
    yield "http-request set-var(txn.pool) req.hdr(x-tidegate-choice)"
    yield "http-request set-var(txn.media) req.hdr(x-tidegate-media) if { req.hdr(x-tidegate-media) -m found }"
    shared = sharing.any_shared(snapshot)
    yield from sharing.taken_up_lines() if shared else ()
    yield "http-request del-header x-tidegate- -m beg"
    yield from sharing.told_lines() if shared else ()
