"""Who may use which route, as a table."""

from __future__ import annotations

import pytest

from tidegate.web.guard import Access, host_name, is_loopback, refusal

SOCKET = Access.socket()
LOOPBACK = Access.loopback()
WITH_TOKEN = Access.loopback("s3cret")
REMOTE = Access.remote("s3cret")
HERE = {"host": "127.0.0.1:8081"}
BEARER = {"authorization": "Bearer s3cret"}
FOREIGN = {"origin": "https://evil.example"}

CASES = [
    ("the socket lets everything through", SOCKET, "POST", "/v1/down", {}, None),
    ("loopback reads freely", LOOPBACK, "GET", "/v1/status", HERE, None),
    ("loopback by name", LOOPBACK, "GET", "/v1/status", {"host": "localhost:8081"}, None),
    ("loopback by IPv6", LOOPBACK, "GET", "/v1/status", {"host": "[::1]:8081"}, None),
    ("loopback does not write without a token", LOOPBACK, "POST", "/v1/down", HERE, "read_only"),
    ("a token that was not set opens nothing", LOOPBACK, "POST", "/v1/down", HERE | BEARER, "read_only"),
    ("loopback asks for its token", WITH_TOKEN, "POST", "/v1/down", HERE, "token_needed"),
    ("a wrong token", WITH_TOKEN, "POST", "/v1/down", HERE | {"authorization": "Bearer s3cre"}, "token_needed"),
    ("another scheme", WITH_TOKEN, "POST", "/v1/down", HERE | {"authorization": "Basic s3cret"}, "token_needed"),
    ("a token that is not ASCII", WITH_TOKEN, "POST", "/v1/down", HERE | {"authorization": "Bearer é"}, "token_needed"),
    ("the right token", WITH_TOKEN, "POST", "/v1/down", HERE | BEARER, None),
    ("a rebound name", LOOPBACK, "GET", "/v1/status", {"host": "evil.example:8081"}, "wrong_host"),
    ("a rebound name at the page", LOOPBACK, "GET", "/", {"host": "evil.example"}, "wrong_host"),
    ("a name that begins like ours", LOOPBACK, "GET", "/", {"host": "localhost.evil.example"}, "wrong_host"),
    ("no Host at all", LOOPBACK, "GET", "/v1/status", {}, "wrong_host"),
    ("a foreign page reads", LOOPBACK, "GET", "/v1/status", HERE | {"sec-fetch-site": "cross-site"}, "cross_site"),
    ("a page of a sibling site", LOOPBACK, "GET", "/v1/status", HERE | {"sec-fetch-site": "same-site"}, "cross_site"),
    ("a link from a foreign page", LOOPBACK, "GET", "/", HERE | {"sec-fetch-site": "cross-site"}, None),
    ("our page reads", LOOPBACK, "GET", "/v1/status", HERE | {"sec-fetch-site": "same-origin"}, None),
    ("a foreign origin, even with the token", WITH_TOKEN, "POST", "/v1/apply", HERE | BEARER | FOREIGN, "cross_site"),
    ("our origin", WITH_TOKEN, "POST", "/v1/apply", HERE | BEARER | {"origin": "http://127.0.0.1:8081"}, None),
    ("another port of ours", LOOPBACK, "GET", "/v1/logs/a", HERE | {"origin": "http://127.0.0.1:9"}, "cross_site"),
    ("an opaque origin", LOOPBACK, "GET", "/v1/status", HERE | {"origin": "null"}, "cross_site"),
    ("remote shows the empty page", REMOTE, "GET", "/", {"host": "gate.example.org"}, None),
    ("remote reads with the token only", REMOTE, "GET", "/v1/status", {"host": "gate.example.org"}, "token_needed"),
    ("remote with the token", REMOTE, "GET", "/v1/status", {"host": "10.0.0.7:81"} | BEARER, None),
    ("remote by a rebound name", REMOTE, "GET", "/v1/status", {"host": "evil.example"}, "token_needed"),
    ("remote, a foreign page", REMOTE, "GET", "/v1/status", BEARER | {"sec-fetch-site": "cross-site"}, "cross_site"),
    ("remote, a foreign origin", REMOTE, "POST", "/v1/apply", HERE | BEARER | FOREIGN, "cross_site"),
]


@pytest.mark.parametrize(
    ("access", "method", "path", "headers", "code"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_refuses(access, method, path, headers, code):
    refused = refusal(access, method, path, headers)
    assert (refused and refused.code) == code


@pytest.mark.parametrize(
    ("host", "name"),
    [("A.example:80", "a.example"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("a.example.", "a.example"), ("", "")],
)
def test_reads_the_name_of_a_host_header(host, name):
    assert host_name(host) == name


def test_knows_which_addresses_stay_on_this_machine():
    assert [is_loopback(h) for h in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [True] * 4
    assert [is_loopback(h) for h in ("0.0.0.0", "::", "10.0.0.1", "localhost.evil.example")] == [False] * 4
