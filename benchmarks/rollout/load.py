"""Open-loop load: Poisson arrivals at RATE a second, each on a connection of its own, until standard input is closed.

    python benchmarks/rollout/load.py HOST PORT PATH RATE SEED

Prints one JSON line: how many were sent, how late they were sent, and how many ended how, by revision. A client like
this one is correct: it sends a whole request on a new connection, waits a minute for the answer, and tries nothing
again.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter

PATIENCE_S = 60.0


async def ask(host: str, port: int, request: bytes) -> str:
    """One request; how it ended: "200 9f2c", "500 9f2c", "503 nobody", "ConnectionResetError"."""
    writer = None
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(request)
        answer = await reader.read()
        head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").lower().split("\r\n")
        names = [line.partition(":")[2].strip() for line in head if line.startswith("x-tidegate-replica:")]
        revision = names[0].split("-")[2] if names else "nobody"
        return f"{head[0].split(' ')[1]} {revision}" if " " in head[0] else "no answer"
    except OSError as error:
        return type(error).__name__
    finally:
        if writer is not None:
            writer.close()


async def main(host: str, port: int, path: str, rate: float, seed: int) -> None:
    draw, ended, took = random.Random(seed), Counter[str](), list[float]()
    late_s, sent, stop = 0.0, 0, asyncio.Event()
    request = f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode()

    async def one() -> None:
        began = time.monotonic()
        try:
            how = await asyncio.wait_for(ask(host, port, request), PATIENCE_S)
        except TimeoutError:
            how = "no answer in a minute"
        ended[how] += 1
        took.append(time.monotonic() - began)

    def closed() -> None:
        if not sys.stdin.buffer.read1(1):
            stop.set()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), closed)
    began = due = time.monotonic()
    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            due += draw.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            late_s = max(late_s, time.monotonic() - due)
            group.create_task(one())
            sent += 1
        lasted_s = time.monotonic() - began
    took.sort()
    p95_s = took[int(0.95 * len(took))] if took else 0.0
    told = {"sent": sent, "per_s": sent / lasted_s, "latest_s": late_s, "p95_s": p95_s, "ended": dict(ended)}
    print(json.dumps(told))


if __name__ == "__main__":
    _, host, port, path, rate, seed = sys.argv
    asyncio.run(main(host, int(port), path, float(rate), int(seed)))
