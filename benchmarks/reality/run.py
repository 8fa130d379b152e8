"""The same trace played through a real `tidegate up` and through `tidegate simulate`: do they agree?

    python benchmarks/reality/run.py [--seconds 200] [--seeds 20] [--json]

Live: HAProxy, the control process, light replicas of one slot that start in about four seconds and sleep the service
time that was drawn for a request; open-loop Poisson arrivals that follow a wave. Simulated: the same manifests and
trace, with the service times and start-up times that were measured live, under many seeds. The first minute of both is
not counted: the live system has never run (`--cold`) and makes its first replicas then.

One more simulated run gets the very requests of the live one (`same_requests`), so that chance has less to do with it.
Agreement: mean replicas within 10%; the p95 of the time a request waits within the interval that chance allows: the
bootstrap interval of the live run (blocks of ten seconds) and the 95% of the simulated seeds overlap.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from e2e.system import System, cluster, service, system
from tidegate.cli import scenario
from tidegate.model.journal import Kind
from tidegate.report.durations import start_ups
from tidegate.report.lives import ALIVE, lives
from tidegate.sim.requests import Requests
from tidegate.sim.world import World
from tidegate.store.journal import Journal

START_S = 4.0
MEAN_S, CV = 0.4, 0.5
LEAD_S = 60.0
WITHIN = "1500ms"
BLOCK_S = 10.0


@dataclass
class Live:
    """What the live run showed. `waits` are (second of arrival, seconds waited)."""

    sent: int = 0
    failed: int = 0
    waits: list[tuple[float, float]] = field(default_factory=list)
    replicas: float = 0.0
    utilisation: float = 0.0
    service_s: float = 0.0
    service_cv: float = 0.0
    startup_s: float = 0.0
    startup_cv: float = 0.0
    success: float = 0.0
    recorded: str = ""
    requests: list[tuple[float, float]] = field(default_factory=list)  # second of arrival, seconds of work


def manifests() -> tuple[dict[str, object], ...]:
    echo = service(
        scaling={"minReplicas": 2, "maxReplicas": 24},
        promise={"within": WITHIN, "success": "99.5%"},
        env={"START_S": str(START_S)},
        concurrency=1,
    )
    return echo, cluster(capacity={"cpu": 16, "memory": "16Gi"})


def rate(at: float, seconds: float) -> float:
    """Requests/s: two waves, from 5 to 20."""
    return 12.5 - 7.5 * math.cos(2 * math.pi * at / (seconds / 2))


# -- live --------------------------------------------------------------------------------------------------------------


async def load(url: str, seconds: float, seed: int, live: Live) -> None:
    """Poisson arrivals by thinning; each draws its service time and is sent at its instant, whatever the others do."""
    rng = random.Random(seed)
    variance = math.log(1 + CV * CV)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client, asyncio.TaskGroup() as group:

        async def send(at: float, work_s: float) -> None:
            live.sent += 1
            begun = time.perf_counter()
            try:
                answer = await client.get(f"{url}?sleep={work_s:.4f}")
            except httpx.HTTPError:
                answer = None
            if answer is None or answer.status_code != 200:
                live.failed += 1
            else:
                live.waits.append((at, max(0.0, time.perf_counter() - begun - work_s)))

        begun, at = time.monotonic(), 0.0
        while (at := at + rng.expovariate(20.0)) < seconds:
            await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
            if rng.random() < rate(at, seconds) / 20.0:
                work_s = rng.lognormvariate(math.log(MEAN_S) - variance / 2, math.sqrt(variance))
                live.requests.append((at, work_s))
                group.create_task(send(at, work_s))


def measure(seconds: float, seed: int) -> Live:
    live = Live()
    with tempfile.TemporaryDirectory() as folder, system(Path(folder), *manifests()) as running:
        running.ready(2)
        begun = time.time()
        asyncio.run(load(f"{running.url}/echo/", seconds, seed, live))
        read(running, begun + LEAD_S, begun + seconds, live)
    live.waits = [(at, wait) for at, wait in live.waits if at >= LEAD_S]
    return live


def read(running: System, since: float, until: float, live: Live) -> None:
    """What the journal says of the measured part."""
    with Journal(f"sqlite:///{running.state}/journal.db") as journal:
        entries = journal.read()
        ticks, size, seconds = journal.recording_size()
    live.recorded = f"{ticks} ticks, {size / 1024:.0f} KiB, {size / seconds * 86400 / 2**20:.0f} MiB a day"
    of = lives(entries)["echo", "default"]
    loads = [e.data for e in entries if e.kind == Kind.LOAD and since < e.at <= until]
    finished = sum(d["finished"] for d in loads)
    mean = sum(d["service_s_sum"] for d in loads) / finished
    square = sum(d["service_s2_sum"] for d in loads) / finished
    alive_s = sum(life.seconds(since, until, ALIVE) for life in of)
    ups = start_ups(of, 0.0, until).ended_s
    live.replicas = alive_s / (until - since)
    live.utilisation = finished * mean / alive_s
    live.service_s, live.service_cv = mean, math.sqrt(max(0.0, square - mean * mean)) / mean
    live.startup_s, live.startup_cv = statistics.fmean(ups), statistics.pstdev(ups) / statistics.fmean(ups)
    ended = sum(d["finished"] + d["failed"] + d["gave_up"] + d["refused"] for d in loads)
    live.success = sum(d["in_time"] for d in loads) / ended


# -- simulated ---------------------------------------------------------------------------------------------------------


def simulated(live: Live, seconds: float, seeds: int, folder: Path) -> tuple[list[dict[str, float]], str]:
    """Mean replicas, p95 wait and success of each seed; and the command that plays the first."""
    files, trace = folder / "reality.yaml", folder / "reality.csv"
    files.write_text(yaml.safe_dump_all(manifests()))
    rows = "\n".join(f"{second},{rate(second + 0.5, seconds):.4f}" for second in range(int(seconds)))
    trace.write_text(f"# bin_seconds=1\nseconds,requests\n{rows}\n")
    times, startup = f"{live.service_s:.4f}s,{live.service_cv:.3f}", f"{live.startup_s:.3f}s,{live.startup_cv:.3f}"
    found = []
    for seed in range(seeds + 1):  # 0: the very requests of the live run instead of drawn ones
        asked = scenario.Asked(
            (str(files),), (str(trace),), (times,), startup, measure_from=f"{LEAD_S}s", seed=max(1, seed), cold=True
        )
        world = World(scenario.scenario(asked, asked.files, "")[0])
        if not seed:
            more_s = live.service_s - statistics.fmean(work for _, work in live.requests)  # what a replica adds
            arrivals, works = [at for at, _ in live.requests], [work + more_s for _, work in live.requests]
            world.front.requests = {key: Requests.of(arrivals, works) for key in world.front.pools}
        pool = world.run().pools[0]
        found.append(
            {
                "replicas": pool.replica_s / (seconds - LEAD_S),
                "wait_p95_s": pool.waits.quantile_s(0.95),
                "success": pool.success,
                "utilisation": pool.utilization,
            }
        )
    command = (
        f"tidegate simulate -f {files.name} --trace {trace.name} --service-time {times} --startup {startup} "
        f"--measure-from {LEAD_S:g}s --cold --seed 1"
    )
    return found, command


# -- compared ----------------------------------------------------------------------------------------------------------


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def bootstrapped(waits: Sequence[tuple[float, float]], rounds: int = 2000) -> tuple[float, float]:
    """95% interval of the p95: waits of neighbours hang together, so whole blocks are drawn."""
    blocks: dict[int, list[float]] = {}
    for at, wait in waits:
        blocks.setdefault(int(at // BLOCK_S), []).append(wait)
    rng, groups = random.Random(1), list(blocks.values())
    p95s = [quantile([w for b in rng.choices(groups, k=len(groups)) for w in b], 0.95) for _ in range(rounds)]
    return quantile(p95s, 0.025), quantile(p95s, 0.975)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the live arrivals")
    parser.add_argument("--keep", type=Path, help="leave the manifests and the trace in this folder")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    live = measure(args.seconds, args.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(exist_ok=True, parents=True)
        runs, command = simulated(live, args.seconds, args.seeds, folder)
    low, high = bootstrapped(live.waits)
    same, runs = runs[0], runs[1:]
    p95s, counts = [r["wait_p95_s"] for r in runs], [r["replicas"] for r in runs]
    ratio = statistics.fmean(counts) / live.replicas
    sim_low, sim_high = quantile(p95s, 0.025), quantile(p95s, 0.975)
    agree = abs(ratio - 1) <= 0.1 and sim_low <= high and low <= sim_high
    result = {
        "requests": live.sent,
        "failed": live.failed,
        "service_s": round(live.service_s, 4),
        "startup_s": round(live.startup_s, 3),
        "live_replicas": round(live.replicas, 2),
        "simulated_replicas": round(statistics.fmean(counts), 2),
        "simulated_replicas_lowest_highest": [round(min(counts), 2), round(max(counts), 2)],
        "ratio": round(ratio, 3),
        "live_wait_p95_s": round(quantile([w for _, w in live.waits], 0.95), 3),
        "live_wait_p95_interval_s": [round(low, 3), round(high, 3)],
        "simulated_wait_p95_s": round(statistics.median(p95s), 3),
        "simulated_wait_p95_interval_s": [round(sim_low, 3), round(sim_high, 3)],
        "live_success": round(live.success, 5),
        "simulated_success": round(statistics.fmean(r["success"] for r in runs), 5),
        "live_utilisation": round(live.utilisation, 3),
        "simulated_utilisation": round(statistics.fmean(r["utilisation"] for r in runs), 3),
        "same_requests": {k: round(v, 3) for k, v in same.items()},
        "recording": live.recorded,
        "agree": agree,
        "command": command,
    }
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:34} {value}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
