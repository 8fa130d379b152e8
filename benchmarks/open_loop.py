"""What the load benchmarks share: replicas that sleep, clients that send whether earlier requests are answered or not.

Import it with the folder `benchmarks` on the path. Replicas run in a process of their own (`sleeping_replicas`), so
that neither side's work delays the other's clock by more than the machine does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MOST_IDLE_S = 10.0


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class SleepingReplica:
    """Sleeps as long as the last part of the path says, `slots` requests at a time, in the order of arrival.

    A request whose client is gone while it waits for its turn is dropped.
    """

    def __init__(self, slots: int = 1) -> None:
        self.turn = asyncio.Semaphore(slots)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seconds = float(head.split(b" ", 2)[1].rpartition(b"/")[2])
                async with self.turn:
                    if not reader.at_eof():
                        await asyncio.sleep(seconds)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _serve(count: int) -> None:
    servers = [await asyncio.start_server(SleepingReplica().serve, "127.0.0.1", 0) for _ in range(count)]
    print(json.dumps([s.sockets[0].getsockname()[1] for s in servers]), flush=True)
    await asyncio.Event().wait()


@contextmanager
def sleeping_replicas(count: int) -> Iterator[list[int]]:
    """So many replicas of one slot in a process of their own; yields their ports."""
    process = subprocess.Popen([sys.executable, __file__, str(count)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's end: `status` 0 when the connection broke. Times in seconds; `retry_after_s` 0 when not told."""

    status: int
    took_s: float
    retry_after_s: float = 0.0


class Client:
    """Keeps connections and takes a free one for each request, a new one when there is none.

    `headers` are sent with every request, each line with its end.
    """

    def __init__(self, port: int, prefix: str, headers: str = "") -> None:
        self.port, self.prefix, self.headers = port, prefix, headers
        self.free: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def _connection(self, now: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The one used last, unless the server may be about to close it for being idle."""
        while self.free:
            used_at, reader, writer = self.free.pop()
            if now - used_at < MOST_IDLE_S and not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, service_s: float) -> Answer:
        """Send one request that takes a replica `service_s`."""
        started = time.perf_counter()
        try:
            reader, writer = await self._connection(started)
            writer.write(f"GET {self.prefix}/{service_s:.6f} HTTP/1.1\r\nhost: bench\r\n{self.headers}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            if size := int(fields.get("content-length", "0")):
                await reader.readexactly(size)
            now = time.perf_counter()
            self.free.append((now, reader, writer))
            return Answer(int(head.split(" ", 2)[1]), now - started, float(fields.get("retry-after", "0")))
        except (OSError, EOFError):
            return Answer(0, time.perf_counter() - started)

    def close(self) -> None:
        for _, _, writer in self.free:
            with contextlib.suppress(OSError):
                writer.close()


def service_time(draw: random.Random, kind: str, mean_s: float) -> float:
    """An exponential service time, or a lognormal one with a coefficient of variation of 0.5."""
    if kind == "exponential":
        return draw.expovariate(1 / mean_s)
    sigma = 0.4724  # sqrt(ln(1 + 0.5**2))
    return mean_s * draw.lognormvariate(-(sigma**2) / 2, sigma)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1])))
