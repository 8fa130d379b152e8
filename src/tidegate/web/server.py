"""Serves the API at its two doors inside a running event loop: a unix socket and a TCP port."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from tidegate.base.errors import ControlError
from tidegate.web import secure
from tidegate.web.api import build_app
from tidegate.web.guard import Access, is_loopback
from tidegate.web.ports import ControlPort

STOP_WITHIN_S = 3.0
"""How long answers under way may take once the server is told to stop."""
_MAX_SOCKET_PATH = 107  # bytes in sockaddr_un.sun_path on Linux, less the closing zero
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to serve. `port` None: no TCP; 0: any free one.

    `names` are host names accepted on loopback besides addresses. With `certificate` and `key`, PEM files, the TCP
    port speaks TLS.
    """

    socket_path: Path | None = None
    host: str = "127.0.0.1"
    port: int | None = 0
    token: str | None = field(default=None, repr=False)
    names: frozenset[str] = frozenset()
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """Where it serves now; `page` is "" when there is no TCP port."""

    socket_path: Path | None
    page: str


class _Quiet(uvicorn.Server):
    """A server that leaves the signals of its process alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(control: ControlPort, listen: Listen) -> AsyncIterator[Served]:
    """Serve while the block runs; leaving it takes at most about `STOP_WITHIN_S` seconds.

    Raises:
        ControlError: an address cannot be used; the message says what to do.
    """
    closing = asyncio.Event()
    with contextlib.ExitStack() as stack:
        doors: list[tuple[socket.socket, _Quiet]] = []
        if listen.socket_path is not None:
            door = stack.enter_context(_unix_socket(listen.socket_path))
            doors.append((door, _server(control, Access.socket(), closing)))
        address = ""
        if listen.port is not None:
            server = _server(control, tcp_access(listen), closing, listen.certificate, listen.key)
            door = stack.enter_context(_tcp_socket(listen.host, listen.port))
            doors.append((door, server))
            address = _page_url("https" if listen.certificate else "http", listen.host, door.getsockname()[1])
        servers = [server for _, server in doors]
        tasks = {asyncio.create_task(server.serve(sockets=[door])) for door, server in doors}
        watches = [
            asyncio.create_task(secure.follow(server.config.ssl, listen.certificate, listen.key or listen.certificate))
            for server in servers
            if server.config.ssl is not None and listen.certificate is not None
        ]
        try:
            await _started(servers, tasks)
            yield Served(listen.socket_path, address)
        finally:
            closing.set()
            for watch in watches:
                watch.cancel()
            for server in servers:
                server.should_exit = True
            await _ended(tasks)


def tcp_access(listen: Listen) -> Access:
    """What the TCP door asks for.

    Raises:
        ControlError: others could reach it and there is no token.
    """
    if is_loopback(listen.host):
        return Access.loopback(listen.token, listen.names)
    if not listen.token:
        raise ControlError(
            f"listening on {listen.host} lets other machines in: set a token, or listen on 127.0.0.1 "
            "and reach it through a tunnel (ssh -L)"
        )
    return Access.remote(listen.token)


def _server(
    control: ControlPort,
    access: Access,
    closing: asyncio.Event,
    certificate: Path | None = None,
    key: Path | None = None,
) -> _Quiet:
    config = uvicorn.Config(
        build_app(control, access, closing=closing),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=int(STOP_WITHIN_S),
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ControlError(f"the certificate {certificate} cannot be used for the status page: {error}") from error
    return _Quiet(config)


async def _started(servers: list[_Quiet], tasks: set[asyncio.Task[None]]) -> None:
    """Wait until every server accepts connections."""
    while not all(server.started for server in servers):
        done, _ = await asyncio.wait(tasks, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    """Wait for the servers; whoever is still there after the bound is cancelled."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=STOP_WITHIN_S + 1)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _page_url(scheme: str, host: str, port: int) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{scheme}://{name}:{port}/"


@contextlib.contextmanager
def _tcp_socket(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        door = socket.socket(family, kind, proto)
    except OSError as error:
        raise ControlError(f"cannot listen on {host}: {error.strerror or error}") from error
    with door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(address)
        except OSError as error:
            what = (
                "is taken; choose another one with --page-port"
                if error.errno == errno.EADDRINUSE
                else f"refused: {error.strerror}"
            )
            raise ControlError(f"{host}:{port} {what}") from error
        yield door


@contextlib.contextmanager
def _unix_socket(path: Path) -> Iterator[socket.socket]:
    """A socket file only its owner can open, removed at the end; one left by a dead process is replaced."""
    if len(bytes(path)) > _MAX_SOCKET_PATH:
        raise ControlError(f"{path} is too long for a socket ({_MAX_SOCKET_PATH} bytes at most); use a shorter folder")
    _clear(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            door.bind(str(path))
            # Nobody can connect before listen(), so nobody gets in before the mode is right.
            path.chmod(0o600)
        except OSError as error:
            raise ControlError(f"cannot make {path}: {error.strerror}") from error
        inode = path.stat().st_ino
        try:
            yield door
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == inode:
                    path.unlink()


def _clear(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_socket():
        raise ControlError(f"{path} is in the way: it is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise ControlError(f"cannot tell whether {path} is in use: {error.strerror}") from error
    raise ControlError(
        f"another Tidegate answers on {path}; stop it first (`tidegate down`) or use another state folder"
    )
