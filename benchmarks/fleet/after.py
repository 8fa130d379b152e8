"""The fleet under Tidegate: one day in the simulator, every request, the very `policy.tick` of the live system."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import assumptions as a
from counting import Orders, Upgrade, Upgrades

from tidegate.model.memory import PoolMemory
from tidegate.model.observed import Observed
from tidegate.model.plan import Tick
from tidegate.policy.scaling import learn
from tidegate.sim import history
from tidegate.sim.faults import parsed
from tidegate.sim.requests import ServiceTime
from tidegate.sim.result import Result
from tidegate.sim.scenario import Scenario, Startup
from tidegate.sim.trace import Trace
from tidegate.sim.world import World
from tidegate.spec.load import load_data
from tidegate.spec.resolve import PoolKey, PoolSpec, Specs

BIN_S = 60.0
TICK_S, REACT_S = 30.0, 20.0
LEAD_S = 3600.0  # the hour before the measured day
START = 1_704_067_200.0 + 86400.0 - LEAD_S  # a Monday, 23:00 UTC
HISTORY_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Class:
    """One size class of one service: its mean rate over a day (requests/s) and its work."""

    key: PoolKey
    mean_rps: float
    work: ServiceTime
    number: int
    gpu: bool = False

    @property
    def busy_units(self) -> float:
        """Cores (cards) busy on average."""
        per = 1 if self.gpu else a.LARGE_CORES if self.key.pool == "large" else a.SLOT_CORES
        return self.mean_rps * self.work.mean_s * per


def classes() -> list[Class]:
    """All size classes of all services."""
    found = []
    for i, share in enumerate(a.weights(a.CPU_SERVICES)):
        small = (1 - a.LARGE_SHARE) * a.MEAN_CORES * share / a.SLOT_CORES / a.SLOT_S
        large = a.LARGE_SHARE * a.MEAN_CORES * share / a.LARGE_CORES / a.LARGE_S
        name = f"cpu-{i:02d}"
        found.append(Class(PoolKey(name), small, ServiceTime(a.SLOT_S, a.SLOT_CV), i))
        found.append(Class(PoolKey(name, "large"), large, ServiceTime(a.LARGE_S, a.LARGE_CV), i))
    for i, share in enumerate(a.weights(a.GPU_SERVICES)):
        rate = a.MEAN_CARDS * share / a.CARD_S
        found.append(Class(PoolKey(f"gpu-{i:02d}"), rate, ServiceTime(a.CARD_S, a.CARD_CV), 100 + i, gpu=True))
    return found


def trace(one: Class, seconds: float, start: float, rng: random.Random, *, events: bool = True) -> Trace:
    """Its rate minute by minute from `start` on (epoch seconds)."""
    rates, wander = [], 0.0
    stay = math.exp(-BIN_S / a.NOISE_S)
    for index in range(int(seconds / BIN_S)):
        wander = wander * stay + rng.gauss(0.0, a.NOISE) * math.sqrt(1 - stay * stay)
        at = start + (index + 0.5) * BIN_S
        hour = at % 86400 / 3600
        factor = _factor(one.number, hour) if events else 1.0
        rates.append(max(0.0, one.mean_rps * a.daily(hour) * factor * (1 + wander)))
    return Trace(str(one.key), BIN_S, tuple(rates), start)


def _factor(number: int, hour: float) -> float:
    if number < a.CAMPAIGN_SERVICES and a.CAMPAIGN_FROM_H <= hour < a.CAMPAIGN_TO_H:
        return a.CAMPAIGN
    if number == a.CROWD_SERVICE and a.CROWD_AT_H <= hour < a.CROWD_AT_H + 1:
        return 1 + (a.CROWD_FACTOR - 1) * min(1.0, (hour - a.CROWD_AT_H) * 3600 / a.CROWD_RISE_S)
    return 1.0


# -- manifests ---------------------------------------------------------------------------------------------------------


def specs(of: list[Class]) -> Specs:
    by_service: dict[str, list[Class]] = {}
    for one in of:
        by_service.setdefault(one.key.service, []).append(one)
    clusters = [_cluster("east", "west"), _cluster("west", "east")]
    return load_data([*(_service(name, mine) for name, mine in by_service.items()), *clusters]).specs


def _cluster(name: str, other: str) -> dict[str, Any]:
    spec = {
        "runtime": "kubernetes",
        "region": name,
        "capacity": {"cpu": a.CLUSTER_CORES, "memory": "400Ti", "gpu": {"card": a.CLUSTER_CARDS}},
        "price": {"cpu": a.PRICE_CORE_H, "gpu": {"card": a.PRICE_CARD_H}},
        "distance": {other: f"{a.DISTANCE_S * 1000:g}ms"},
    }
    return {"apiVersion": "tidegate.dev/v1", "kind": "Cluster", "metadata": {"name": name}, "spec": spec}


def _service(name: str, of: list[Class]) -> dict[str, Any]:
    first, gpu = of[0], of[0].gpu
    resources = (
        {"cpu": 1, "memory": "8Gi", "gpu": {"card": 1}} if gpu else {"cpu": a.SLOTS * a.SLOT_CORES, "memory": "8Gi"}
    )
    within_s = a.CARD_WITHIN_S if gpu else a.WITHIN_S
    near = ("east", "west") if first.number % 2 == 0 else ("west", "east")
    spec: dict[str, Any] = {
        "image": f"registry/{name}",
        "concurrency": 1 if gpu else a.SLOTS,
        "resources": resources,
        "promise": {"within": f"{within_s:g}s", "success": a.PROMISE},
        "scaling": _scaling(first),
        "placement": {"clusters": list(near)},
        "route": {"pathPrefix": f"/{name}"},
        "rollout": {"batch": "25%", "maxSurge": "25%", "watchSeconds": f"{a.WATCH_S:g}s"},
    }
    if len(of) > 1:
        large = {
            "name": "large",
            "match": {"pixels": {"min": 8_000_000}},
            "concurrency": 1,
            "resources": {"cpu": a.LARGE_CORES, "memory": "32Gi"},
            "promise": {"within": f"{a.LARGE_WITHIN_S:g}s", "success": a.PROMISE},
            "scaling": _scaling(of[1]),
        }
        spec["pools"] = [large]
    return {"apiVersion": "tidegate.dev/v1", "kind": "MediaService", "metadata": {"name": name}, "spec": spec}


def _scaling(one: Class) -> dict[str, Any]:
    made: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 5000}
    if one.number < a.CAMPAIGN_SERVICES:
        hours = [a.CAMPAIGN_FROM_H + i / 4 for i in range(int(4 * (a.CAMPAIGN_TO_H - a.CAMPAIGN_FROM_H)))]
        slots = 1 if one.key.pool == "large" else a.SLOTS
        busy = max(a.daily(h) for h in hours) * a.CAMPAIGN * one.mean_rps * one.work.mean_s / slots
        window = {
            "name": "campaign",
            "dates": ["2024-01-02"],
            "from": _clock(a.CAMPAIGN_FROM_H),
            "to": _clock(a.CAMPAIGN_TO_H),
            "timeZone": "UTC",
            "minReplicas": math.ceil(busy / 0.85),
        }
        made["schedules"] = [window]
    return made


def _clock(hour: float) -> str:
    return f"{int(hour):02d}:{round(hour % 1 * 60):02d}"


# -- the day -----------------------------------------------------------------------------------------------------------


class Day(World):
    """A world that notes how long orders and upgrades take."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.orders = Orders()
        self.upgrades = Upgrades()
        self.decisions = 0

    def _tick(self, observed: Observed) -> Tick:
        decided = super()._tick(observed)
        self.decisions += 1
        self.orders.note(self.now, decided.plan.pools)
        self.upgrades.note(self.now, decided.rollouts, decided.plan.pools)
        return decided


def faults(seconds: float, of: list[Class], rng: random.Random) -> list[dict[str, Any]]:
    """Crashes of hosts and of processes that large media end, at random; the two upgrades."""
    large = math.fsum(c.mean_rps for c in of if c.key.pool == "large") * a.KILLS_PER_LARGE
    rate = large + (a.CPU_HOSTS + a.GPU_HOSTS) * MEAN_USED / (a.HOST_CRASH_DAYS * 86400)
    found: list[dict[str, Any]] = []
    at = 0.0
    while (at := at + rng.expovariate(rate)) < seconds:
        service = rng.choice(of).key.service
        found.append({"at": at, "crash": {"service": service}})
    small = f"cpu-{a.CPU_SERVICES - 1:02d}"
    found.append({"at": LEAD_S + a.SMALL_UPGRADE_H * 3600, "upgrade": {"service": small}})
    found.append({"at": LEAD_S + a.LARGE_UPGRADE_H * 3600, "upgrade": {"service": "cpu-00"}})
    return found


MEAN_USED = 0.25  # share of as many hosts as before that what runs would fill


@dataclass(frozen=True, slots=True)
class After:
    """What the day gave."""

    result: Result
    orders: Orders
    upgrades: dict[str, Upgrade]
    decisions: int
    loads: dict[PoolKey, Trace]
    per_replica: dict[PoolKey, float]  # cores


def play(seed: int, progress: Callable[[float], None], hours: float = 24.0) -> After:
    """The measured day after an hour that is not counted."""
    of = classes()
    seconds = LEAD_S + hours * 3600
    rng = random.Random(seed)
    loads = {c.key: trace(c, seconds, START, rng) for c in of}
    made = Scenario(
        specs=specs(of),
        loads=loads,
        work={c.key: c.work for c in of},
        startup=Startup(a.STARTUP_S, a.STARTUP_CV),
        startups={c.key: Startup(a.CARD_STARTUP_S, a.STARTUP_CV) for c in of if c.gpu},
        faults=parsed(faults(seconds, of, rng)),
        seed=seed,
        tick_s=TICK_S,
        react_s=REACT_S,
        measure_from_s=LEAD_S,
        repeat=f"python benchmarks/fleet/run.py --seed {seed}",
    )
    day = Day(made)
    for c in of:
        day.memory = replace(day.memory, pools={**day.memory.pools, c.key: _taught(day, c, rng)})
    result = day.run(progress)
    per_replica = {key: spec.resources.cpu for key, spec in day.specs.items()}
    return After(result, day.orders, day.upgrades.of, day.decisions, loads, per_replica)


def _taught(day: Day, one: Class, rng: random.Random) -> PoolMemory:
    """What the policy knows after the days before."""
    known = day.memory.pools[one.key]
    spec: PoolSpec = day.specs[one.key]
    length = a.HISTORY_DAYS * 86400
    before = trace(one, length, START - length, rng, events=False)
    seen = history.loads(before, one.work, rng, ends_at=START, every_s=HISTORY_EVERY_S)
    startup_s = (a.CARD_STARTUP_S if one.gpu else a.STARTUP_S) * (1 + 1.64 * a.STARTUP_CV)
    return replace(known, scale=learn(spec, seen, startup_s))
