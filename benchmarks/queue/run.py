"""How full a pool may be while 99.95% of the requests wait at most three mean service times.

    python benchmarks/queue/run.py [--loads 0.8 0.85] [--ways tidegate leastconn] [--requests 40000] [--mean 0.025]

16 replicas that each work on one request at a time and take an exponentially distributed time; requests arrive as a
Poisson process, whether earlier ones are answered or not. The client draws each service time and sends it along, so
the wait is the answer time less that. Each way gets the same arrivals and service times:

    tidegate      one queue at the gateway, a replica gets one request at a time
    leastconn     HAProxy, fewest connections first, no limit: requests queue at the replicas
    roundrobin    HAProxy, in turn, no limit
    ray-default   Ray Serve, 16 replicas with max_ongoing_requests=1 (see benchmarks/ray_serve.py)
    ray-haproxy   the same in its HAProxy mode

In theory (simulation of 3 million requests a cell) the share that waits longer at load 0.8 is 0.000% for one queue,
1.06% for the shortest queue and 42% for a random one. With 40 000 requests a cell, 0.05% are 20 of them.
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
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from open_loop import Client, free_port, sleeping_replicas
from ray_serve import SLEEPS, running

from tidegate.gateway import binary
from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.gateway.settings import GatewaySettings
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot
from tidegate.spec.requests import Route
from tidegate.spec.resolve import PoolKey

REPLICAS = 16
PROMISE = 0.9995
SEED = 4
WAYS = ("tidegate", "leastconn", "roundrobin", "ray-default", "ray-haproxy")


async def arrive(client: Client, load: float, mean_s: float, count: int) -> dict[str, float]:
    """So many Poisson arrivals; the share of requests that waited longer than three mean times."""
    loop, draw = asyncio.get_running_loop(), random.Random(SEED)
    waits: list[float] = []
    failed = 0

    async def ask(service_s: float) -> None:
        nonlocal failed
        answer = await client.ask(service_s)
        if answer.status == 200:
            waits.append(answer.took_s - service_s)
        else:
            failed += 1

    at = loop.time()
    running_now: set[asyncio.Task[None]] = set()
    for _ in range(count):
        at += draw.expovariate(load * REPLICAS / mean_s)
        service_s = draw.expovariate(1 / mean_s)
        if at > loop.time():
            await asyncio.sleep(at - loop.time())
        task = asyncio.create_task(ask(service_s))
        running_now.add(task)
        task.add_done_callback(running_now.discard)
    await asyncio.gather(*running_now)
    waits.sort()
    total = len(waits) + failed
    return {
        "load": load,
        "requests": total,
        "failed": failed,
        "late_share": (sum(w > 3 * mean_s for w in waits) + failed) / total,
        "p50_wait_ms": waits[len(waits) // 2] * 1000,
        "p99_wait_ms": waits[len(waits) * 99 // 100] * 1000,
    }


@asynccontextmanager
async def tidegate(folder: Path, ports: list[int]) -> AsyncIterator[int]:
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


@asynccontextmanager
async def reached(way: str, folder: Path, ports: list[int]) -> AsyncIterator[Client]:
    """A client of the replicas by way of one of WAYS."""
    if way == "tidegate":
        async with tidegate(folder / "gateway", ports) as port:
            yield Client(port, "/bench")
    elif way.startswith("ray-"):
        port = free_port()
        with running(way.removeprefix("ray-"), port, SLEEPS.format(replicas=REPLICAS), folder):
            yield Client(port, "")
    else:
        with plain(folder, way, ports) as port:
            yield Client(port, "")


async def measure(a: argparse.Namespace) -> list[dict[str, object]]:
    folder = Path(tempfile.mkdtemp(prefix="tg-queue-"))
    rows: list[dict[str, object]] = []
    try:
        with sleeping_replicas(REPLICAS) as ports:
            for way in a.ways:
                for load in a.loads:
                    async with reached(way, folder, ports) as client:
                        rows.append({"way": way, **await arrive(client, load, a.mean, a.requests)})
                        client.close()
                    if not a.json:
                        show(rows[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def show(r: dict[str, object]) -> None:
    print(
        f"{r['load']:>5}  {r['way']:12} {r['requests']:>8} {r['failed']:>6} {r['late_share']:>8.3%}"
        f" {r['p50_wait_ms']:>12.1f} {r['p99_wait_ms']:>12.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--loads", type=float, nargs="*", default=[0.5, 0.8, 0.85])
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=["tidegate", "leastconn", "roundrobin"])
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--mean", type=float, default=0.025)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    if not a.json:
        late_ms = a.mean * 3000
        print(f"{REPLICAS} replicas, exponential times, mean {a.mean * 1000:g} ms; late: waited over {late_ms:g} ms\n")
        print(
            f"{'load':>5}  {'way':12} {'requests':>8} {'failed':>6} {'late':>8} {'p50 wait ms':>12} {'p99 wait ms':>12}"
        )
    rows = asyncio.run(measure(a))
    if a.json:
        print(json.dumps(rows, indent=2))
        return
    print()
    for way in a.ways:
        kept = [float(r["load"]) for r in rows if r["way"] == way and float(r["late_share"]) <= 1 - PROMISE]  # type: ignore[arg-type]
        print(f"{way}: highest measured load that keeps {PROMISE:.2%}: {max(kept) if kept else 'none'}")


if __name__ == "__main__":
    main()
