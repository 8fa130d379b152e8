"""An upgrade of a fleet under open-loop load: failed requests, time, and what was rolled back.

    python benchmarks/rollout/run.py --replicas 50 --cases good,verify,errors

Real control process, HAProxy and replicas on this machine (the echo service of the end-to-end tests, each replica busy
`--service-s` per request). Requests are sent at Poisson times whatever the answers do, at `--load` of the capacity of
the wanted replicas. One JSON line a case. Where `sent_per_s` lies below `requests_per_s` the machine was too slow for
this load; a longer `--service-s` asks for fewer requests at the same share of the capacity.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

import httpx  # noqa: E402

from e2e.system import System, cluster, service, system  # noqa: E402

CASES: dict[str, dict[str, str]] = {
    "good": {},
    "verify": {"WRONG": "1"},
    "errors": {"ERRORS": "0.05"},
    "never-ready": {"FAIL_HEALTH": "1"},
    "slow": {"SLOWER_S": "SERVICE_S"},
}


async def requests(url: str, rate: float, stop: asyncio.Event, seen: Counter[str]) -> None:
    """Poisson arrivals until `stop`; every request is sent at its own time."""
    draw = random.Random(7)
    limits = httpx.Limits(max_connections=2000, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client, asyncio.TaskGroup() as group:
        due = time.monotonic()
        while not stop.is_set():
            due += draw.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(one(client, url, seen))


async def one(client: httpx.AsyncClient, url: str, seen: Counter[str]) -> None:
    try:
        answer = await client.get(url)
    except httpx.HTTPError as error:
        seen[f"failed: {type(error).__name__}"] += 1
        return
    by = answer.headers.get("x-tidegate-replica", "")
    revision = by.split("-")[2] if by.count("-") > 2 else "nobody"
    seen[f"{'answered' if answer.status_code == 200 else 'failed'}: {answer.status_code} by {revision}"] += 1


def manifest(given: argparse.Namespace, version: str, env: dict[str, str]) -> dict[str, Any]:
    env = {k: v.replace("SERVICE_S", str(given.service_s)) for k, v in env.items()}
    return service(
        scaling={"minReplicas": given.replicas, "maxReplicas": given.replicas},
        resources={"cpu": 0.01, "memory": "32Mi"},
        env={"START_S": str(given.start_s), "VERSION": version} | env,
        rollout={"verify": {"python": "verify_echo.py"}, "watchSeconds": given.watch_s, "progressDeadlineSeconds": 60},
    )


async def case(name: str, given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tidegate-rollout-") as folder:
        shutil.copy(ROOT / "tests" / "e2e" / "verify_echo.py", folder)
        with system(Path(folder), manifest(given, "1", {}), cluster(capacity={"cpu": 8, "memory": "16Gi"})) as live:
            await asyncio.to_thread(live.ready, given.replicas, within_s=180)
            return await upgrade(name, given, live)


async def upgrade(name: str, given: argparse.Namespace, live: System) -> dict[str, Any]:
    rate = given.load * given.replicas / given.service_s
    seen: Counter[str] = Counter()
    stop = asyncio.Event()
    loaded_at = time.monotonic()
    load = asyncio.create_task(requests(f"{live.url}/echo/?sleep={given.service_s}", rate, stop, seen))
    await asyncio.sleep(5)
    live.write(manifest(given, "2", CASES[name]), cluster(capacity={"cpu": 8, "memory": "16Gi"}))
    began = time.monotonic()
    await asyncio.to_thread(live.run, "apply", "-f", str(live.manifests))
    least, took_s, end = given.replicas, None, began + given.limit_s
    while time.monotonic() < end:
        pool = await asyncio.to_thread(live.pool)
        least = min(least, pool.ready)
        rollout = pool.rollout
        if rollout and rollout.history and len({r.revision for r in pool.replicas}) == 1:
            took_s = round(time.monotonic() - began, 1)
            break
        await asyncio.sleep(0.2)
    stop.set()
    await load
    outcome = rollout.history[-1] if rollout and rollout.history else None
    return {
        "case": name,
        "replicas": given.replicas,
        "requests_per_s": round(rate, 1),
        "sent_per_s": round(sum(seen.values()) / (time.monotonic() - loaded_at), 1),
        "requests": sum(seen.values()),
        "failed": sum(n for what, n in seen.items() if what.startswith("failed")),
        "seen": dict(sorted(seen.items())),
        "took_s": took_s,
        "least_ready": least,
        "outcome": outcome.outcome if outcome else "not ended",
        "reason": outcome.reason if outcome else "",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replicas", type=int, default=50)
    parser.add_argument("--load", type=float, default=0.7, help="share of the capacity of the wanted replicas")
    parser.add_argument("--service-s", type=float, default=0.5, help="time a replica works on a request")
    parser.add_argument("--start-s", type=float, default=5.0)
    parser.add_argument("--watch-s", type=float, default=5.0)
    parser.add_argument("--limit-s", type=float, default=240.0)
    parser.add_argument("--cases", default="good", help=f"of {', '.join(CASES)}")
    given = parser.parse_args()
    for name in given.cases.split(","):
        print(json.dumps(asyncio.run(case(name, given))), flush=True)


if __name__ == "__main__":
    main()
