"""What the gateway costs: throughput, latency and processor time of a POST, direct, through HAProxy, through Tidegate.

    python benchmarks/gateway/run.py [--seconds 5] [--rounds 2] [--size 145000] [--json]

The ways run one after the other in each round, in turns forwards and backwards, so that a noisy neighbour meets all of
them. The table has medians over the rounds; a ratio is the median of the rounds' ratios. The replicas are an HAProxy
that reads the whole body and answers 200: they cost less than any service would, so differences between the ways show
most.

The plain proxies have the same program, threads, whole-body buffering and limit per server, and nothing else: no
routing, no log. One has buffers for 16 MiB bodies, as the Tidegate it stands beside accepts them, the others the small
ones Tidegate uses for this body; one of these may send a request again, as Tidegate does, and so has to copy it. nginx
buffers whole bodies, too.
Needs wrk; nginx is measured if it is installed (Debian: apt-get install wrk nginx-light).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import psutil
from nginx import installed, nginx

from tidegate.gateway import binary
from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.text import BUFFER_MARGIN
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot
from tidegate.spec.requests import Match, Range, Route
from tidegate.spec.resolve import PoolKey

HERE = Path(__file__).parent
REPLICAS = 8
SLOTS = 16
MOST = 16 * 2**20

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


RETRIES = "  retries 6\n  option redispatch 1\n  retry-on conn-failure empty-response junk-response 0rtt-rejected 503\n"


def plain(port: int, ports: list[int], buffer: int, retries: str = "") -> str:
    servers = "".join(f"  server r{i} 127.0.0.1:{p} maxconn {SLOTS}\n" for i, p in enumerate(ports))
    return (
        f"global\n  maxconn 4000\n  nbthread 2\n  tune.bufsize {buffer}\n{DEFAULTS}"
        f"frontend plain\n  bind 127.0.0.1:{port}\n  http-request wait-for-body time 30s\n  default_backend pool\n"
        f"backend pool\n  balance leastconn\n  http-reuse always\n{retries}{servers}"
    )


@asynccontextmanager
async def tidegate(folder: Path, port: int, ports: list[int]):
    settings = GatewaySettings(
        folder, "127.0.0.1", port, management_port=free_port(), threads=2, max_connections=4000, stop_grace_s=1.0
    )
    gateway = HaproxyGateway(settings)
    await gateway.start()
    servers = tuple(Server(f"r{i}", f"127.0.0.1:{p}", SLOTS) for i, p in enumerate(ports))
    # Two services on the same replicas; the proxy knows each replica twice, which costs this measurement nothing.
    services = []
    for name, matches in (("face", ()), ("screened", (Match(pixels=Range(min=8e6)),))):
        named = tuple(replace(s, replica=f"{name}-{s.replica}") for s in servers)
        large = tuple(
            PoolRoute(PoolKey(name, "large"), match, (), SLOTS, 10.0, 1000, 10.0, 60.0, 1.0) for match in matches
        )
        pool = PoolRoute(PoolKey(name), None, named, SLOTS, 10.0, 1000, 10.0, 60.0, 1.0)
        services.append(ServiceRoute(name, Route(pathPrefix=f"/{name}"), (*large, pool), MOST, True))
    await gateway.publish(Snapshot.of(tuple(services)))
    try:
        yield gateway
    finally:
        await gateway.close(stop=True)


def cpu_s(pids: list[int]) -> float:
    """Processor time these processes have used, seconds."""
    times = [psutil.Process(p).cpu_times() for p in pids]
    return float(sum(t.user + t.system for t in times))


async def wrk(url: str, connections: int, seconds: float, body: Path) -> dict[str, float]:
    load = [f"-t{min(2, connections)}", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    process = await asyncio.create_subprocess_exec(
        *["wrk", *load, "-s", str(HERE / "post.lua"), url],
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "BODY": str(body)},
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


def jpeg(size: int, width: int = 1600, height: int = 1200) -> bytes:
    """The head of a JPEG of that many pixels, and `size` bytes in all."""
    head = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    frame = b"\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + b"\3\1\x22\0\2\x11\1\3\x11\1"
    scan = b"\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0"
    return (head + frame + scan).ljust(size - 2, b"\x55") + b"\xff\xd9"


async def measure(arguments: argparse.Namespace) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    folder = Path(tempfile.mkdtemp(prefix="tg-bench-"))
    body = folder / "body.jpeg"
    body.write_bytes(jpeg(arguments.size))
    ports = [free_port() for _ in range(REPLICAS)]
    small = GatewaySettings(folder).small_body_bytes + BUFFER_MARGIN
    others = {
        "HAProxy, 16 MiB buffers": (MOST + BUFFER_MARGIN, ""),
        "HAProxy, small buffers": (small, ""),
        "HAProxy, with retries": (small, RETRIES),
    }
    plain_ports = {way: free_port() for way in others}
    port = free_port()
    nginx_port = free_port()
    urls = {
        "direct": f"http://127.0.0.1:{ports[0]}/",
        **{way: f"http://127.0.0.1:{p}/" for way, p in plain_ports.items()},
        **({"nginx": f"http://127.0.0.1:{nginx_port}/"} if installed() else {}),
        "tidegate": f"http://127.0.0.1:{port}/face",
        "tidegate, screening": f"http://127.0.0.1:{port}/screened",
    }
    try:
        with ExitStack() as stack:
            stack.enter_context(proxy(folder, "replicas", replicas(ports)))
            pids = {"direct": list[int]()}
            for i, (way, (buffer, retries)) in enumerate(others.items()):
                text = plain(plain_ports[way], ports, buffer, retries)
                pids[way] = [stack.enter_context(proxy(folder, f"plain-{i}", text)).pid]
            if installed():
                master = psutil.Process(stack.enter_context(nginx(folder, nginx_port, ports)).pid)
                pids["nginx"] = [c.pid for c in master.children()]
            async with tidegate(folder / "gateway", port, ports) as gateway:
                masters = [gateway.main, *gateway.lanes.values()]
                pids["tidegate"] = [c.pid for m in masters for c in psutil.Process(m.pid()).children()]
                pids["tidegate, screening"] = pids["tidegate"]
                looking = asyncio.create_task(observe_forever(gateway))
                for connections in arguments.connections:
                    shots: dict[str, list[dict[str, float]]] = {way: [] for way in urls}
                    for number in range(arguments.rounds):
                        for way, url in sorted(urls.items(), reverse=bool(number % 2)):
                            before = cpu_s(pids[way])
                            got = await wrk(url, connections, arguments.seconds, body)
                            got["cpu_us"] = (cpu_s(pids[way]) - before) * 1e6 / max(1, got["requests"])
                            shots[way].append(got)
                    rows += [row(way, connections, shots) for way in urls]
                looking.cancel()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def row(way: str, connections: int, shots: dict[str, list[dict[str, float]]]) -> dict[str, object]:
    """Medians over the rounds, and the rate of this way against that of each other one."""
    numbers = {name: median(shot[name] for shot in shots[way]) for name in ("rate", "p50_ms", "p99_ms", "cpu_us")}
    against = {
        other: median(mine["rate"] / its["rate"] for mine, its in zip(shots[way], shots[other], strict=True))
        for other in shots
    }
    failed = sum(shot["failed"] for shot in shots[way])
    return {"way": way, "connections": connections, **numbers, "failed": failed, "against": against}


def show(rows: list[dict[str, object]], size: int) -> None:
    print(f"POST of {size} bytes, {os.cpu_count()} cores shared by client, proxy and replicas\n")
    print(f"{'clients':>7}  {'way':24} {'requests/s':>10} {'p50 ms':>7} {'p99 ms':>7} {'CPU us':>7} {'failed':>7}")
    for r in rows:
        print(
            f"{r['connections']:>7}  {r['way']:24} {r['rate']:>10.0f} {r['p50_ms']:>7.2f} {r['p99_ms']:>7.2f}"
            f" {r['cpu_us']:>7.0f} {r['failed']:>7.0f}"
        )
    print("\nRequests/s of Tidegate without and with screening, against each other and against the others:")
    against = {(r["connections"], r["way"]): r["against"] for r in rows}
    for connections, way in against:
        if way != "tidegate, screening":
            without, with_ = (against[connections, w][way] for w in ("tidegate", "tidegate, screening"))  # type: ignore[index]
            print(f"{connections:>7}  {way:24} {without:.2f}x  {with_:.2f}x")


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
