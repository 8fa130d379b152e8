"""What of a URL decides where a fetch goes. Pure.

Anything that two programs could read differently is refused: the replica will fetch the same URL with a reader of its
own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tidegate.fetch.rules import Rules

LONGEST = 4096
_PLAIN = re.compile(r"[!#-\[\]_a-z~]+", re.IGNORECASE)  # ASCII without blanks, quotes, backslashes, braces, ^ ` |
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?\.?|\[[0-9a-f:.]+\]", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


class Refused(Exception):
    """The URL may not be fetched; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect and what to ask for."""

    url: str
    host: str
    port: int


def target(url: str, rules: Rules) -> Target:
    """Judge a URL by what is written in it; addresses are judged when they are known.

    Raises:
        Refused: it may not be fetched.
    """
    if len(url) > LONGEST:
        raise Refused(f"the URL is longer than {LONGEST} characters")
    if not _PLAIN.fullmatch(url):
        raise Refused("the URL has characters that must be percent-encoded")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused(f"the URL cannot be read: {error}") from None
    if parts.scheme not in _PORTS:
        raise Refused(f"only http and https are fetched, not {parts.scheme or 'a URL without a scheme'}")
    if "@" in parts.netloc:
        raise Refused("the URL holds a user name")
    host = (parts.hostname or "").lower()
    written = f"[{host}]" if ":" in host else host
    if not _HOST.fullmatch(written):
        raise Refused("the URL has no usable host name")
    port = port if port is not None else _PORTS[parts.scheme]
    if port not in rules.ports:
        raise Refused(f"port {port} may not be reached")
    if rules.hosts and not any(_fits(host.removesuffix("."), pattern) for pattern in rules.hosts):
        raise Refused(f"{host} is not one of the hosts that may be reached")
    path = parts.path or "/"
    return Target(f"{parts.scheme}://{written}:{port}{path}{f'?{parts.query}' if parts.query else ''}", host, port)


def _fits(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
