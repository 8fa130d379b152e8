"""What is read from a URL before anything is asked."""

from __future__ import annotations

import pytest

from tidegate.fetch.rules import Rules
from tidegate.fetch.targets import Refused, target

REFUSED = {
    "another scheme": "ftp://a.example/x",
    "a file": "file:///etc/passwd",
    "gopher": "gopher://a.example:80/_GET",
    "no scheme": "a.example/x",
    "relative": "//a.example/x",
    "no host": "http:///x",
    "user name": "http://user@a.example/",
    "user name and password": "http://good.example:80@a.example/",
    "backslash": "http://good.example\\@a.example/",
    "backslash as a slash": "http:\\\\a.example/",
    "space": "http://a.example/a b",
    "line break": "http://a.example/\r\nhost: b",
    "tab": "http://a.ex\tample/",
    "zero byte": "http://a.example/\0",
    "not ASCII": "http://\u24d0.example/",
    "full-width dot": "http://127\uff0e0.0.1/",
    "port": "http://a.example:22/",
    "port 0": "http://a.example:0/",
    "port that is none": "http://a.example:99999/",
    "port with letters": "http://a.example:8o/",
    "zone": "http://[fe80::1%25eth0]/",
    "percent in the host": "http://a%2eexample/",
    "too long": "http://a.example/" + "a" * 5000,
    "empty": "",
}


@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED)
def test_refuses(url: str):
    with pytest.raises(Refused):
        target(url, Rules())


@pytest.mark.parametrize(
    ("url", "host", "port", "asked"),
    [
        ("http://a.example", "a.example", 80, "http://a.example:80/"),
        ("HTTPS://A.Example/x?y=1#z", "a.example", 443, "https://a.example:443/x?y=1"),
        ("http://[2606:4700::1111]/x", "2606:4700::1111", 80, "http://[2606:4700::1111]:80/x"),
        ("http://2130706433/", "2130706433", 80, "http://2130706433:80/"),
    ],
)
def test_says_where_to_connect_and_what_to_ask_for(url: str, host: str, port: int, asked: str):
    found = target(url, Rules())
    assert (found.host, found.port, found.url) == (host, port, asked)


def test_hosts_that_were_named_are_the_only_ones():
    rules = Rules(hosts=("cdn.example", "*.media.example"))
    for host in ("cdn.example", "cdn.example.", "CDN.example", "a.media.example", "a.b.media.example"):
        assert target(f"http://{host}/", rules)
    for host in ("media.example", "evilcdn.example", "cdn.example.evil.org", "a.media.example.org", "127.0.0.1"):
        with pytest.raises(Refused):
            target(f"http://{host}/", rules)
