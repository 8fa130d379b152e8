"""How full a pool may be while 99.95% of the requests wait at most three mean service times.

    python benchmarks/queue/run.py [--loads 0.5 0.7 0.8 0.85] [--seconds 60] [--mean 0.05] [--json]

16 replicas that each work on one request at a time and take an exponentially distributed time; requests arrive as a
Poisson process, whether earlier ones are answered or not. The client draws each service time and sends it along, so
the wait is the answer time less that. Three ways, each with the same arrivals and service times:

    tidegate      one queue at the gateway, a replica gets one request at a time
    leastconn     HAProxy, fewest connections first, no limit: requests queue at the replicas
    roundrobin    HAProxy, in turn, no limit

In theory (simulation of 3 million requests a cell) the share that waits longer at load 0.8 is 0.000% for one queue,
1.06% for the shortest queue and 42% for a random one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tidegate.gateway import binary
from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.gateway.settings import GatewaySettings
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot
from tidegate.spec.resolve import PoolKey
from tidegate.spec.service import Route

REPLICAS = 16
PROMISE = 0.9995
SEED = 4
MOST_IDLE_S = 10.0


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Replica:
    """Sleeps as long as the request's path says, one request at a time, in the order of arrival."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seconds = float(head.split(b" ", 2)[1].rpartition(b"/")[2])
                async with self.turn:
                    await asyncio.sleep(seconds)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


class Client:
    """Keeps connections and takes a free one for each request, a new one when there is none."""

    def __init__(self, port: int, prefix: str) -> None:
        self.port, self.prefix = port, prefix
        self.free: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.waits: list[float] = []
        self.failed = 0

    async def connection(self, now: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The one used last, unless the server may be about to close it for being idle."""
        while self.free:
            used_at, reader, writer = self.free.pop()
            if now - used_at < MOST_IDLE_S:
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, service_s: float) -> None:
        started = time.perf_counter()
        try:
            reader, writer = await self.connection(started)
            writer.write(f"GET {self.prefix}/{service_s:.6f} HTTP/1.1\r\nhost: bench\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:16]:
                raise ConnectionError(head[:40])
            self.waits.append(time.perf_counter() - started - service_s)
            self.free.append((time.perf_counter(), reader, writer))
        except (OSError, EOFError):
            self.failed += 1


async def arrive(client: Client, load: float, mean_s: float, seconds: float) -> dict[str, float]:
    """Poisson arrivals for so many seconds; the share of requests that waited longer than three mean times."""
    draw = random.Random(SEED)
    loop = asyncio.get_running_loop()
    at = loop.time()
    end = at + seconds
    running: set[asyncio.Task[None]] = set()
    while at < end:
        at += draw.expovariate(load * REPLICAS / mean_s)
        service_s = draw.expovariate(1 / mean_s)
        if at > loop.time():
            await asyncio.sleep(at - loop.time())
        task = asyncio.create_task(client.ask(service_s))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    waits = sorted(client.waits)
    late = sum(w > 3 * mean_s for w in waits) + client.failed
    total = len(waits) + client.failed
    return {
        "load": load,
        "requests": total,
        "failed": client.failed,
        "late_share": late / total,
        "p50_wait_ms": waits[len(waits) // 2] * 1000,
        "p99_wait_ms": waits[len(waits) * 99 // 100] * 1000,
    }


@asynccontextmanager
async def tidegate(folder: Path, ports: list[int]):
    port = free_port()
    gateway = HaproxyGateway(
        GatewaySettings(folder, "127.0.0.1", port, management_port=free_port(), threads=1, max_connections=4000)
    )
    await gateway.start()
    servers = tuple(Server(f"r{i}", f"127.0.0.1:{p}", 1) for i, p in enumerate(ports))
    pool = PoolRoute(PoolKey("bench"), None, servers, 1, 30.0, 1000, 30.0, 60.0, 1.0)
    service = ServiceRoute("bench", Route(pathPrefix="/bench"), (pool,), 65536, True)
    await gateway.publish(Snapshot.of((service,)))
    try:
        yield port
    finally:
        await gateway.close(stop=True)


@contextmanager
def plain(folder: Path, balance: str, ports: list[int]) -> Iterator[int]:
    port = free_port()
    servers = "".join(f"  server r{i} 127.0.0.1:{p}\n" for i, p in enumerate(ports))
    file = folder / f"{balance}.cfg"
    file.write_text(
        "global\n  maxconn 4000\n  nbthread 1\ndefaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n"
        f"  timeout connect 5s\nfrontend in\n  bind 127.0.0.1:{port}\n  default_backend pool\n"
        f"backend pool\n  balance {balance}\n{servers}"
    )
    found = binary.find()
    process = subprocess.Popen([found.path, "-db", "-f", file], env={**os.environ, **found.environment})
    try:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


async def measure(arguments: argparse.Namespace) -> list[dict[str, object]]:
    folder = Path(tempfile.mkdtemp(prefix="tg-queue-"))
    servers = [await asyncio.start_server(Replica().serve, "127.0.0.1", 0) for _ in range(REPLICAS)]
    ports = [s.sockets[0].getsockname()[1] for s in servers]
    rows: list[dict[str, object]] = []
    try:
        for load in arguments.loads:
            async with tidegate(folder / "gateway", ports) as port:
                got = await arrive(Client(port, "/bench"), load, arguments.mean, arguments.seconds)
                rows.append({"way": "tidegate", **got})
            for balance in ("leastconn", "roundrobin"):
                with plain(folder, balance, ports) as port:
                    got = await arrive(Client(port, "/bench"), load, arguments.mean, arguments.seconds)
                    rows.append({"way": balance, **got})
    finally:
        for server in servers:
            server.close()
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def show(rows: list[dict[str, object]], mean_s: float) -> None:
    late_ms = mean_s * 3000
    print(f"{REPLICAS} replicas, exponential service time of {mean_s * 1000:g} ms; late: waited over {late_ms:g} ms\n")
    print(f"{'load':>5}  {'way':10} {'requests':>8} {'failed':>6} {'late':>8} {'p50 wait ms':>12} {'p99 wait ms':>12}")
    for r in rows:
        print(
            f"{r['load']:>5}  {r['way']:10} {r['requests']:>8} {r['failed']:>6} {r['late_share']:>8.3%}"
            f" {r['p50_wait_ms']:>12.1f} {r['p99_wait_ms']:>12.1f}"
        )
    print()
    for way in ("tidegate", "leastconn", "roundrobin"):
        kept = [float(r["load"]) for r in rows if r["way"] == way and float(r["late_share"]) <= 1 - PROMISE]  # type: ignore[arg-type]
        print(f"{way}: highest measured load that keeps {PROMISE:.2%}: {max(kept) if kept else 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--loads", type=float, nargs="*", default=[0.3, 0.5, 0.7, 0.8, 0.85])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--mean", type=float, default=0.05)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = asyncio.run(measure(arguments))
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows, arguments.mean)


if __name__ == "__main__":
    main()
