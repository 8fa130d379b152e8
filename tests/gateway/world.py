"""A gateway on free loopback ports with tiny replicas, for tests that need the real proxy."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from free_ports import free_port
from tidegate.base.errors import GatewayError
from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.gateway.settings import GatewaySettings
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot
from tidegate.spec.requests import Route
from tidegate.spec.resolve import PoolKey

# The longest that a test waits for what will come. Machines stand still for seconds, so it is only ever reached by
# what has gone wrong, and no test may depend on anything being faster.
PATIENCE_S = 60.0


def settings(folder: Path, **changes: object) -> GatewaySettings:
    values: dict[str, object] = {
        "state_directory": folder,
        "listen_address": "127.0.0.1",
        "listen_port": free_port(),
        "management_port": free_port(),
        "threads": 2,
        "max_connections": 2000,
        "stop_grace_s": PATIENCE_S,
    }
    return GatewaySettings(**(values | changes))  # type: ignore[arg-type]


def pool(
    service: str = "face", name: str = "default", servers: tuple[Server, ...] = (), **changes: object
) -> PoolRoute:
    values: dict[str, object] = {
        "key": PoolKey(service, name),
        "match": None,
        "servers": servers,
        "slots_per_replica": 1,
        "queue_max_wait_s": PATIENCE_S,
        "queue_max_length_per_slot": 64,
        "start_wait_s": PATIENCE_S,
        "request_timeout_s": PATIENCE_S,
        "within_s": PATIENCE_S,
    }
    return PoolRoute(**(values | changes))  # type: ignore[arg-type]


def service(*pools: PoolRoute, name: str = "face", route: Route | None = None, **changes: object) -> ServiceRoute:
    values: dict[str, object] = {"max_body_bytes": 8 * 2**20, "retry": True}
    return ServiceRoute(name, route or Route(), pools or (pool(name),), **(values | changes))  # type: ignore[arg-type]


def snapshot(*services: ServiceRoute) -> Snapshot:
    return Snapshot.of(services)


@dataclass
class Seen:
    """One request as a replica received it."""

    method: str
    path: str
    headers: dict[str, str]
    body_bytes: int


Answer = Callable[["Replica", Seen], Awaitable[tuple[int, bytes]]]


@dataclass
class Replica:
    """A server that answers after `delay_s` and counts how many requests it works on at once."""

    name: str
    delay_s: float = 0.0
    answer: Answer | None = None
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    busy: int = 0
    most_busy: int = 0
    story: list[tuple[float, str]] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> Replica:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def server(self, **changes: object) -> Server:
        values: dict[str, object] = {"replica": self.name, "address": f"127.0.0.1:{self.port}", "slots": 1}
        return Server(**(values | changes))  # type: ignore[arg-type]

    def kill(self) -> None:
        """As if its process had been ended: the port closes and every connection breaks."""
        self._tell("killed")
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    def _tell(self, what: str) -> None:
        self.story.append((time.monotonic(), f"{self.name} {what}"))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                await self._one(reader, writer)
        except (OSError, EOFError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the proxy has left, or the test is over
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        size = await self._body(reader, headers)
        method, path, _ = head[0].split(" ")
        request = Seen(method, path, headers, size)
        self.seen.append(request)
        self._tell(f"was given {method} {path} ({size} bytes)")
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            status, body = 200, self.name.encode()
            if self.answer is not None:
                status, body = await self.answer(self, request)
            elif self.delay_s:
                await asyncio.sleep(self.delay_s)
        finally:
            self.busy -= 1
        self._tell(f"answers {status}")
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body)
        await writer.drain()

    async def _body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> int:
        if headers.get("transfer-encoding") != "chunked":
            return len(await reader.readexactly(int(headers.get("content-length", 0))))
        total = 0
        while size := int((await reader.readline()).strip() or b"0", 16):
            total += len(await reader.readexactly(size))
            await reader.readline()
        while (await reader.readline()).strip():
            pass  # trailers
        return total


def holds(release: asyncio.Event) -> Answer:
    """Answers with its name, once `release` is set."""

    async def answer(replica: Replica, _: Seen) -> tuple[int, bytes]:
        await release.wait()
        return 200, replica.name.encode()

    return answer


@dataclass
class World:
    """The gateway under test, its replicas and a client."""

    gateway: HaproxyGateway
    client: httpx.AsyncClient
    replicas: list[Replica] = field(default_factory=list)
    story: list[tuple[float, str]] = field(default_factory=list)

    async def replica(self, name: str, delay_s: float = 0.0, answer: Answer | None = None) -> Replica:
        replica = await Replica(name, delay_s, answer, story=self.story).start()
        self.replicas.append(replica)
        return replica

    async def told(self) -> str:
        """For who reads of a failure: what the replicas saw in order, and the proxy's own counters."""
        began = self.story[0][0] if self.story else 0.0
        lines = [f"{at - began:8.3f} s  {what}" for at, what in self.story[-60:]]
        with contextlib.suppress(GatewayError):
            lines += await self._counters()
        return "\n".join(["what happened:", *lines, f"restarts of the proxy: {self.gateway.main.restarts}"])

    async def _counters(self) -> list[str]:
        master = self.gateway.main.master
        workers = await master.workers()
        shown = (
            "status",
            "scur",
            "qcur",
            "stot",
            "hrsp_2xx",
            "hrsp_5xx",
            "econ",
            "eresp",
            "wretr",
            "wredis",
            "cli_abrt",
        )
        lines = []
        for pid in filter(None, (workers.current, *workers.old)):
            for row in csv.DictReader((await master.worker(pid, "show stat"))[2:].splitlines()):
                counts = " ".join(f"{name}={row[name]}" for name in shown if row[name] not in ("", "0"))
                lines.append(f"worker {pid} {row['pxname']}/{row['svname']}: {counts}")
        return lines

    async def left(self, path: str = "/face", **extra: object) -> None:
        """A client that sends a request and leaves once the proxy has it."""

        async def inside() -> int:
            seen = await self.gateway._look()
            return sum(row.inside for pools in seen.values() for row in pools.values())

        before = await inside()
        sent = asyncio.create_task(self.client.get(path, **extra))  # type: ignore[arg-type]

        async def arrived() -> bool:
            return await inside() > before

        await until(arrived)
        sent.cancel()
        await asyncio.wait({sent})

    async def raw(self, data: bytes) -> bytes:
        """Send bytes as they are; what came back until the proxy closed.

        Raises:
            TimeoutError: it did not within `PATIENCE_S`.
        """
        port = self.gateway.settings.listen_port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        got = b""
        try:
            async with asyncio.timeout(PATIENCE_S):
                with contextlib.suppress(ConnectionError):
                    while chunk := await reader.read(65536):
                        got += chunk
        finally:
            writer.close()
        return got


@contextlib.asynccontextmanager
async def world(folder: Path, **changes: object) -> AsyncIterator[World]:
    gateway = HaproxyGateway(settings(folder, **changes))
    await gateway.start()
    limits = httpx.Limits(max_connections=500, max_keepalive_connections=100)
    client = httpx.AsyncClient(base_url=gateway.settings.url, timeout=PATIENCE_S, limits=limits, trust_env=False)
    here = World(gateway, client)
    try:
        async with client:
            yield here
    except Exception as fault:
        fault.add_note(await here.told())
        raise
    finally:
        for replica in here.replicas:
            replica.kill()
        await gateway.close(stop=False)
        await stop_now(gateway)


async def stop_now(gateway: HaproxyGateway) -> None:
    """End the proxies without waiting for anything."""
    for instance in (gateway.main, *gateway._every_lane()):
        await instance.process.stop(0.0)
    if gateway.settings.socket_folder != gateway.settings.state_directory:
        shutil.rmtree(gateway.settings.socket_folder, ignore_errors=True)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: it did not come true within `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_S:g} s: {condition.__qualname__.rpartition('.')[2]}")
        await asyncio.sleep(0.01)
