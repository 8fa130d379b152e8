"""What the gateway costs: throughput and latency of a POST, direct, through a plain HAProxy, through Tidegate's.

    python benchmarks/gateway/run.py [--seconds 5] [--rounds 2] [--size 145000] [--json]

The three ways run one after the other in each round, so that a noisy neighbour meets all of them; the best round of
each counts. The replicas are an HAProxy that reads the whole body and answers 200: they cost less than any service
would, so differences between the ways show most. The plain proxy has the same program, threads and whole-body
buffering and nothing else. Needs wrk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from tidegate.gateway import binary
from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.gateway.settings import GatewaySettings
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot
from tidegate.spec.resolve import PoolKey
from tidegate.spec.service import Route

HERE = Path(__file__).parent
REPLICAS = 8
SLOTS = 16
BUFFER = 16 * 2**20 + 131072

DEFAULTS = """
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 2s
  timeout queue 10s
  timeout http-request 10s
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def proxy(folder: Path, name: str, text: str) -> Iterator[subprocess.Popen[bytes]]:
    """An HAProxy of its own in the foreground."""
    file = folder / f"{name}.cfg"
    file.write_text(text)
    found = binary.find()
    process = subprocess.Popen([found.path, "-db", "-f", file], env={**os.environ, **found.environment})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def replicas(ports: list[int]) -> str:
    binds = "".join(f"  bind 127.0.0.1:{p}\n" for p in ports)
    answer = "  http-request return status 200 string ok content-type text/plain\n"
    rules = f"  http-request wait-for-body time 10s\n{answer}"
    return f"global\n  maxconn 4000\n  nbthread 1\n  tune.bufsize 1048576\n{DEFAULTS}frontend replicas\n{binds}{rules}"


def plain(port: int, ports: list[int]) -> str:
    servers = "".join(f"  server r{i} 127.0.0.1:{p} maxconn {SLOTS}\n" for i, p in enumerate(ports))
    return (
        f"global\n  maxconn 4000\n  nbthread 2\n  tune.bufsize {BUFFER}\n{DEFAULTS}"
        f"frontend plain\n  bind 127.0.0.1:{port}\n  http-request wait-for-body time 30s\n  default_backend pool\n"
        f"backend pool\n  balance leastconn\n  http-reuse always\n{servers}"
    )


@asynccontextmanager
async def tidegate(folder: Path, port: int, ports: list[int]):
    settings = GatewaySettings(
        folder, "127.0.0.1", port, management_port=free_port(), threads=2, max_connections=4000, stop_grace_s=1.0
    )
    gateway = HaproxyGateway(settings)
    await gateway.start()
    servers = tuple(Server(f"r{i}", f"127.0.0.1:{p}", SLOTS) for i, p in enumerate(ports))
    pool = PoolRoute(PoolKey("face"), None, servers, SLOTS, 10.0, 1000, 10.0, 60.0, 1.0)
    await gateway.publish(Snapshot.of((ServiceRoute("face", Route(), (pool,), 16 * 2**20, True),)))
    try:
        yield gateway
    finally:
        await gateway.close(stop=True)


async def wrk(url: str, connections: int, seconds: float, size: int) -> dict[str, float]:
    load = [f"-t{min(2, connections)}", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    process = await asyncio.create_subprocess_exec(
        *["wrk", *load, "-s", str(HERE / "post.lua"), url],
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "SIZE": str(size)},
    )
    out, _ = await process.communicate()
    line = next(part for part in out.decode().splitlines() if part.startswith("RESULT "))
    result: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return result | {"rate": result["requests"] / result["seconds"]}


async def observe_forever(gateway: HaproxyGateway) -> None:
    """The control loop's share: one look a second, as in service."""
    while True:
        await asyncio.sleep(1.0)
        await gateway.observe()


async def measure(arguments: argparse.Namespace) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    folder = Path(tempfile.mkdtemp(prefix="tg-bench-"))
    ports = [free_port() for _ in range(REPLICAS)]
    plain_port, port = free_port(), free_port()
    urls = {
        "direct": f"http://127.0.0.1:{ports[0]}/",
        "plain HAProxy": f"http://127.0.0.1:{plain_port}/",
        "tidegate": f"http://127.0.0.1:{port}/face",
    }
    try:
        with ExitStack() as stack:
            stack.enter_context(proxy(folder, "replicas", replicas(ports)))
            stack.enter_context(proxy(folder, "plain", plain(plain_port, ports)))
            async with tidegate(folder / "gateway", port, ports) as gateway:
                looking = asyncio.create_task(observe_forever(gateway))
                for connections in arguments.connections:
                    best: dict[str, dict[str, float]] = {}
                    for _ in range(arguments.rounds):
                        for way, url in urls.items():
                            got = await wrk(url, connections, arguments.seconds, arguments.size)
                            if way not in best or got["rate"] > best[way]["rate"]:
                                best[way] = got
                    rows += [{"way": way, "connections": connections, **got} for way, got in best.items()]
                looking.cancel()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def show(rows: list[dict[str, object]], size: int) -> None:
    print(f"POST of {size} bytes, {os.cpu_count()} cores shared by client, proxy and replicas\n")
    print(f"{'connections':>11}  {'way':14} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'failed':>7}  of plain")
    plain_rate = {r["connections"]: r["rate"] for r in rows if r["way"] == "plain HAProxy"}
    for r in rows:
        share = float(r["rate"]) / float(plain_rate[r["connections"]])  # type: ignore[arg-type]
        print(
            f"{r['connections']:>11}  {r['way']:14} {r['rate']:>10.0f} {r['p50_ms']:>8.2f} {r['p99_ms']:>8.2f}"
            f" {r['failed']:>7.0f}  {share:.2f}x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--size", type=int, default=145_000)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is needed (Debian: apt-get install wrk)")
    started = time.monotonic()
    rows = asyncio.run(measure(arguments))
    if arguments.json:
        print(json.dumps({"size": arguments.size, "rows": rows}, indent=2))
    else:
        show(rows, arguments.size)
        print(f"\n{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
