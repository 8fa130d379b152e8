"""A made-up evening: two services, two clusters, traffic that rises and falls. For pictures and for trying.

`python -m web.lively` (with `src` and `tests` on PYTHONPATH) serves the page with it until Ctrl-C.
"""

from __future__ import annotations

import asyncio
import math
import random
import time

from tidegate.model.reasons import Reason
from tidegate.model.status import ClusterStatus, PoolStatus, ReplicaStatus, Status
from tidegate.web.ports import Event
from tidegate.web.server import Listen, serving
from web.world import FakeControl, pool, replica, status

CLUSTERS = ("here", "gz-gpu")


def wave(t: float, low: float, high: float, period_s: float) -> float:
    """A smooth rise and fall."""
    return low + (high - low) * (0.5 - 0.5 * math.cos(2 * math.pi * t / period_s))


def pool_at(at: float, t: float, name: str, size: str, low: float, high: float, service_s: float) -> PoolStatus:
    """A pool that follows its wave with a start-up of 12 s."""
    load = wave(t, low, high, 280) * (1 + random.Random(f"{name} {int(t)}").gauss(0, 0.06))
    wanted = max(1, math.ceil(wave(t + 10, low, high, 280) * service_s / 0.75))
    before = max(1, math.ceil(wave(t - 12, low, high, 280) * service_s / 0.75))
    ready = min(wanted, before)
    replicas = []
    for n in range(max(wanted, before)):
        age = 40 + (n * 7919) % 5000
        facts = {"cluster": CLUSTERS[n % 5 == 4], "age_s": age, "since": at - age + 12, "cause": "prepared"}
        state = "ready" if n < ready else "draining"
        if n >= ready and wanted > before:
            state = ("preparing", "starting")[n % 2]
            facts |= {"age_s": 4.0, "since": at - 4, "cause": "started"}
        if n == 3:
            facts |= {"restarts": 1, "detail": "exit code 137 (killed: out of memory)"}
        in_flight = int(state == "ready" and random.Random(f"{n} {int(t)}").random() < load * service_s / ready)
        port = 40100 + n
        replicas.append(
            replica(f"{name}-{size}-{n + 1}", state, in_flight=in_flight, address=f"127.0.0.1:{port}", **facts)
        )
    queued = max(0, round(2 * (load * service_s - 0.8 * ready)))
    wait_ms = 1000 * queued * service_s / ready + 3.1
    ahead = wave(t + 10, low, high, 280)
    text = (
        f"{ahead:.0f} requests a second in 10 s keep {ahead * service_s:.1f} slots busy: {wanted} replicas for 99.95% "
    )
    text += "within 2 s"
    return pool(
        name,
        replicas,
        size,
        wanted=wanted,
        queued=queued,
        arrival_per_s=load,
        service_ms_mean=960 * service_s + 7 * load,
        wait_ms_mean=wait_ms,
        in_time_ratio=min(1.0, 0.99985 - 0.002 * (queued > 2)),
        reasons=(Reason("promise", text, wanted),),
    )


def evening(at: float, t: float) -> Status:
    """Everything at `at`, `t` seconds into the evening."""
    pools = (
        pool_at(at, t, "face-fusion", "large", 1, 5, 1.4),
        pool_at(at, t, "face-fusion", "default", 8, 46, 0.42),
        pool_at(at, t + 90, "speech", "default", 2, 11, 0.9),
    )
    used = sum(len(p.replicas) for p in pools)
    here = {"cpu": used * 0.8, "memory": used * 1.1 * 2**30}
    far = {"cpu": 11.5, "memory": 2.0**35, "gpu/a10": 3.0}
    clusters = (
        ClusterStatus("here", "local", "gz", {"cpu": 48.0, "memory": 96 * 2.0**30}, here),
        ClusterStatus("gz-gpu", "kubernetes", "gz", {"cpu": 64.0, "memory": 2.0**38, "gpu/a10": 8.0}, far),
    )
    return status(*pools, at=at, clusters=clusters, uptime_s=3600 + t)


def decisions(at: float, before: Status, now: Status) -> list[Event]:
    """What changed between two instants, as the journal would say it."""
    old = {(p.service, p.pool): p.wanted for s in before.services for p in s.pools}
    events = []
    for p in (p for s in now.services for p in s.pools):
        was = old[p.service, p.pool]
        if was != p.wanted:
            text = f"replicas wanted {was} -> {p.wanted}: {p.reasons[0].text}"
            events.append(Event(at, "decision", f"{p.service}/{p.pool}", text))
    return events


def crowd(at: float, count: int, step: int) -> Status:
    """One pool with very many replicas, half of which change at every step."""
    states = [("ready", "ready", "starting", "draining")[(n + step * (n % 2)) % 4] for n in range(count)]
    replicas: list[ReplicaStatus] = [replica(f"big-{n}", s, in_flight=(n + step) % 2) for n, s in enumerate(states)]
    return status(pool("big", replicas, queued=step, arrival_per_s=900.0 + step), at=at)


async def _serve() -> None:
    start = time.time()
    control = FakeControl(now=evening(start, 60))
    async with serving(control, Listen(port=0)) as served:
        print(served.page, flush=True)
        while True:
            await asyncio.sleep(1)
            now = time.time()
            later = evening(now, 60 + now - start)
            for event in decisions(now, control.now, later):
                control.happen(event)
            control.now = later


if __name__ == "__main__":
    asyncio.run(_serve())
