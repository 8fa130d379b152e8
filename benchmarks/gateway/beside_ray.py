"""Tidegate beside Ray Serve on the same handler: throughput and latency of a POST of a 145 KB JPEG.

    python benchmarks/gateway/beside_ray.py [--seconds 5] [--rounds 2] [--connections 1 16 64] [--json]

One replica that reads the body and answers "ok" with Starlette under uvicorn, from the same virtual environment (Ray's,
made in a cache folder the first time: see benchmarks/ray_serve.py). Ray Serve runs one deployment with one replica in
its default mode and in its HAProxy mode; Tidegate screens the picture. Ray's two modes cannot run at once, so the
others are measured beside each of them. Needs wrk.
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
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from ray_serve import ASGI, MODES, READS_BODY, environment, running
from run import free_port, jpeg, tidegate, wrk


@contextmanager
def uvicorn(folder: Path, port: int) -> Iterator[None]:
    """The handler alone, in the virtual environment that Ray's replica runs in."""
    (folder / "handler.py").write_text(ASGI)
    command = ["-m", "uvicorn", "handler:app", "--port", str(port), "--no-access-log", "--log-level", "error"]
    process = subprocess.Popen([environment(), *command], cwd=folder)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


async def measure(a: argparse.Namespace) -> list[dict[str, object]]:
    environment()
    folder = Path(tempfile.mkdtemp(prefix="tg-ray-"))
    body = folder / "body.jpeg"
    body.write_bytes(jpeg(a.size))
    replica, gateway_port = free_port(), free_port()
    best: dict[tuple[int, str], dict[str, float]] = {}
    try:
        with uvicorn(folder, replica):
            async with tidegate(folder / "gateway", gateway_port, [replica]):
                for mode in MODES:
                    ray_port = free_port()
                    with running(mode, ray_port, READS_BODY, folder):
                        urls = {
                            "direct": f"http://127.0.0.1:{replica}/",
                            f"Ray Serve, {mode}": f"http://127.0.0.1:{ray_port}/",
                            "tidegate, screening": f"http://127.0.0.1:{gateway_port}/screened",
                        }
                        for connections in a.connections:
                            for way, url in list(urls.items()) * a.rounds:
                                got = await wrk(url, connections, a.seconds, body)
                                known = best.get((connections, way))
                                if known is None or got["rate"] > known["rate"]:
                                    best[connections, way] = got
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [{"connections": c, "way": way, **got} for (c, way), got in sorted(best.items())]


def show(rows: list[dict[str, object]], size: int) -> None:
    print(f"POST of {size} bytes to one replica, {os.cpu_count()} cores shared by client, proxy and replica\n")
    print(f"{'clients':>7}  {'way':24} {'requests/s':>10} {'p50 ms':>7} {'p99 ms':>7} {'failed':>7}  tidegate/this")
    ours = {r["connections"]: float(r["rate"]) for r in rows if r["way"] == "tidegate, screening"}  # type: ignore[arg-type]
    for r in rows:
        times = ours[r["connections"]] / float(r["rate"])  # type: ignore[arg-type]
        print(
            f"{r['connections']:>7}  {r['way']:24} {r['rate']:>10.0f} {r['p50_ms']:>7.2f} {r['p99_ms']:>7.2f}"
            f" {r['failed']:>7.0f}  {times:.2f}x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--size", type=int, default=145_000)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is needed (Debian: apt-get install wrk)")
    rows = asyncio.run(measure(a))
    print(json.dumps(rows, indent=2)) if a.json else show(rows, a.size)


if __name__ == "__main__":
    main()
