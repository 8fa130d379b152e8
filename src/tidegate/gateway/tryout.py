"""What the gateway would make of a request body, found out by the proxy itself: the same lines, the same Lua.

`tried` starts a proxy on a socket of its own, sends it each body and ends it. No port is opened, nothing that runs is
touched, and nothing but HAProxy is needed.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tidegate.base.clock import SystemClock
from tidegate.base.errors import GatewayError
from tidegate.gateway.answers import BODY_TOO_LARGE, returned
from tidegate.gateway.binary import Binary, find
from tidegate.gateway.choice import choice_lines, screened
from tidegate.gateway.names import POOLS_MAP, pool_key, pools_map
from tidegate.gateway.screening import SIZE_LINE, MediaFacts, MediaLimits, facts_of, load_lines, screen_lines
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.text import BUFFER_MARGIN, block
from tidegate.model.snapshot import Snapshot

STREAMED_FRONT_BYTES: Final = 131_072
"""How much of a body that is too large to be held is waited for before it is judged."""

_START_S = 20.0
_ANSWER_S = 60.0
_CODE, _MEDIA, _POOL = "x-tidegate-code", "x-tidegate-media", "x-tidegate-pool"
_NAME, _NO_SERVICE = "x-tidegate-service", "any:service"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to try: its body (or the front of one of `total_bytes`), its Content-Type, further headers."""

    name: str
    body: bytes
    content_type: str
    total_bytes: int
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """What a service would do with it. `pool` is None when it is refused; `screens`: whether it has media read."""

    service: str
    pool: str | None
    status: int
    code: str | None
    screens: bool


@dataclass(frozen=True, slots=True)
class Tried:
    """What the gateway sees in a body, and what each service would do with it."""

    name: str
    content_type: str
    facts: MediaFacts
    services: tuple[Taken, ...] = field(default=())


def held_bytes() -> int:
    """The largest body that the gateway holds as a whole; of a larger one the front is judged."""
    return GatewaySettings(state_directory=Path()).largest_held_bytes


def tried(asked: Sequence[Asked], snapshot: Snapshot, binary: Binary | None = None) -> tuple[Tried, ...]:
    """Try each request with each service of the snapshot. Media named by URL are not fetched.

    Raises:
        GatewayError: there is no usable HAProxy, or it does not start or answer; the message says why.
    """
    snapshot = Snapshot.of(tuple(replace(s, media_by_url=None) for s in snapshot.services))
    with tempfile.TemporaryDirectory(prefix="tidegate-screen-") as name:
        folder = Path(name)
        largest = max((len(one.body) for one in asked), default=0)
        with _proxy(folder, snapshot, largest, binary or find()) as at:
            return tuple(_try(at, one, snapshot) for one in asked)


def configuration(folder: Path, snapshot: Snapshot, largest_bytes: int) -> str:
    """The proxy's file: choice as in the gateway, and what it found in headers of the answer."""
    settings = GatewaySettings(state_directory=folder)
    return "\n".join(
        (
            block(
                "global",
                (
                    f"default-path origin {folder}",
                    "maxconn 16",
                    "nbthread 1",
                    f"tune.bufsize {max(largest_bytes, STREAMED_FRONT_BYTES) + BUFFER_MARGIN}",
                    *load_lines(),
                ),
            ),
            block("defaults", ("mode http", "timeout client 60s", "timeout http-request 60s")),
            block("frontend screen", _frontend(folder, snapshot, settings)),
        )
    )


def _frontend(folder: Path, snapshot: Snapshot, settings: GatewaySettings) -> Iterator[str]:
    streamed = f"{{ req.body_size gt {settings.largest_held_bytes} }}"
    yield f"bind unix@{folder / 'screen.sock'}"
    yield "http-request set-var(txn.rid) str(screen)"
    yield f"http-request set-var(txn.service) req.hdr({_NAME})"
    yield f"http-request del-header {_NAME}"
    yield "http-request del-header x-media- -m beg"
    yield f"http-after-response set-header {_MEDIA} %[var(txn.media)] if {{ var(txn.media) -m found }}"
    yield f"http-after-response set-header {_CODE} %[var(txn.media_code)] if {{ var(txn.media_code) -m found }}"
    yield f"http-after-response set-header {_POOL} %[var(txn.pool)] if {{ var(txn.pool) -m found }}"
    for service in snapshot.services:
        here = f"{{ var(txn.service) -m str {service.service} }} {{ req.body_size gt {service.max_body_bytes} }}"
        yield f"http-request set-var(txn.media_code) str({BODY_TOO_LARGE.code}) if {here}"
        yield f"http-request return {returned(BODY_TOO_LARGE)} if {here}"
    yield f"http-request wait-for-body time 30s at-least {STREAMED_FRONT_BYTES} if {streamed}"
    yield f"http-request wait-for-body time 30s unless {streamed}"
    yield SIZE_LINE
    yield from screen_lines(MediaLimits(), f"{{ var(txn.service) -m str {_NO_SERVICE} }}")
    yield from choice_lines(snapshot, settings)
    yield "http-request return status 200 content-type text/plain string taken"


@contextlib.contextmanager
def _proxy(folder: Path, snapshot: Snapshot, largest_bytes: int, binary: Binary) -> Iterator[Path]:
    config, log, at = folder / "haproxy.cfg", folder / "haproxy.log", folder / "screen.sock"
    config.write_text(configuration(folder, snapshot, largest_bytes))
    (folder / POOLS_MAP).write_text(pools_map(snapshot))
    with log.open("wb") as told:
        command = [str(binary.path), "-db", "-f", str(config)]
        process = subprocess.Popen(command, env=os.environ | binary.environment, stdout=told, stderr=told)
    try:
        clock = SystemClock()
        deadline = clock.monotonic() + _START_S
        while not at.exists():
            if clock.monotonic() > deadline:
                raise GatewayError(f"the proxy that screens does not start within {_START_S:.0f} s")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
                raise GatewayError(f"the proxy that screens does not start: {log.read_text(errors='replace').strip()}")
        yield at
    finally:
        process.kill()
        process.wait()


def _try(at: Path, asked: Asked, snapshot: Snapshot) -> Tried:
    seen = _ask(at, asked, _NO_SERVICE)
    services = tuple(_taken(s.service, screened(s), _ask(at, asked, s.service)) for s in snapshot.services)
    return Tried(asked.name, asked.content_type, facts_of(seen.getheader(_MEDIA, "")), services)


def _taken(service: str, screens: bool, answer: http.client.HTTPResponse) -> Taken:
    if answer.status != http.HTTPStatus.OK:
        return Taken(service, None, answer.status, answer.getheader(_CODE), screens)
    key = pool_key(answer.getheader(_POOL, ""))
    return Taken(service, key.pool if key else None, answer.status, None, screens)


class _Connection(http.client.HTTPConnection):
    def __init__(self, at: Path) -> None:
        super().__init__("screen", timeout=_ANSWER_S)
        self._at = at

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_ANSWER_S)
        self.sock.connect(str(self._at))


def _ask(at: Path, asked: Asked, service: str) -> http.client.HTTPResponse:
    headers = {"content-type": asked.content_type, **dict(asked.headers)}
    headers |= {_NAME: service, "content-length": str(asked.total_bytes)}
    connection = _Connection(at)
    try:
        connection.connect()
        connection.putrequest("POST", "/")
        for name, value in headers.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused by its length: the answer is there
            connection.send(asked.body)
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise GatewayError(f"the proxy that screens gave no answer for {asked.name}: {error}") from None
    finally:
        connection.close()
