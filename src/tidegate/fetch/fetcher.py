"""Fetching the first bytes of a medium."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urljoin

import httpcore

from tidegate import __version__
from tidegate.fetch.addresses import Address, forbidden
from tidegate.fetch.rules import Rules
from tidegate.fetch.targets import Refused, Target, target

Resolve = Callable[[str, int], Awaitable[list[Address]]]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_ADDRESSES = 3  # tried one after the other
_RANGE = re.compile(r"bytes 0-\d+/(\d+|\*)")


class Failed(Exception):
    """The medium could not be had; the message says why, `code` is what the sender of the request is told."""

    def __init__(self, message: str, code: str = "media_url_failed") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Head:
    """The first bytes of a medium; `total` is the size of all of it, as large as it may be when nobody says."""

    data: bytes
    total: int
    content_type: str


async def resolve(host: str, port: int) -> list[Address]:
    """Every address of a host, in the order the system prefers.

    Raises:
        OSError: it has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(row[4][0]).partition("%")[0]) for row in found))


class Guarded(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that may be reached: resolved once, judged, and then connected to by number."""

    def __init__(self, rules: Rules, resolve: Resolve) -> None:
        self._rules = rules
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._resolve(host.strip("[]"), port)
        except (OSError, UnicodeError):
            raise Failed(f"{host} has no address") from None
        for address in addresses:
            # One bad one is enough: a name that has both is made to be judged by the one and reached by the other.
            why = forbidden(address, self._rules.networks)
            if why:
                raise Refused(f"{host}: {why}")
        last: Exception = Failed(f"{host} has no address")
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                last = error
        raise last

    async def connect_unix_socket(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        raise Refused("sockets of this machine are not fetched from")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class Fetcher:
    """Fetches heads under the rules of each service. Holds nothing between two fetches but how many are under way."""

    def __init__(self, resolve: Resolve = resolve, tls: ssl.SSLContext | None = None) -> None:
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()
        self._busy: dict[str, int] = {}

    async def head(self, service: str, url: str, rules: Rules) -> Head:
        """The first bytes of what is at `url`.

        Raises:
            Refused: the URL, or one it redirects to, may not be fetched.
            Failed: it could not be, in time.
        """
        if self._busy.get(service, 0) >= rules.at_once:
            raise Failed("too many media are being fetched", "media_url_busy")
        self._busy[service] = self._busy.get(service, 0) + 1
        try:
            async with asyncio.timeout(rules.timeout_s):
                return await self._follow(url, rules)
        except TimeoutError:
            raise Failed(f"no answer within {rules.timeout_s:g} s", "media_url_timeout") from None
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise Failed(f"{type(error).__name__}: {error}") from None
        finally:
            self._busy[service] -= 1

    async def _follow(self, url: str, rules: Rules) -> Head:
        for _ in range(rules.redirects + 1):
            found = await self._ask(target(url, rules), rules)
            if isinstance(found, Head):
                return found
            url = urljoin(url, found)
        raise Failed(f"more than {rules.redirects} redirects")

    async def _ask(self, where: Target, rules: Rules) -> Head | str:
        """The head, or where it is to be found. Every request has a connection and a resolution of its own."""
        headers = [
            ("user-agent", f"tidegate/{__version__}"),
            ("accept", "image/*, audio/*, video/*, */*;q=0.1"),
            ("accept-encoding", "identity"),
            ("range", f"bytes=0-{rules.head_bytes - 1}"),
        ]
        backend = Guarded(rules, self._resolve)
        async with (
            httpcore.AsyncConnectionPool(self._tls, network_backend=backend, max_keepalive_connections=0) as pool,
            pool.stream("GET", where.url, headers=headers) as response,
        ):
            fields = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in REDIRECTS and "location" in fields:
                return fields["location"]
            if response.status not in (200, 206):
                raise Failed(f"answered {response.status}")
            if fields.get("content-encoding", "identity").lower() != "identity":
                raise Failed("the medium is compressed on its way", "media_encoded")
            return await _read(response, fields, rules)


async def _read(response: httpcore.Response, fields: dict[str, str], rules: Rules) -> Head:
    total = _total(response.status, fields)
    if total is not None and total > rules.max_bytes:
        raise Failed(f"{total} bytes are more than {rules.max_bytes}", "media_too_many_bytes")
    data = b""
    async for part in response.aiter_stream():
        data += part
        if len(data) >= rules.head_bytes:
            break
    else:
        # It has ended: that is all of it, whatever was said, unless only a part was asked for and given.
        if response.status == 200 or total is None:
            total = len(data)
    if total is None or total < len(data):
        total = rules.max_bytes  # of unknown length, or longer than was said: the most that may be
    return Head(data[: rules.head_bytes], total, fields.get("content-type", ""))


def _total(status: int, fields: dict[str, str]) -> int | None:
    if status == 206:
        found = _RANGE.fullmatch(fields.get("content-range", ""))
        if found is None:
            raise Failed("it gave another part than was asked for")
        return None if found[1] == "*" else int(found[1])
    length = fields.get("content-length", "")
    return int(length) if length.isdigit() else None
