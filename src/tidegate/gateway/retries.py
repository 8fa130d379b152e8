"""When a request is sent again, and what keeps that from making things worse. Pure.

A request may go to another replica when nothing was sent (the connection was refused) or, if its service is declared
idempotent, when the replica broke off or said 503. HAProxy counts both kinds together, at most `retries` a request,
and has decided before the first one is sent whether the second kind is allowed. So the budget is looked at then:
when, in the last ten seconds, more than one try in five of a pool was a repetition, and more than ten were, a request
is sent once. Worked example: a pool answers 100 requests a second and breaks all of them. After 210 of 1000 requests
needed another try, the rest are sent once: 1.2 times the load, not five times. See docs/decisions/0115.

Large requests come from a lane, which sends them again only when told so; there the time is looked at as well: no
other try when it could not end within the promise.
"""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.gateway.names import LATEST_MAP

BUDGET = "retry-budget"
_WINDOW = "10s"
_REQUESTS_PER_RETRY = 5
_FREE_RETRIES = 10
_LEAST_CONNECT_S = 0.3


def budget_table() -> Iterator[str]:
    """The counters per pool: requests, and further tries, over the window."""
    counters = f"http_req_rate({_WINDOW}),gpc(1),gpc_rate(1,{_WINDOW})"
    yield f"stick-table type string len 127 size 10k expire 60s store {counters}"


def connect_s(within_s: float, most_s: float) -> float:
    """How long to wait for a connection, seconds: a host that is gone without a word costs a third of the promise.

    At least 0.3 s, which is more than any distance on earth.
    """
    return min(most_s, max(_LEAST_CONNECT_S, within_s / 3))


def retry_lines(idempotent: bool, retries: int) -> Iterator[str]:
    """What may be sent again. A time-out is not: its second try would end after the promise in any case."""
    yield f"retries {retries}"
    yield "option redispatch 1"
    if idempotent:
        yield "retry-on conn-failure empty-response junk-response 0rtt-rejected 503"
        yield "http-reuse always"
    else:
        # A kept connection may be closed by the replica just as a request is sent on it, and that request could not
        # be sent again; so each one gets a connection of its own.
        yield "retry-on conn-failure"
        yield "option http-server-close"
        yield "http-reuse never"


def budget_lines() -> Iterator[str]:
    """Count the request; one try only when the budget is used up. Behind the refusals: they are no requests of it."""
    yield f"http-request track-sc1 be_name table {BUDGET}"
    yield "http-request set-var(txn.asked) sc_http_req_rate(1)"
    most = _FREE_RETRIES * _REQUESTS_PER_RETRY
    spent = f"{{ sc_gpc_rate(0,1),mul({_REQUESTS_PER_RETRY}),sub(txn.asked) gt {most} }}"
    yield f"http-request set-var(txn.once) bool(true) if {spent}"
    yield "http-request disable-l7-retry if { var(txn.once) -m bool }"
    # The log's count of tries, "+2" when the last one was on another server.
    yield "http-after-response set-var-fmt(txn.tries) %rc"
    yield "http-after-response sc-add-gpc(0,1) var(txn.tries),field(-1,+) unless { var(txn.tries) -m str 0 }"


def once_more_lines() -> Iterator[str]:
    """Tell the lane, by a status no service gives, that its request may be sent again: a broken answer, or a 503."""
    staged = "{ var(txn.staged) -m bool }"
    replied = "{ var(txn.replied) -m bool }"
    yield f"http-request disable-l7-retry if {staged}"
    yield f"http-request set-var(txn.latest) be_name,map_str_int({LATEST_MAP}),add(txn.whole) if {staged}"
    yield "http-response set-var(txn.replied) bool(true)"
    late = "{ date(0,us),sub(txn.latest) gt 0 }"
    yield f"http-after-response set-var(txn.once) bool(true) if {staged} {late}"
    may = f"{staged} !{{ var(txn.once) -m bool }}"
    yield f"http-after-response set-header x-tidegate-status 502 if {may} {{ status 502 }} !{replied}"
    yield f"http-after-response set-header x-tidegate-status 503 if {may} {{ status 503 }} {replied}"
    yield "http-after-response sc-inc-gpc(0,1) if { res.hdr(x-tidegate-status) -m found }"
    # The next try is a new request to this proxy, which could choose the same replica again.
    yield "http-after-response set-var(txn.rests) lua.rest_now if { res.hdr(x-tidegate-status) 502 }"
    yield "http-after-response set-status 425 if { res.hdr(x-tidegate-status) -m found }"
