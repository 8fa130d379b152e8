"""Run `tidegate up` with a service of 100 ms, one slot a replica, and send it an open-loop load that rises and falls.

    python benchmarks/elastic/run.py [--seconds 90] [--json]

Arrivals are Poisson with a rate that follows a half sine from 0 to `--peak` times what one replica can take. Prints
what was sent and answered, the replicas every five seconds, and how long after it was found ready a new replica got its
first request (the rate decides about that, too: at 60 requests/s one comes every 17 ms). Needs the test dependencies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from e2e.system import System, cluster, service, system

SERVICE_S = 0.1


@dataclass
class Tally:
    """Every request is counted once: by its status, or by the error's name."""

    outcomes: Counter[str] = field(default_factory=Counter)
    times_s: list[float] = field(default_factory=list)
    replicas: list[tuple[float, int, int]] = field(default_factory=list)
    first_s: dict[str, float] = field(default_factory=dict)  # by replica: when its first request began, epoch seconds

    def quantile_ms(self, q: float) -> float:
        times = sorted(self.times_s)
        return 1000 * times[min(len(times) - 1, int(q * len(times)))] if times else math.nan


async def send(client: httpx.AsyncClient, url: str, tally: Tally) -> None:
    begun = time.perf_counter()
    try:
        answer = await client.get(url)
        tally.outcomes[str(answer.status_code)] += 1
        tally.times_s.append(time.perf_counter() - begun)
        began_s = time.time() - SERVICE_S
        replica = answer.headers.get("x-tidegate-replica", "")
        tally.first_s[replica] = min(began_s, tally.first_s.get(replica, math.inf))
    except httpx.HTTPError as error:
        tally.outcomes[type(error).__name__] += 1


async def load(url: str, seconds: float, peak_per_s: float, tally: Tally, seed: int) -> None:
    """Poisson arrivals by thinning; the rate is peak x sin(pi t / seconds)."""
    rng = random.Random(seed)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client, asyncio.TaskGroup() as group:
        begun = time.monotonic()
        at = 0.0
        while (at := at + rng.expovariate(peak_per_s)) < seconds:
            await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
            if rng.random() < math.sin(math.pi * at / seconds):
                group.create_task(send(client, url, tally))


async def watch(live: System, tally: Tally, begun: float) -> None:
    last = -math.inf
    while True:
        pool = (await asyncio.to_thread(live.pool)) if live.process else None
        now = time.monotonic() - begun
        if pool is not None:
            tally.replicas.append((now, pool.ready, pool.wanted))
            if now - last >= 5:
                last = now
                print(f"{now:5.0f} s  ready {pool.ready}  wanted {pool.wanted}  queued {pool.queued}", file=sys.stderr)
        await asyncio.sleep(0.5)


async def measure(live: System, seconds: float, peak: float, seed: int) -> Tally:
    tally = Tally()
    begun = time.monotonic()
    watcher = asyncio.create_task(watch(live, tally, begun))
    await load(f"{live.url}/echo/?sleep={SERVICE_S}", seconds, peak / SERVICE_S, tally, seed)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (await asyncio.to_thread(live.pool)).ready > 1:
        await asyncio.sleep(0.5)
    watcher.cancel()
    return tally


def until_traffic_ms(live: System, tally: Tally) -> list[float]:
    """Of each replica that became ready under load: from that transition to its first request, in order."""
    events = [json.loads(line) for line in live.run("events", "--json").stdout.splitlines()]
    ready = {e["subject"]: e["at"] for e in events if e["kind"] == "transition" and "-> ready" in e["text"]}
    initial = min(ready, key=ready.__getitem__)
    return sorted(1000 * (tally.first_s[r] - at) for r, at in ready.items() if r != initial and r in tally.first_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--peak", type=float, default=6, help="times what one replica takes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    quick = {"scaleDown": {"stabilizationWindowSeconds": 10}}
    scaling = {"minReplicas": 1, "maxReplicas": 16, "behavior": quick}
    echo = service(scaling=scaling, promise={"within": "2s", "success": "99.9%"})
    with tempfile.TemporaryDirectory() as folder, system(Path(folder), echo, cluster(capacity={"cpu": 16})) as live:
        live.ready(1)
        tally = asyncio.run(measure(live, args.seconds, args.peak, args.seed))
        back = live.pool().ready
        traffic_ms = until_traffic_ms(live, tally)
    sent = sum(tally.outcomes.values())
    result = {
        "sent": sent,
        "answered": tally.outcomes["200"],
        "failed": sent - tally.outcomes["200"],
        "outcomes": dict(tally.outcomes),
        "most_replicas": max((r for _, r, _ in tally.replicas), default=0),
        "replicas_at_the_end": back,
        "within_2s": sum(t <= 2 for t in tally.times_s) / max(1, sent),
        "p50_ms": round(tally.quantile_ms(0.5)),
        "p99_ms": round(tally.quantile_ms(0.99)),
        "ready_to_traffic_ms": [round(ms) for ms in traffic_ms],
    }
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:20} {value}")
    return 0 if result["failed"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
