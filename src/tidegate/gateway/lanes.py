"""Lanes: proxies beside the main one that hold large bodies, so that the main one can work with small buffers.

HAProxy keeps a whole body in one buffer, all buffers of a process have the same size, and a request that may be sent
again is copied by whole buffers whatever it holds: with 16 MiB buffers that takes 5 to 15 ms a request, with 244 KiB
some 0.02 ms (docs/decisions/0023, 0119). So bodies up to `small_body_bytes` are handled by the main proxy alone. A
larger one is read by a lane with buffers of its size, which then hands the complete request to the main proxy's
`staged` entrance, where the queue is, and hands it over once more when told 425: that replica failed, another may not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tidegate.gateway import answers, bodies, by_url
from tidegate.gateway.answers import http_error, refused_behind_body
from tidegate.gateway.choice import any_screened, choice_lines
from tidegate.gateway.names import POOLS_MAP, lane_name, pools_map
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.text import BUFFER_MARGIN, PARSED_LINES, Rendered, block, lua, milliseconds, screen_lines, sealed
from tidegate.model.snapshot import Snapshot

_MIB = 2**20
# Below this ratio to the next larger lane another process costs more than it saves.
_WORTH = 1.5


def lane_sizes(snapshot: Snapshot, settings: GatewaySettings) -> tuple[int, ...]:
    """The largest body of each lane, ascending; none when every service's limit is small.

    The last lane is rounded up to a power of two, so that it seldom changes, and no larger than `largest_held_bytes`.
    Worked example: limits up to 16 MiB and `lane_bytes` of 4 MiB give lanes of 4 and 16 MiB.
    """
    largest = max((s.max_body_bytes for s in snapshot.services), default=0)
    if largest <= settings.small_body_bytes:
        return ()
    last = _MIB
    while last < min(largest, settings.largest_held_bytes):
        last *= 2
    between = (s for s in sorted(settings.lane_bytes) if settings.small_body_bytes < s <= last / _WORTH)
    return (*between, last)


def lane_connections(size: int, lanes: int, settings: GatewaySettings) -> int:
    """How many requests a lane may hold at once: its share of the memory, at least 8."""
    return max(8, settings.lane_memory_bytes // lanes // size)


def render_lane(size: int, snapshot: Snapshot, settings: GatewaySettings, longest_s: float) -> Rendered:
    """The files of the lane for bodies up to `size` bytes; `longest_s` is the longest any request may take."""
    blocks = (
        block("global", _global(size, snapshot, settings, longest_s)),
        block("defaults", _defaults(settings, longest_s)),
        block("frontend large", _entrance(size, snapshot, settings)),
        block("backend staged", _staged(settings)),
    )
    return sealed(
        "".join(f"{b}\n" for b in blocks), {"gateway.lua": lua(answers.lua_table()), POOLS_MAP: pools_map(snapshot)}
    )


def _global(size: int, snapshot: Snapshot, settings: GatewaySettings, longest_s: float) -> Iterator[str]:
    yield "setenv TIDEGATE_SHAPE @SHAPE@"
    yield "default-path config"
    yield f"maxconn {settings.max_connections}"
    if settings.threads is not None:
        yield f"nbthread {settings.threads}"
    yield f"tune.bufsize {size + BUFFER_MARGIN}"
    yield f"tune.http.maxhdr {PARSED_LINES}"
    yield f"hard-stop-after {milliseconds(longest_s)}"
    yield "lua-load-per-thread gateway.lua"
    if any_screened(snapshot):
        yield from screen_lines()
        yield from by_url.load_lines(snapshot)


def _defaults(settings: GatewaySettings, longest_s: float) -> Iterator[str]:
    yield "mode http"
    yield f"timeout client {milliseconds(settings.client_timeout_s)}"
    yield f"timeout http-request {milliseconds(settings.header_timeout_s)}"
    yield f"timeout connect {milliseconds(settings.connect_timeout_s)}"
    yield f"timeout server {milliseconds(longest_s)}"
    yield "option abortonclose"
    for answer in answers.BY_STATUS:  # no queue stands here, so there is no time to tell
        yield http_error(replace(answer, retry_after_s=answer.retry_after_s and 1))


def _entrance(size: int, snapshot: Snapshot, settings: GatewaySettings) -> Iterator[str]:
    yield f"bind unix@{settings.socket(lane_name(size))} accept-proxy mode 600"
    yield "http-request set-var(txn.rid) req.hdr(x-request-id)"
    yield "http-request set-var(txn.limit) req.hdr(x-tidegate-limit),add(0)"
    yield "http-request set-var(txn.from) date(0,us)"
    yield f"http-request wait-for-body time {milliseconds(settings.body_timeout_s)}"
    yield "http-request set-var(txn.up) date(0,us),sub(txn.from)"
    yield "http-after-response set-header x-tidegate-upload %[var(txn.up)]"
    yield refused_behind_body(answers.BODY_TOO_LARGE, "{ req.body_size,sub(txn.limit) gt 0 }")
    yield from bodies.known_length_lines()
    yield "http-request set-header x-tidegate-whole %[date(0,us)]"
    yield "http-request set-var(txn.service) req.hdr(x-tidegate-service)"
    yield from choice_lines(snapshot, settings)
    yield "http-request set-header x-tidegate-choice %[var(txn.pool)]"
    yield "http-request set-header x-tidegate-media %[var(txn.media)] if { var(txn.media) -m found }"
    yield "default_backend staged"


def _staged(settings: GatewaySettings) -> Iterator[str]:
    yield f"retries {settings.resends}"
    yield "retry-on conn-failure 425"
    yield "http-reuse never"
    # Told 425 also at the last attempt: back to what it was, and mark it, since each attempt counted as a retry.
    yield "http-response set-header x-tidegate-exhausted 1 if { status 425 } { res.hdr(x-tidegate-status) -m found }"
    for status in (502, 503):
        yield f"http-response set-status {status} if {{ status 425 }} {{ res.hdr(x-tidegate-status) {status} }}"
    yield "http-response del-header x-tidegate-status"
    yield f"server main unix@{settings.socket('staged')} send-proxy-v2"
