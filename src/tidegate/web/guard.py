"""Who may use which route: decided from the head of a request alone, before any route runs.

Three doors lead to the same app. The unix socket is guarded by the permissions of its file. The loopback port is open
to every program and every web page on the machine, so it reads freely, writes only with the token, and refuses
requests that a foreign web page could have caused. Any other address needs the token for everything but the empty page.

Two attacks come from a web page the operator happens to have open. In DNS rebinding the page's own name is made to
point at 127.0.0.1, so the browser believes it talks to its origin; such a request carries the page's name in `Host`,
which is not one of ours. In a cross-site request the browser says so in `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/)
or in `Origin`.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

READING = frozenset({"GET", "HEAD"})
OPEN_PATHS = frozenset({"/"})
_OWN_SITES = frozenset({"same-origin", "none"})


@dataclass(frozen=True, slots=True)
class Access:
    """What one door asks for.

    `token` None with `write_needs_token` means that nothing can be written there. `hosts` are the names accepted in
    `Host` besides IP addresses; None: `Host` is not looked at. `browsers` says whether pages can reach it at all.
    """

    read_needs_token: bool
    write_needs_token: bool
    token: str | None = None
    hosts: frozenset[str] | None = None
    browsers: bool = True

    @staticmethod
    def socket() -> Access:
        """The unix socket: whoever may open the file may do everything."""
        return Access(read_needs_token=False, write_needs_token=False, browsers=False)

    @staticmethod
    def loopback(token: str | None = None, hosts: frozenset[str] = frozenset()) -> Access:
        """127.0.0.1 and ::1: reading is free, writing needs the token."""
        return Access(False, True, token, hosts | {"localhost"})

    @staticmethod
    def remote(token: str) -> Access:
        """Any other address: everything needs the token.

        A name that was made to point here gains nothing: the token travels in a header that only our page sets, and
        the browser keeps it for the origin at which it was typed in. So machines may reach it by any name they have.
        """
        return Access(True, True, token)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered: an HTTP status, a stable code, a sentence."""

    status: int
    code: str
    message: str


def refusal(access: Access, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
    """The reason to refuse a request, or None. `headers` have lower-case names."""
    return (
        _foreign_host(access, headers)
        or _foreign_site(access, method, path, headers)
        or _missing_token(access, method, path, headers)
    )


def _foreign_host(access: Access, headers: Mapping[str, str]) -> Refusal | None:
    if access.hosts is None:
        return None
    name = host_name(headers.get("host", ""))
    # An address cannot be rebound: only a name can be made to point somewhere else.
    if name in access.hosts or _is_address(name):
        return None
    return Refusal(
        421, "wrong_host", f"this server is not {name or 'a request without Host'}; add the name to its hosts"
    )


def _foreign_site(access: Access, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
    if not access.browsers:
        return None
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    # Following a link from another site to the page itself is harmless: it is a page of its own, without a frame.
    harmless = method in READING and path in OPEN_PATHS
    if site is not None and site not in _OWN_SITES and not harmless:
        return Refusal(403, "cross_site", "requests from pages of another site are refused")
    if origin is not None and origin.split("://", 1)[-1].lower() != headers.get("host", "").lower():
        return Refusal(403, "cross_site", f"requests from {origin} are refused")
    return None


def _missing_token(access: Access, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
    reading = method in READING
    if reading and path in OPEN_PATHS:
        return None
    if not (access.read_needs_token if reading else access.write_needs_token):
        return None
    if access.token is None:
        return Refusal(403, "read_only", "this address only reads; use the unix socket, or start with a token")
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), access.token.encode()):
        return None
    return Refusal(401, "token_needed", "send the token as `Authorization: Bearer TOKEN`")


def host_name(host: str) -> str:
    """The name or address in a `Host` header, without its port, lower case.

    >>> host_name("[::1]:80"), host_name("Example.org:8080")
    ('::1', 'example.org')
    """
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
