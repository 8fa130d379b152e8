"""From a snapshot to the main proxy's files. Pure: the same snapshot and settings give the same text.

The request's way through the file: identity and headers, route (by host and longest path prefix, from map files),
size by the declared length, the whole body (a large one by way of a lane, see `lanes`), pool (see `choice`); then in
the pool's backend: wait for a first server, queue, replica. A slot is taken only after the whole body has arrived.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping

from tidegate.gateway import access, answers, bodies, by_url, routes, sharing, stand_in, strict, tokens, upstream
from tidegate.gateway.answers import http_error, refused, returned
from tidegate.gateway.choice import any_screened, choice_lines, fallback_lines
from tidegate.gateway.lanes import lane_connections, lane_sizes
from tidegate.gateway.lines import LOG_FD, LOG_FORMAT
from tidegate.gateway.names import (
    PUBLIC,
    ROOMS_MAP,
    TERMS_MAPS,
    TURNS_MAP,
    backend_name,
    balance,
    lane_name,
    number_servers,
    server_parameters,
)
from tidegate.gateway.pace import Terms, first_terms
from tidegate.gateway.retries import BUDGET, budget_lines, budget_table, connect_s, once_more_lines, retry_lines
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.text import BUFFER_MARGIN, PARSED_LINES, Rendered, block, lua, milliseconds, screen_lines, sealed
from tidegate.gateway.tls import bind_options, global_lines, management_options, on_loopback, redirect_lines
from tidegate.gateway.tokens import Keys
from tidegate.model.admission import Admission
from tidegate.model.snapshot import PoolRoute, ServiceRoute, Snapshot

_HEALTHY = """status 200 content-type application/json string '{"status":"ok"}'"""


def render(
    snapshot: Snapshot,
    settings: GatewaySettings,
    *,
    numbers: Mapping[str, int] | None = None,
    balances: Mapping[str, str] | None = None,
    terms: Mapping[str, Terms] | None = None,
    admission: Admission | None = None,
    token_keys: Keys | None = None,
) -> Rendered:
    """The files for this snapshot.

    `numbers` are server ids to keep (see `number_servers`), `balances` the balance per backend where it shall differ
    from what `balance` would choose, `terms` what the pace of a backend allows, `admission` who may send requests,
    `token_keys` the keys that may have signed tokens.
    """
    numbers = number_servers(snapshot, numbers or {})
    pools = [(s, p, backend_name(p.key)) for s in snapshot.services for p in s.pools]
    chosen = {name: balance(p) for _, p, name in pools} | dict(balances or {})
    lanes = lane_sizes(snapshot, settings)
    longest_s = longest(snapshot, settings)
    accepted = tokens.issuers(snapshot)
    signed = {jwt: keys for jwt, keys in (token_keys or {}).items() if jwt in accepted}
    blocks = [
        block("global", _global(snapshot, settings, longest_s, signed)),
        block("defaults", _defaults(settings)),
        *_carry(snapshot, settings),
        block(f"frontend {PUBLIC}", _public(snapshot, lanes, settings, signed)),
        *([block("frontend staged", _staged(snapshot, settings))] if lanes else []),
        block("frontend stand-in", _stand_in(snapshot, settings)),
        *_redirect(settings),
        block("frontend management", _management(settings)),
        block("backend successor", _successor(settings, longest_s)),
        block(f"backend {strict.STREAMS}", strict.streams_table()),
        *([block(f"backend {upstream.TRUSTED}", trusted)] if (trusted := [*upstream.trusted_lines(snapshot)]) else []),
        *([block(f"backend {BUDGET}", budget_table())] if any(s.retry for s in snapshot.services) else []),
        *_tables(snapshot),
        *(block(f"backend {lane_name(size)}", _lane(size, len(lanes), settings, longest_s)) for size in lanes),
        *(block(f"backend {name}", _backend(s, p, chosen[name], settings, bool(lanes))) for s, p, name in pools),
    ]
    servers = {_marker(p): "".join(f"  {line}\n" for line in _servers(p, numbers)) for _, p, _ in pools}
    agreed = {name: (terms or {}).get(name) or first_terms(p) for _, p, name in pools}
    config = "\n".join(blocks)
    # A map that no line names is not there for the socket either.
    named = [file for file in TERMS_MAPS if file in config]
    loose = {file: "".join(f"{n} {agreed[n].told()[file]}\n" for n in sorted(agreed)) for file in named}
    if access.any_guarded(snapshot):
        loose |= {n: access.map_text(e) for n, e in access.access_maps(admission or Admission()).items()}
    script = lua(answers.lua_table(access.REFUSALS if access.any_guarded(snapshot) else ()))
    others = routes.maps(snapshot) | {"gateway.lua": script} | tokens.key_files(signed)
    return sealed(config, others, servers, loose)


def _carry(snapshot: Snapshot, settings: GatewaySettings) -> Iterator[str]:
    """By which a worker that ends hands its tenants' buckets to the new one: both call themselves and each other so."""
    if access.any_guarded(snapshot):
        yield block(f"peers {access.CARRY}", (f"peer {access.SELF} unix@{settings.socket('peers')}",))


def _tables(snapshot: Snapshot) -> Iterator[str]:
    """Backends without servers: that is where counters per tenant are kept."""
    if access.any_guarded(snapshot):
        yield block(f"backend {access.TENANTS_TABLE}", access.table_lines())
        yield block(f"backend {sharing.SHARES_TABLE}", sharing.table_lines())


def longest(snapshot: Snapshot, settings: GatewaySettings) -> float:
    """The longest a request may take from its first byte to its last, seconds."""
    waits = (p.start_wait_s + p.queue_max_wait_s + p.request_timeout_s for s in snapshot.services for p in s.pools)
    return settings.body_timeout_s + max(waits, default=0.0) + settings.client_timeout_s


def _global(snapshot: Snapshot, settings: GatewaySettings, longest_s: float, token_keys: Keys) -> Iterator[str]:
    yield "setenv TIDEGATE_SHAPE @SHAPE@"
    yield "default-path config"
    yield f"maxconn {settings.max_connections}"
    if settings.threads is not None:
        yield f"nbthread {settings.threads}"
    yield f"tune.bufsize {settings.small_body_bytes + BUFFER_MARGIN}"
    yield f"tune.http.maxhdr {PARSED_LINES}"
    yield f"hard-stop-after {milliseconds(longest_s)}"
    yield f"log fd@{LOG_FD} len 1024 format raw local0"
    yield "lua-load-per-thread gateway.lua"
    yield from global_lines(settings.tls)
    yield from upstream.global_lines(snapshot)
    if access.any_guarded(snapshot):
        yield f"localpeer {access.SELF}"
    yield f"tune.stick-counters {strict.COUNTERS}"
    yield from strict.global_lines()
    yield from tokens.secret_lines(token_keys)
    if any_screened(snapshot):
        yield from screen_lines()
        yield from by_url.load_lines(snapshot)


def _defaults(settings: GatewaySettings) -> Iterator[str]:
    yield "mode http"
    yield f"timeout client {milliseconds(settings.client_timeout_s)}"
    yield "timeout client-fin 10s"
    yield f"timeout http-request {milliseconds(settings.header_timeout_s)}"
    yield f"timeout http-keep-alive {milliseconds(settings.idle_timeout_s)}"
    yield f"timeout connect {milliseconds(settings.connect_timeout_s)}"
    yield "timeout server 300s"
    yield "timeout tunnel 1h"
    yield "option dontlognull"
    yield "option http-ignore-probes"
    # Names with other characters than letters, digits and hyphens are read differently by different servers.
    yield "option http-restrict-req-hdr-names delete"
    # A reload answers what arrives on an idle connection before closing it: no request meets a closed door.
    yield "option idle-close-on-response"
    # A client that left is taken out of the queue.
    yield "option abortonclose"
    for answer in answers.BY_STATUS:
        yield http_error(answer)


def _public(snapshot: Snapshot, lanes: tuple[int, ...], settings: GatewaySettings, token_keys: Keys) -> Iterator[str]:
    yield f"bind {settings.listen_address}:{settings.listen_port} id 1{bind_options(settings.tls)}"
    if settings.tls is not None:
        yield f"bind 127.0.0.1:{settings.tls.internal_port} id 2"
    yield f"bind unix@{settings.socket('successor')} accept-proxy mode 600 id 3"
    if settings.tls is not None:
        # The parser of TLS knows no other limit; it is one for clients that stall in an upload or an answer as well.
        yield f"timeout client {milliseconds(min(settings.client_timeout_s, settings.handshake_timeout_s))}"
    yield from _logging()
    yield from strict.connection_lines(settings, strict.OUTSIDE)
    yield strict.connections_table(settings)
    yield ""
    yield from _identity(settings)
    yield "http-request allow if { stopping }"
    yield "use_backend successor if { stopping } !{ var(txn.service) -m found }"
    yield ""
    yield from strict.request_lines(settings)
    yield "http-request set-log-level silent if { path /.tidegate/healthz }"
    yield f"http-request return {_HEALTHY} if {{ path /.tidegate/healthz }}"
    yield from refused(answers.NO_SUCH_PATH, "{ path_beg /.tidegate/ }")
    yield ""
    yield from routes.lines()
    yield ""
    yield from access.access_lines(snapshot, token_keys)
    yield from sharing.class_lines(snapshot)
    yield from bodies.entrance_lines(snapshot, lanes, settings)
    yield ""
    yield from choice_lines(snapshot, settings)
    yield from fallback_lines(snapshot)
    yield "use_backend %[var(txn.pool)]"


def _redirect(settings: GatewaySettings) -> Iterator[str]:
    if settings.tls is not None and settings.tls.redirect_port is not None:
        guards = strict.connection_lines(settings)
        lines = redirect_lines(settings.tls, settings.listen_address, settings.listen_port, guards)
        yield block("frontend redirect", lines)


def _staged(snapshot: Snapshot, settings: GatewaySettings) -> Iterator[str]:
    """Where lanes hand over requests whose body they hold: complete, checked, with the client's identity."""
    yield f"bind unix@{settings.socket('staged')} accept-proxy mode 600"
    yield from _logging()
    yield "http-request set-var(txn.staged) bool(true)"
    yield "http-request set-var(txn.rid) req.hdr(x-request-id)"
    yield "http-request set-var(txn.whole) req.hdr(x-tidegate-whole),add(0)"
    yield from stand_in.taken_up_lines(snapshot)
    yield from fallback_lines(snapshot)
    yield "use_backend %[var(txn.pool)]"


def _stand_in(snapshot: Snapshot, settings: GatewaySettings) -> Iterator[str]:
    """Where requests come in again that no replica of a canary answered; also from a worker before a reload."""
    yield from stand_in.entrance_lines(snapshot, settings)
    yield from _logging()
    yield from fallback_lines(snapshot)
    yield "use_backend %[var(txn.pool)]"


def _logging() -> Iterator[str]:
    yield "log global"
    yield "unique-id-format %[uuid()]"
    yield f'log-format "{LOG_FORMAT}"'


def _identity(settings: GatewaySettings) -> Iterator[str]:
    """One id per request, the client's own where it is well formed; nothing of ours may come from outside."""
    well_formed = "{ req.fhdr_cnt(x-request-id) eq 1 } { req.fhdr(x-request-id) -m reg ^[A-Za-z0-9._:-]{8,64}$ }"
    yield "http-request set-var(txn.rid) unique-id"
    yield f"http-request set-var(txn.rid) req.fhdr(x-request-id) if {well_formed}"
    yield "http-request set-var(txn.asks) bool(true) if { req.fhdr(expect) -m found }"
    # What comes from the worker before a reload has passed there, and has some lines more now.
    yield from strict.head_lines("!{ so_id 3 }")
    yield "http-request set-header x-request-id %[var(txn.rid)]"
    yield "http-request del-header x-tidegate- -m beg"
    yield "http-request del-header x-media- -m beg"
    yield "http-request set-header x-forwarded-for %[src]"
    # What comes from the worker before a reload says already how its client came.
    first = "!{ so_id 3 }"
    yield f"http-request set-header x-forwarded-proto %[ssl_fc,iif(https,http)] if {first}"
    yield f"http-request del-header x-client-subject if {first}"
    if settings.tls is not None and settings.tls.client_ca is not None:
        yield f"http-request set-header x-client-subject %[ssl_c_s_dn] if {first} {{ ssl_c_used }}"
    yield "http-after-response set-header x-request-id %[var(txn.rid)]"
    yield "http-after-response set-var(txn.refused) res.hdr(x-tidegate-refused)"


def _backend(
    service: ServiceRoute, pool: PoolRoute, order: str, settings: GatewaySettings, lanes: bool
) -> Iterator[str]:
    yield f"balance {order}"
    yield f"timeout queue {milliseconds(pool.queue_max_wait_s)}"
    yield f"timeout server {milliseconds(pool.request_timeout_s)}"
    yield f"timeout connect {milliseconds(connect_s(pool.within_s, settings.connect_timeout_s))}"
    yield from retry_lines(service.retry, settings.retries)
    # Requests that wait for a first server are not in the proxy's queue, but they are in the backend.
    yield f"http-request set-var(txn.room) be_name,map_str_int({ROOMS_MAP},1000)"
    yield from sharing.holder_lines(service)
    yield f"http-request set-var(txn.turn) be_name,map_str_int({TURNS_MAP},0)"
    # When those who wait now will have been served, at the measured pace: whole seconds, at least one.
    yield "http-request set-var(txn.again) queue,mul(txn.turn),div(1000000),add(1)"
    yield f"http-request return {returned(answers.QUEUE_FULL)} if {{ nbsrv gt 0 }} {{ queue,sub(txn.room) ge 0 }}"
    starting = returned(answers.QUEUE_FULL_AT_START)
    yield f"http-request return {starting} if {{ nbsrv eq 0 }} {{ be_conn,sub(txn.room) gt 0 }}"
    yield from sharing.room_lines(service, pool)
    yield f"http-request lua.wait_for_server {math.ceil(pool.start_wait_s * 1000)} if {{ nbsrv eq 0 }}"
    yield f"http-request return {returned(answers.NOT_STARTED)} if {{ nbsrv eq 0 }}"
    prefix = routes.prefix_of(service)
    if service.route.stripPrefix and prefix:
        yield f"http-request replace-path '^{re.escape(prefix)}/*(.*)$' '/\\1'"
    canary = pool.canary_of is not None
    if canary:
        yield from stand_in.request_lines(service, pool)
    unless = f" {stand_in.UNLESS_BY_POOL}" if canary else ""  # the pool itself has said which replica it was
    yield f"http-response del-header x-tidegate- -m beg{unless}"
    if service.retry:
        yield from budget_lines()
        if lanes:
            yield from once_more_lines()
    yield "http-response lua.rest_failing if { status ge 500 }"
    yield f"http-after-response set-header x-tidegate-pool {pool.key}{unless}"
    yield f"http-response set-header x-tidegate-replica %s{unless}"
    yield _marker(pool)
    if canary:
        yield stand_in.server_line(settings)


def _marker(pool: PoolRoute) -> str:
    return f"@SERVERS {pool.key}@"


def _servers(pool: PoolRoute, numbers: Mapping[str, int]) -> Iterator[str]:
    """Draining servers are left out: the worker that still has their requests is not the one that reads this file."""
    for server in sorted(pool.servers, key=lambda s: numbers[s.replica]):
        if not server.draining:
            yield f"server {server.replica} {server_parameters(server, numbers[server.replica], pool.tls)}"


def _lane(size: int, lanes: int, settings: GatewaySettings, longest_s: float) -> Iterator[str]:
    yield "http-request set-var(txn.again) int(1)"
    yield f"timeout server {milliseconds(longest_s)}"
    yield "retry-on conn-failure"
    yield "http-reuse never"
    yield "http-response set-var(txn.exhausted) res.hdr(x-tidegate-pool) if { res.hdr(x-tidegate-exhausted) -m found }"
    yield "http-response del-header x-tidegate-exhausted"
    yield "http-response set-var(txn.up) res.hdr(x-tidegate-upload),add(0)"
    yield "http-response del-header x-tidegate-upload"
    most = lane_connections(size, lanes, settings)
    yield f"timeout queue {milliseconds(settings.body_timeout_s)}"
    yield f"server lane unix@{settings.socket(lane_name(size))} send-proxy-v2 maxconn {most}"


def _successor(settings: GatewaySettings, longest_s: float) -> Iterator[str]:
    """Where an old worker sends what still arrives on its kept connections after a reload: to the new worker.

    Only the new one knows the present routes and servers, and only one of them should fill a replica's slots.
    """
    yield "http-request set-var(txn.again) int(1)"
    yield f"timeout server {milliseconds(longest_s)}"
    yield "retry-on conn-failure empty-response"
    yield "http-reuse never"
    yield f"server worker unix@{settings.socket('successor')} send-proxy-v2"


def _management(settings: GatewaySettings) -> Iterator[str]:
    secured = management_options(settings.tls, settings.management_address)
    yield f"bind {settings.management_address}:{settings.management_port}{secured}"
    loopback = on_loopback(settings.management_address)
    if not loopback:
        yield from strict.connection_lines(settings)
    yield "no log"
    yield "http-request set-var(txn.rid) str(-)"
    if loopback:
        yield strict.own_host_line()
    if settings.management_token:
        # By its digest, so that the time a comparison takes says nothing about the token.
        digest = hashlib.sha256(settings.management_token.encode()).hexdigest()
        known = f"{{ http_auth_bearer,digest(sha256),hex -m str -i {digest} }}"
        yield f"http-request return {returned(answers.TOKEN_NEEDED)} if {{ path /metrics }} !{known}"
    yield "http-request use-service prometheus-exporter if { path /metrics }"
    yield f"http-request return {_HEALTHY} if {{ path /healthz }}"
    yield f"http-request return {returned(answers.NO_SUCH_PATH)}"
