"""200 clients upload 5 MB slowly while others are served: memory, and proof that a slow upload holds no slot.

    python benchmarks/gateway/slow_uploads.py [--clients 200] [--megabytes 5] [--upload-seconds 20] [--json]

Small requests (145 KB JPEG, 16 clients) are measured before and during the uploads, on the same replicas. While all
uploads are half way, the replicas' slots are looked at: with the small clients paused none may be taken. Memory is the
proportional set size of all proxy processes (shared pages are counted once); `after` is right after the last upload was
answered, when all of them had been complete at nearly the same moment. Every upload must have been answered.
Needs wrk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path

import psutil
from run import free_port, jpeg, proxy, replicas, tidegate, wrk

from tidegate.spec.resolve import PoolKey

CHUNK = 64 * 1024


def memory_mb(pids: list[int]) -> float:
    """Proportional set size of these processes, MB."""
    return sum(psutil.Process(p).memory_full_info().pss for p in pids) / 1e6


async def upload(port: int, size: int, seconds: float) -> int:
    """Send a body of `size` bytes evenly over so many seconds; the answer's status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /face HTTP/1.1\r\nhost: bench\r\ncontent-type: image/jpeg\r\ncontent-length: {size}\r\n\r\n"
    writer.write(head.encode())
    parts = [CHUNK] * (size // CHUNK) + ([size % CHUNK] if size % CHUNK else [])
    for part in parts:
        writer.write(b"\x55" * part)
        await writer.drain()
        await asyncio.sleep(seconds / len(parts))
    status = int((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1])
    writer.close()
    return status


async def measure(a: argparse.Namespace) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix="tg-slow-"))
    body = folder / "body.jpeg"
    body.write_bytes(jpeg(145_000))
    ports = [free_port() for _ in range(2)]
    port = free_port()
    url = f"http://127.0.0.1:{port}/screened"
    try:
        with proxy(folder, "replicas", replicas(ports).replace("tune.bufsize 1048576", "tune.bufsize 8388608")):
            async with tidegate(folder / "gateway", port, ports) as gateway:
                pids = [c.pid for m in (gateway.main, *gateway.lanes.values()) for c in processes(m.pid())]
                await wrk(url, 16, 2, body)
                before, idle_mb = await wrk(url, 16, a.seconds, body), memory_mb(pids)
                size = int(a.megabytes * 1e6)
                uploads = [asyncio.create_task(upload(port, size, a.upload_seconds)) for _ in range(a.clients)]
                await asyncio.sleep(a.upload_seconds * 0.4)
                during = await wrk(url, 16, a.seconds, body)
                await asyncio.sleep(0.3)
                _, loads = await gateway.observe()
                slots = sum(loads[PoolKey(name)].in_flight for name in ("face", "screened"))
                under_way = sum(not u.done() for u in uploads)
                most_mb = memory_mb(pids)
                statuses = await asyncio.gather(*uploads)
                after_mb = memory_mb(pids)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "uploads_under_way": under_way,
        "slots_taken_by_them": slots,
        "small_per_s_before": before["rate"],
        "small_per_s_during": during["rate"],
        "small_p99_ms_before": before["p99_ms"],
        "small_p99_ms_during": during["p99_ms"],
        "small_failed": before["failed"] + during["failed"],
        "memory_mb_before": idle_mb,
        "memory_mb_during": most_mb,
        "memory_mb_after": after_mb,
        "uploads_answered": statuses.count(200),
        "uploads_other": len(statuses) - statuses.count(200),
    }


def processes(master: int | None) -> list[psutil.Process]:
    """A proxy's master and its workers."""
    assert master is not None
    parent = psutil.Process(master)
    return [parent, *parent.children()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--megabytes", type=float, default=5.0)
    parser.add_argument("--upload-seconds", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is needed (Debian: apt-get install wrk)")
    got = asyncio.run(measure(a))
    if a.json:
        print(json.dumps(got, indent=2))
        return
    print(f"{a.clients} clients upload {a.megabytes:g} MB in {a.upload_seconds:g} s each; 16 clients send 145 KB\n")
    for name, value in got.items():
        print(f"{name.replace('_', ' '):24} {value:>10.1f}")


if __name__ == "__main__":
    main()
