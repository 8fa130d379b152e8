"""Idle connections up to the proxy's limit and beyond: who is turned away, who is served, what each one costs.

    python benchmarks/hardening/connections.py [--steps 2000 4000 8000] [--beyond 4000] [--tls 2000] [--json]

One gateway with as many connections as this machine's descriptor limit allows. Client processes open connections from
many addresses, ask one small thing on each and then say nothing. At each step: the memory of the proxy's worker, what
four ordinary clients with kept connections see meanwhile (145 KB requests), and what a newcomer sees who asks for the
first time. Then `--beyond` more than the limit are tried, all leave, and the same is done from few addresses. Clients,
replicas and proxy share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import ssl
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import trustme

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))

from run import free_port, proxy, replicas

from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.tls import CertificateFiles, Tls
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot
from tidegate.spec.requests import Route
from tidegate.spec.resolve import PoolKey

ASK = b"GET /.tidegate/healthz HTTP/1.1\r\nhost: a\r\n\r\n"
BODY = b"x" * 145_000
HEAD = b"POST /face HTTP/1.1\r\nhost: a\r\ncontent-length: 145000\r\n\r\n"
PER_PROCESS, MANY, FEW = 4000, 100, 1000  # connections of a process, of an address
TRIED_S = 3.0


async def crowd(port: int, first: int, count: int, per_address: int, secure: bool) -> None:
    """In a process of its own: open, ask once each, print how many were answered, and stay until told to go."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opened = []

    async def one(number: int) -> bool:
        address = f"127.1.{number // per_address // 250}.{number // per_address % 250 + 1}"
        tls = context if secure else None
        try:
            async with asyncio.timeout(TRIED_S):
                streams = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0), ssl=tls)
                opened.append(streams)
                streams[1].write(ASK)
                return b" 200 " in await streams[0].readuntil(b"\r\n\r\n")
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    answered = 0
    for start in range(first, first + count, 100):
        answered += sum(await asyncio.gather(*(one(i) for i in range(start, min(start + 100, first + count)))))
    print(answered, flush=True)
    await asyncio.to_thread(sys.stdin.read)


class Crowd:
    """Idle connections in client processes, more with every call."""

    def __init__(self, port: int, per_address: int = MANY, *, secure: bool = False) -> None:
        self.port, self.per_address, self.secure, self.opened, self.answered = port, per_address, secure, 0, 0
        self._processes: list[subprocess.Popen[str]] = []

    async def more(self, count: int) -> None:
        while count:
            part = min(count, PER_PROCESS)
            asked = (self.port, self.opened, part, self.per_address, int(self.secure))
            command = [sys.executable, __file__, "--crowd", *map(str, asked)]
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._processes.append(child)
            self.answered += int(await asyncio.to_thread(child.stdout.readline))
            self.opened, count = self.opened + part, count - part

    def leave(self) -> None:
        for child in self._processes:
            child.communicate("")


async def kept(port: int, number: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    return [await asyncio.open_connection("127.0.0.1", port) for _ in range(number)]


async def ask(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> float:
    """Milliseconds of one ordinary request."""
    loop, (reader, writer) = asyncio.get_running_loop(), streams
    began = loop.time()
    writer.write(HEAD + BODY)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    await reader.readexactly(2)  # "ok"
    assert b" 200 " in answer, answer
    return 1000 * (loop.time() - began)


async def ordinary(clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]], seconds: float) -> list[float]:
    until = asyncio.get_running_loop().time() + seconds

    async def one(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> list[float]:
        took = []
        while asyncio.get_running_loop().time() < until:
            took.append(await ask(streams))
        return took

    return sorted(ms for took in await asyncio.gather(*map(one, clients)) for ms in took)


async def newcomer(port: int) -> str:
    """What somebody sees who comes now, from an address of its own."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(TRIED_S):
            streams = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.9.9.9", 0))
            return f"answered in {await ask(streams):.0f} ms"
    except TimeoutError:
        return f"not answered within {loop.time() - began:.0f} s"
    except (OSError, asyncio.IncompleteReadError) as error:
        return f"turned away ({type(error).__name__})"


async def row(gateway: HaproxyGateway, crowd: Crowd, clients: list, seconds: float, what: str) -> dict:
    took = await ordinary(clients, seconds)
    worker = psutil.Process((await gateway.main.master.workers()).current)
    seen, _ = await gateway.observe()
    return {
        "what": what,
        "tried": crowd.opened,
        "answered": crowd.answered,
        "too_many_connections": dict(seen.refused).get("too_many_connections", 0),
        "memory_mb": round(worker.memory_info().rss / 1e6, 1),
        "requests": len(took),
        "p50_ms": round(took[len(took) // 2], 1),
        "p99_ms": round(took[int(len(took) * 0.99)], 1),
        "newcomer": await newcomer(gateway.settings.listen_port) if not crowd.secure else "",
    }


async def measure(options: argparse.Namespace) -> list[dict]:
    with tempfile.TemporaryDirectory(prefix="tg") as name, ExitStack() as stack:
        folder = Path(name)
        ports = [free_port() for _ in range(4)]
        stack.enter_context(proxy(folder, "replicas", replicas(ports)))
        settings = GatewaySettings(folder / "g", "127.0.0.1", free_port(), management_port=free_port())
        settings = replace(settings, threads=2, idle_timeout_s=600.0, stop_grace_s=1.0)
        servers = tuple(Server(f"r{i}", f"127.0.0.1:{p}", 16) for i, p in enumerate(ports))
        pool = PoolRoute(PoolKey("face"), None, servers, 16, 10.0, 1000, 10.0, 60.0, 1.0)
        snapshot = Snapshot.of((ServiceRoute("face", Route(pathPrefix="/face"), (pool,), 16 * 2**20, True),))
        rows = await idle(HaproxyGateway(settings), snapshot, options)
        leaf = trustme.CA().issue_cert("127.0.0.1")
        files = CertificateFiles(folder / "a.crt", folder / "a.key")
        files.key.write_bytes(leaf.private_key_pem.bytes())
        files.certificate.write_bytes(leaf.cert_chain_pems[0].bytes())
        tls = Tls((files,), internal_port=free_port())
        return rows + await idle_secure(HaproxyGateway(replace(settings, tls=tls)), snapshot, options)


async def idle(gateway: HaproxyGateway, snapshot: Snapshot, options: argparse.Namespace) -> list[dict]:
    await gateway.start()
    crowd = Crowd(gateway.settings.listen_port)
    try:
        await gateway.publish(snapshot)
        most = gateway.settings.max_connections
        clients = await kept(gateway.settings.listen_port, 4)
        rows = [await row(gateway, crowd, clients, options.seconds, f"none of {most}")]
        for count in options.steps:
            await crowd.more(count - crowd.opened)
            rows.append(await row(gateway, crowd, clients, options.seconds, "idle"))
        await crowd.more(most + options.beyond - crowd.opened)
        rows.append(await row(gateway, crowd, clients, options.seconds, "more than the limit"))
        crowd.leave()
        rows.append(await row(gateway, crowd, clients, options.seconds, "all have left"))
        crowd = Crowd(gateway.settings.listen_port, FEW)
        await crowd.more(most + options.beyond)
        rows.append(await row(gateway, crowd, clients, options.seconds, "from few addresses"))
        return rows
    finally:
        crowd.leave()
        await gateway.close(stop=True)


async def idle_secure(gateway: HaproxyGateway, snapshot: Snapshot, options: argparse.Namespace) -> list[dict]:
    await gateway.start()
    crowd = Crowd(gateway.settings.listen_port, secure=True)
    try:
        await gateway.publish(snapshot)
        clients = await kept(gateway.settings.tls.internal_port, 4)
        rows = [await row(gateway, crowd, clients, options.seconds, "none, TLS")]
        await crowd.more(options.tls)
        return [*rows, await row(gateway, crowd, clients, options.seconds, "idle, TLS")]
    finally:
        crowd.leave()
        await gateway.close(stop=True)


def main() -> None:
    if sys.argv[1:2] == ["--crowd"]:
        port, first, count, per_address, secure = map(int, sys.argv[2:])
        asyncio.run(crowd(port, first, count, per_address, bool(secure)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="*", default=[2000, 4000, 8000])
    parser.add_argument("--beyond", type=int, default=300)
    parser.add_argument("--tls", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = asyncio.run(measure(options))
    if options.json:
        print(json.dumps(rows))
        return
    names = ("tried", "answered", "too_many_connections", "memory_mb", "requests", "p50_ms", "p99_ms")
    print(f"{'':20} {' '.join(f'{n:>20}' for n in names)}  newcomer")
    for line in rows:
        print(f"{line['what']:20} {' '.join(f'{line[n]!s:>20}' for n in names)}  {line['newcomer']}")


if __name__ == "__main__":
    main()
