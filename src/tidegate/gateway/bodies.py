"""The body of a request, whole before a slot is taken: the lines of the entrance, and those that lanes share. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.gateway import answers, sharing
from tidegate.gateway.answers import refused, refused_behind_body
from tidegate.gateway.names import lane_name
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.text import milliseconds
from tidegate.model.snapshot import Snapshot


def entrance_lines(snapshot: Snapshot, lanes: tuple[int, ...], settings: GatewaySettings) -> Iterator[str]:
    """For the main proxy: read it here when it is small, send it by a lane when large; refuse it when too large."""
    too_large = "{ req.body_size,sub(txn.limit) gt 0 }"
    here = "!{ var(txn.lane) -m found } !{ var(txn.streamed) -m found }"
    small = settings.small_body_bytes
    yield "http-request set-var(txn.limit) var(txn.service),map_str_int(limits.map,0)"
    yield from refused(answers.BODY_TOO_LARGE, too_large)
    below = small
    for size in lanes:
        this = f"{{ req.body_size gt {below} }} {{ req.body_size le {size} }}"
        yield f"http-request set-var(txn.lane) str({lane_name(size)}) if {this}"
        below = size
    yield "http-request set-var(txn.from) date(0,us)"
    if lanes:
        # Too large to be held anywhere: passed on while it arrives, screened by its beginning.
        yield f"http-request set-var(txn.streamed) bool(true) if {{ req.body_size gt {lanes[-1]} }}"
        start = "http-request wait-for-body time 10s at-least 131072"
        yield f"{start} if {{ var(txn.streamed) -m found }}"
    waits = f"http-request wait-for-body time {milliseconds(settings.body_timeout_s)}"
    yield f"{waits} if {here}" if lanes else waits
    yield "http-request set-var(txn.up) date(0,us),sub(txn.from)"
    yield refused_behind_body(answers.BODY_TOO_LARGE, too_large)
    if lanes:
        # Its length was not declared, and it is more than the buffer holds.
        last = lane_name(lanes[-1])
        yield f"http-request set-var(txn.lane) str({last}) if {here} {{ req.body_size gt {small} }}"
        by_lane = "{ var(txn.lane) -m found }"
        yield f"http-request set-header x-tidegate-limit %[var(txn.limit)] if {by_lane}"
        yield f"http-request set-header x-tidegate-service %[var(txn.service)] if {by_lane}"
        yield from sharing.pass_on_lines() if sharing.any_shared(snapshot) else ()
        yield f"http-request allow if {by_lane}"
        yield f"use_backend %[var(txn.lane)] if {by_lane}"
    yield from known_length_lines("!{ var(txn.streamed) -m found }" if lanes else "")


def known_length_lines(condition: str = "") -> Iterator[str]:
    """Where the whole body has arrived: the replica gets it with its length and without the trailers of its chunks.

    Many servers do not read chunks, and what stands behind them has passed none of the rules. The body is sent by the
    length in the head, and the proxy writes no trailers behind a body of known length.
    """
    no_length = "!{ req.fhdr(content-length) -m found } { req.body_size gt 0 }"
    for unknown in ("{ req.fhdr(transfer-encoding) -m found }", no_length):
        yield f"http-request set-header content-length %[req.body_size] if {condition} {unknown}".replace("  ", " ")
    for name in ("transfer-encoding", "trailer"):
        yield f"http-request del-header {name}" + (f" if {condition}" if condition else "")
