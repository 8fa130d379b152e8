"""What no service has to understand: odd targets, hop-by-hop tricks, one address with all the connections. Pure.

The proxy's parser refuses what is not HTTP; these lines refuse or straighten what is HTTP and reads differently in two
places. Sources of the cases: RFC 9112 (sections 3.2 and 11), RFC 3986 (section 5.2.4), RFC 9110 (7.6.1, 7.8).
"""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.gateway import answers
from tidegate.gateway.answers import refused, returned
from tidegate.gateway.names import PUBLIC
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.text import HEAD_LIMIT, HEAD_LINES, URI_LIMIT, quoted

OUTSIDE = "{ so_id 1 }"
STREAMS = "streams-by-address"
STREAMS_TABLE = "stick-table type ipv6 size 100k expire 60s store conn_cur"
# An address that comes slowly and one that has not come for ten seconds are the same to a rate over ten seconds.
_RATE_S = 10
# Sessions and streams have counters 0 to 4: addresses (connections), retries, tenants, shares, addresses (requests).
COUNTERS, _COUNTER = 5, 4
_ADDRESS = "src,ipmask(32,64)"
_STREAMS_PER_CONNECTION = 64

_METHODS = "{ method GET HEAD POST PUT PATCH DELETE OPTIONS }"
_OWN_HOST = r"^(localhost|[0-9.]+|\[[0-9a-f:.]+\])$"

# Without a user's name in front of the host, which some read as the host (RFC 9110, 4.2.4).
_ABSOLUTE = quoted("^https?://[^/?#@]+(/|$)")

# What nearly every request is; none of the refusals in `request_lines` can apply to it, so they are passed over. A path
# without percent signs and backslashes says what it says, and has dot segments only behind a slash.
_USUAL = "{ req.ver 1.1 2.0 } { req.hdr(host) -m found } { url_beg / } !{ path -m sub % /. " + quoted("\\") + " }"
_ODD = "!{ var(txn.usual) -m found }"

# "..", "." as a whole segment, however it is written once decoded; a semicolon begins a segment's parameters.
_DOT_SEGMENT = quoted(r"(^|[/\\])\.\.?([/\\;]|$)")


def global_lines() -> Iterator[str]:
    """For the `global` section."""
    yield f"tune.h2.fe.max-concurrent-streams {_STREAMS_PER_CONNECTION}"


def connection_lines(settings: GatewaySettings, condition: str = "") -> Iterator[str]:
    """Connections from outside: an address holds half of what there is, and little once three quarters are taken.

    Worked example: of 9500 connections one address gets 4750; from 7125 on, each gets 148, so that it takes at least
    16 more addresses to keep others out. An IPv6 address counts with its whole /64, which is what one customer has.
    With limits on new ones: of one address over ten seconds, those that are turned away included; of all in a second.
    """
    most = settings.max_connections
    here = f"if {condition}" if condition else ""
    yield f"tcp-request connection track-sc0 {_ADDRESS} table {PUBLIC} {here}".rstrip()
    held = f"sc_conn_cur(0,{PUBLIC}) gt"
    yield f"tcp-request connection reject if {condition} {{ {held} {max(1, most // 2)} }}".replace("  ", " ")
    crowded = f"{{ fe_conn({PUBLIC}) gt {most * 3 // 4} }} {{ {held} {max(1, most // 64)} }}"
    yield f"tcp-request connection reject if {condition} {crowded}".replace("  ", " ")
    fast = []
    if settings.connections_per_s_of_one:
        fast.append(f"{{ sc_conn_rate(0,{PUBLIC}) gt {round(settings.connections_per_s_of_one * _RATE_S)} }}")
    if settings.connections_per_s:
        fast.append(f"{{ fe_sess_rate ge {settings.connections_per_s} }}")
    for limit in fast:
        yield f"tcp-request connection reject if {condition} {limit}".replace("  ", " ")


def connections_table(settings: GatewaySettings) -> str:
    """The counters of connections per address."""
    return STREAMS_TABLE + (f",conn_rate({_RATE_S}s)" if settings.connections_per_s_of_one else "")


def own_host_line() -> str:
    """On loopback, where metrics are read freely: a web page whose own name was made to point here is refused."""
    ours = f"{{ req.hdr(host),host_only -m reg -i {quoted(_OWN_HOST)} }}"
    return f"http-request return {returned(answers.WRONG_HOST)} if {{ req.hdr(host) -m found }} !{ours}"


def streams_table() -> Iterator[str]:
    """The counters of requests per address."""
    yield STREAMS_TABLE


def head_lines(condition: str) -> Iterator[str]:
    """The size of the head as it came, before the gateway adds lines of its own."""
    for too_much in (f"req.fhdr_cnt gt {HEAD_LINES}", f"req.hdrs,length gt {HEAD_LIMIT}"):
        yield from refused(answers.HEAD_TOO_LARGE, f"{condition} {{ {too_much} }}")
    yield from refused(answers.URI_TOO_LONG, f"{condition} {{ url_len gt {URI_LIMIT} }}")


def request_lines(settings: GatewaySettings) -> Iterator[str]:
    """The head of a request, before anything is decided by it."""
    # Over HTTP/2 one connection carries many requests, each with a body that is held: an address may have as many
    # requests as it may have connections.
    yield f"http-request track-sc{_COUNTER} {_ADDRESS} table {STREAMS} if {OUTSIDE}"
    many = f"{{ sc_conn_cur({_COUNTER},{STREAMS}) gt {max(1, settings.max_connections // 2)} }}"
    yield f"http-request return {returned(answers.TOO_MANY_STREAMS)} if {OUTSIDE} {many}"
    yield f"http-request set-var(txn.usual) bool(true) if {_METHODS} {_USUAL}"
    yield from refused(answers.BAD_VERSION, f"{_ODD} !{{ req.ver -m beg 1. 2. }}")
    nameless = "!{ req.hdr(host) -m found } { req.ver -m beg 1. } !{ req.ver 1.0 }"
    yield from refused(answers.BAD_HOST, f"{_ODD} {nameless}")
    yield from refused(answers.BAD_METHOD, f"{_ODD} !{_METHODS}")
    # The absolute form is for proxies; replicas see what they see from every other client.
    yield from refused(answers.BAD_PATH, f"{_ODD} !{{ url_beg / }} !{{ url -m reg -i {_ABSOLUTE} }}")
    yield f"http-request set-uri %[pathq] if {_ODD} !{{ url_beg / }} {{ path_beg / }}"
    for bad in ("!{ path_beg / }", "{ path -m sub %00 }", f"{{ path,url_dec -m reg {_DOT_SEGMENT} }}"):
        yield from refused(answers.BAD_PATH, f"{_ODD} {bad}")
    # `Connection: x-forwarded-for` asks the next hop to drop that header. Only what asks for a web socket is kept;
    # a replica that took `Upgrade: h2c` would be spoken to past all of the above.
    web_socket = "{ req.hdr(upgrade),lower -m str websocket } { req.hdr(connection),lower -m str upgrade }"
    yield f"http-request set-var(txn.web_socket) bool(true) if {web_socket}"
    for name in ("connection", "upgrade"):
        yield f"http-request del-header {name} unless {{ var(txn.web_socket) -m bool }}"
    for name in ("http2-settings", "keep-alive", "proxy-connection", "te"):
        yield f"http-request del-header {name}"
