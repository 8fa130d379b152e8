"""What others notice of a gateway under attack, and what TLS costs.

    python benchmarks/hardening/run.py [--idle 8000] [--drips 1000] [--seconds 5] [--json]

One gateway. Latency and success of ordinary requests (145 KB, four at a time) alone; beside idle connections from many
addresses; beside clients that drip heads and bodies; beside a flood of requests that are refused. Memory is that of the
proxy's worker. Then throughput of the same requests on the plain port and on the TLS port of the same proxy (wrk).
Client, replicas and proxy share the machine. Needs wrk and trustme (among the development requirements).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import trustme

GATEWAY = Path(__file__).parents[1] / "gateway"
sys.path.insert(0, str(GATEWAY))

from run import free_port, proxy, replicas  # noqa: E402

from tidegate.gateway.haproxy import HaproxyGateway  # noqa: E402
from tidegate.gateway.settings import GatewaySettings  # noqa: E402
from tidegate.gateway.tls import CertificateFiles, Tls  # noqa: E402
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot  # noqa: E402
from tidegate.spec.resolve import PoolKey  # noqa: E402
from tidegate.spec.service import Route  # noqa: E402

BODY = b"x" * 145_000
HEAD = b"POST /face HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
PER_ADDRESS = 100


@dataclass
class Seen:
    """What ordinary clients saw."""

    beside: str
    answered: int
    failed: int
    p50_ms: float
    p99_ms: float
    memory_mb: float


async def ordinary(port: int, seconds: float) -> tuple[list[float], int]:
    """Requests by four clients on kept connections: latencies in milliseconds, and how many failed."""
    took: list[float] = []
    failed = 0
    until = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < until:
            began = time.perf_counter()
            writer.write(HEAD % len(BODY) + BODY)
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            await reader.readexactly(2)  # "ok"
            took.append(1000 * (time.perf_counter() - began))
            failed += b" 200 " not in answer.split(b"\r\n", 1)[0]
        writer.close()

    await asyncio.gather(*(client() for _ in range(4)))
    return sorted(took), failed


async def connect(port: int, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection from one of many addresses of this machine."""
    address = f"127.1.{number // PER_ADDRESS // 250}.{number // PER_ADDRESS % 250 + 1}"
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


@asynccontextmanager
async def idle(port: int, count: int):
    """Connections that have had an answer and now say nothing."""
    opened = []
    for first in range(0, count, 200):
        opened += await asyncio.gather(*(connect(port, i) for i in range(first, min(first + 200, count))))
    for reader, writer in opened:
        writer.write(b"GET /.tidegate/healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        await reader.readuntil(b"}")
    yield
    for _, writer in opened:
        writer.close()


@asynccontextmanager
async def dripping(port: int, count: int):
    """Half of them drip their heads, half their bodies: a byte a second each."""
    opened = await asyncio.gather(*(connect(port, i) for i in range(count)))
    for i, (_, writer) in enumerate(opened):
        writer.write(b"GET /face HTTP/1.1\r\nhost: a\r\nx: " if i % 2 else HEAD % len(BODY))

    async def drip() -> None:
        while True:
            for _, writer in opened:
                writer.write(b"a")
            await asyncio.sleep(1)

    task = asyncio.create_task(drip())
    yield
    task.cancel()
    for _, writer in opened:
        writer.close()


@asynccontextmanager
async def refused(port: int, count: int):
    """Clients that send nothing but requests that are refused, as fast as they are answered."""

    async def flood(number: int) -> None:
        reader, writer = await connect(port, number)
        while True:
            writer.write(b"GET /face/../ocr HTTP/1.1\r\nhost: a\r\n\r\n")
            await reader.readuntil(b"}}")

    tasks = [asyncio.create_task(flood(i * PER_ADDRESS)) for i in range(count)]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def throughput(url: str, folder: Path, seconds: float) -> float:
    """Requests a second as wrk counts them; all of them must be answered."""
    (folder / "body").write_bytes(BODY)
    command = ["wrk", "-t2", "-c16", f"-d{seconds:g}s", "--latency", "-s", str(GATEWAY / "post.lua"), url]
    env = {**os.environ, "BODY": str(folder / "body")}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
    result = json.loads(next(line for line in said.splitlines() if line.startswith("RESULT")).removeprefix("RESULT "))
    assert result["failed"] == 0, result
    return float(result["requests"] / result["seconds"])


async def measure(options: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="tg") as name, ExitStack() as stack:
        folder = Path(name)
        ports = [free_port() for _ in range(4)]
        stack.enter_context(proxy(folder, "replicas", replicas(ports)))
        files = CertificateFiles(folder / "a.crt", folder / "a.key")
        leaf = trustme.CA().issue_cert("127.0.0.1")
        files.key.write_bytes(leaf.private_key_pem.bytes())
        files.certificate.write_bytes(leaf.cert_chain_pems[0].bytes())
        gateway = HaproxyGateway(
            GatewaySettings(
                folder / "gateway",
                "127.0.0.1",
                free_port(),
                management_port=free_port(),
                threads=2,
                idle_timeout_s=600.0,
                stop_grace_s=1.0,
            )
        )
        await gateway.start()
        try:
            servers = tuple(Server(f"r{i}", f"127.0.0.1:{p}", 16) for i, p in enumerate(ports))
            pool = PoolRoute(PoolKey("face"), None, servers, 16, 10.0, 1000, 10.0, 60.0, 1.0)
            snapshot = Snapshot.of((ServiceRoute("face", Route(pathPrefix="/face"), (pool,), 16 * 2**20, True),))
            await gateway.publish(snapshot)
            rows = await attacks(gateway, options)
            internal = free_port()
            secure = await restarted(gateway, Tls((files,), internal_port=internal), snapshot)
            try:
                plain = throughput(f"http://127.0.0.1:{internal}/face", folder, options.seconds)
                tls = throughput(f"{secure.settings.url}/face", folder, options.seconds)
            finally:
                await secure.close(stop=True)
        finally:
            await gateway.close(stop=True)
        return {"attacks": [vars(row) for row in rows], "plain_per_s": plain, "tls_per_s": tls}


async def restarted(gateway: HaproxyGateway, tls: Tls, snapshot: Snapshot) -> HaproxyGateway:
    await gateway.close(stop=True)
    secure = HaproxyGateway(replace(gateway.settings, tls=tls, listen_port=free_port()))
    await secure.start()
    await secure.publish(snapshot)
    return secure


async def attacks(gateway: HaproxyGateway, options: argparse.Namespace) -> list[Seen]:
    port = gateway.settings.listen_port
    worker = psutil.Process((await gateway.main.master.workers()).current)
    rows = []
    for beside, attack in (
        ("nothing", None),
        (f"{options.idle} idle connections", idle(port, options.idle)),
        (f"{options.drips} dripping clients", dripping(port, options.drips)),
        ("16 clients that are refused", refused(port, 16)),
        ("nothing, again", None),
    ):
        async with AsyncExitStack() as stack:
            if attack is not None:
                await stack.enter_async_context(attack)
            took, failed = await ordinary(port, options.seconds)
            memory = worker.memory_info().rss / 1e6
        at = [took[int(len(took) * q)] for q in (0.5, 0.99)]
        rows.append(Seen(beside, len(took) - failed, failed, round(at[0], 2), round(at[1], 2), round(memory, 1)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=int, default=8000)
    parser.add_argument("--drips", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = asyncio.run(measure(options))
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'beside':30} {'answered':>9} {'failed':>7} {'p50 ms':>8} {'p99 ms':>8} {'memory MB':>10}")
    for row in found["attacks"]:  # type: ignore[attr-defined]
        print("{beside:30} {answered:9} {failed:7} {p50_ms:8} {p99_ms:8} {memory_mb:10}".format(**row))
    print(f"plain {found['plain_per_s']:.0f}/s, TLS {found['tls_per_s']:.0f}/s")


if __name__ == "__main__":
    main()
