"""Two local clusters with real processes, HAProxy and open-loop load: one is full, lost, cut off, slow.

    python benchmarks/clusters/run.py [--cases full,lost,cut,slow,sick] [--json]

| case | what happens | what is measured |
|---|---|---|
| full | a surge beyond the first cluster | from "wanted more than fits there" to ready elsewhere |
| lost | a cluster's processes are killed and it is cut off, at 70% load | success, back to the wanted number |
| cut | a cluster is cut off for 20 s and serves on; it comes back | success, what was stopped or started |
| slow | a cluster's answers take three times as long for 40 s | its share of the answers before, during, after |
| sick | one of six replicas answers 500 or takes ten times as long | until it gets nothing; who noticed |

Requests take 0.2 s, start-ups 3 s; arrivals are Poisson with a seed; the promise is an answer within 5 s.
Needs the test dependencies.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from e2e.system import System, cluster, service, system

SLEEP_S, START_S, WITHIN_S = 0.2, 3.0, 5.0
CASES = ("full", "lost", "cut", "slow", "sick")


@dataclass
class Answer:
    """When it was asked for, how long it took, by whom it was answered ("" when it failed)."""

    at: float
    took_s: float
    replica: str


@dataclass
class Run:
    """A system under load and what was seen of it; times are seconds since the load began."""

    live: System
    answers: list[Answer] = field(default_factory=list)
    looks: list[tuple[float, Any]] = field(default_factory=list)
    cluster_of: dict[str, str] = field(default_factory=dict)
    began: float = 0.0
    rate: Callable[[float], float] = lambda _: 0.0
    most_per_s: float = 60.0

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    async def play(self, seconds: float, *deeds: tuple[float, Callable[[], None]]) -> None:
        """Load for some seconds; each deed is done at its second."""
        self.began = time.monotonic()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        async with httpx.AsyncClient(timeout=30, limits=limits) as client, asyncio.TaskGroup() as group:
            watcher = group.create_task(self._watch())
            for at, deed in deeds:
                group.create_task(self._at(at, deed))
            await self._load(client, group, seconds)
            watcher.cancel()

    async def _load(self, client: httpx.AsyncClient, group: asyncio.TaskGroup, seconds: float) -> None:
        rng, at = random.Random(1), 0.0
        while (at := at + rng.expovariate(self.most_per_s)) < seconds:
            await asyncio.sleep(max(0.0, at - self.now))
            if rng.random() < self.rate(at) / self.most_per_s:
                group.create_task(self._ask(client))

    async def _ask(self, client: httpx.AsyncClient) -> None:
        begun, replica = self.now, ""
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
            answer = await client.get(f"{self.live.url}/echo/?sleep={SLEEP_S}")
            replica = answer.json()["replica"] if answer.status_code == 200 else ""
        self.answers.append(Answer(begun, self.now - begun, replica))

    async def _watch(self) -> None:
        while True:
            pool = await asyncio.to_thread(self.live.pool)
            self.looks.append((self.now, pool))
            self.cluster_of |= {r.id: r.cluster for r in pool.replicas}
            await asyncio.sleep(0.2)

    async def _at(self, second: float, deed: Callable[[], None]) -> None:
        await asyncio.sleep(max(0.0, second - self.now))
        await asyncio.to_thread(deed)

    # -- reading -------------------------------------------------------------------------------------------------

    def success(self, since: float, until: float) -> tuple[float, int, int]:
        """Share answered in time, how many were asked, how many failed."""
        mine = [a for a in self.answers if since <= a.at < until]
        good = sum(bool(a.replica) and a.took_s <= WITHIN_S for a in mine)
        return good / max(1, len(mine)), len(mine), sum(not a.replica for a in mine)

    def share(self, name: str, since: float, until: float) -> float:
        mine = [a for a in self.answers if a.replica and since <= a.at < until]
        return sum(self.cluster_of.get(a.replica) == name for a in mine) / max(1, len(mine))

    def first(self, since: float, holds: Callable[[Any], bool]) -> float:
        return next((t for t, pool in self.looks if t >= since and holds(pool)), float("nan"))

    def ids(self, name: str) -> list[str]:
        return [r.id for r in self.live.pool().replicas if r.cluster == name]


def echo(folder: Path, least: int, most: int, **spec: Any) -> dict[str, Any]:
    return service(
        scaling={"minReplicas": least, "maxReplicas": most},
        resources={"cpu": 1, "memory": "64Mi"},
        promise={"within": f"{WITHIN_S:g}s", "success": "99.95%"},
        env={"START_S": str(START_S), "ECHO_FAULTS": str(folder / "echo.json")},
        **spec,
    )


def clusters(here: float = 16) -> tuple[dict[str, Any], dict[str, Any]]:
    return tuple(cluster(n, region=n, gateway=n == "here", capacity={"cpu": c, "memory": "8Gi"}, distance={"here": 0})
                 for n, c in (("here", here), ("there", 16)))  # type: ignore[return-value]  # fmt: skip


def halves(folder: Path, count: int) -> dict[str, Any]:
    placement = {"clusters": ["here", "there"], "spread": {"maxShare": "50%"}}
    return echo(folder, count, count, placement=placement)


def full(folder: Path) -> dict[str, object]:
    """8 requests a second, then 30 within 20 s: 4 replicas fit in the first cluster, 6 are kept busy."""
    spec = echo(folder, 2, 12, placement={"clusters": ["here", "there"]})
    with system(folder, spec, *clusters(here=4)) as live:
        live.ready(2)
        run = Run(live, rate=lambda t: 8 + 22 * min(1.0, max(0.0, (t - 15) / 20)))
        asyncio.run(run.play(70))
    over = run.first(0, lambda p: p.wanted > 4)
    there = run.first(over, lambda p: any(r.cluster == "there" and r.state == "ready" for r in p.replicas))
    ordered = run.first(0, lambda p: any(r.cluster == "there" for r in p.replicas))
    good, asked, failed = run.success(0, 70)
    return {
        "asked": asked, "failed": failed, "success": good, "most ready": max(p.ready for _, p in run.looks),
        "wanted beyond the first -> ordered in the second, s": ordered - over,
        "wanted beyond the first -> ready in the second, s": there - over,
    }  # fmt: skip


def lost(folder: Path) -> dict[str, object]:
    """42 requests a second on 12 slots: 70%. At second 20 every process of the first cluster is killed."""
    with system(folder, halves(folder, 12), *clusters()) as live:
        live.ready(12)
        run = Run(live, rate=lambda _: 42)

        def kill() -> None:
            ids = set(run.ids("here"))
            live.faults.write_text(json.dumps({"here": {"cut": True}}))
            pids = [p.pid for p in live.processes() if p.environ().get("TIDEGATE_REPLICA") in ids]
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        asyncio.run(run.play(80, (20, kill)))
    killed = 20.0
    back = run.first(killed + 0.5, lambda p: sum(r.state == "ready" and r.cluster == "there" for r in p.replicas) >= 12)
    good, asked, failed = run.success(killed, 80)
    return {
        "asked after it": asked, "failed": failed, "success of the next 60 s": good, "start-up, s": START_S,
        "back to the wanted number, s": back - killed,
    }  # fmt: skip


def cut(folder: Path) -> dict[str, object]:
    """The first cluster cannot be seen from second 15 to 35, and goes on serving."""
    with system(folder, halves(folder, 12), *clusters()) as live:
        live.ready(12)
        run = Run(live, rate=lambda _: 42)
        before = {r.id for r in live.pool().replicas}
        off = lambda: live.faults.write_text(json.dumps({"here": {"cut": True}})) and None  # noqa: E731
        asyncio.run(run.play(60, (15, off), (35, lambda: live.faults.write_text("{}") and None)))
        after = {r.id for r in live.pool().replicas}
    good, asked, failed = run.success(0, 60)
    return {
        "asked": asked, "failed": failed, "success": good, "share of the cut-off cluster": run.share("here", 18, 35),
        "replicas stopped": len(before - after), "replicas started": len(after - before),
    }  # fmt: skip


def slow(folder: Path) -> dict[str, object]:
    """25 requests a second, 8 near and 8 far slots; from second 30 to 70 the near ones take three times as long."""
    with system(folder, halves(folder, 16), *clusters()) as live:
        live.ready(16)
        run = Run(live, rate=lambda _: 25)
        file = folder / "echo.json"
        sick = lambda: file.write_text(json.dumps({i: {"times": 3} for i in run.ids("here")})) and None  # noqa: E731
        asyncio.run(run.play(130, (30, sick), (70, lambda: file.write_text("{}") and None)))
    good, asked, failed = run.success(0, 130)
    times = (15, 30, 35, 40, 50, 70, 90, 110, 130)
    shares = {f"share of the near one, second {a} to {b}": run.share("here", a, b) for a, b in pairwise(times)}
    return {"asked": asked, "failed": failed, "success": good} | shares


def sick(folder: Path) -> dict[str, object]:
    """20 requests a second on 6 replicas; one answers 500 from second 15, later another takes ten times as long."""
    told: dict[str, object] = {}
    for name, fault in (("answers 500", {"error": True}), ("takes ten times as long", {"times": 10})):
        place = folder / name.split()[0]
        place.mkdir()
        with system(place, echo(place, 6, 6), clusters()[0]) as live:
            live.ready(6)
            run = Run(live, rate=lambda _: 20)
            victim = run.ids("here")[2]
            deed = lambda: (place / "echo.json").write_text(json.dumps({victim: fault})) and None  # noqa: B023, E731
            asyncio.run(run.play(45, (15, deed)))
        out = run.first(15, lambda p: any(r.id == victim and r.share_ratio == 0 for r in p.replicas))  # noqa: B023
        good, asked, failed = run.success(15, 45)
        told |= {f"{name}: gets nothing after, s": out - 15, f"{name}: failed of {asked}": failed}
        told[f"{name}: answered in time"] = good
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found: dict[str, dict[str, object]] = {}
    for name in args.cases.split(","):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = {"full": full, "lost": lost, "cut": cut, "slow": slow, "sick": sick}[name](Path(folder))
        if not args.json:
            print(f"\n{name}")
            for what, value in found[name].items():
                print(f"  {what:55} {f'{value:.4f}' if isinstance(value, float) else value}", flush=True)
    if args.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
