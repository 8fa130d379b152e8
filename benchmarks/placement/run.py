"""How long decisions take in a big fleet: 1000 services, 10 clusters, 80 000 cores, 10 000 replicas, one core.

    python benchmarks/placement/run.py [--services 1000] [--replicas 10] [--profile steady]

Three questions: everything at once from nothing (`full`); a tick in which nothing changes (`steady`), with the wanted
numbers given and with the scaling policy asked about measured load; a surge that needs 2000 cores more (`surge`). For
the scaling policy every replica is busy half of the time, with no second like the one before.
Each is asked several times: the median, and the worst beside it. The scaling policy counts in bins of ten seconds, so
it is asked in thirty ticks: every pool ends three bins in them. `dearest_second` is the highest of the ten seconds of a
bin, each with the least of its three times: what is dear every time is the policy's, what is dear once the machine's.
Times are of this machine; compare ratios, not machines.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from tidegate.base.collector import collect_seldom
from tidegate.model.actions import Forget, Prepare, Publish, Start, Stop
from tidegate.model.memory import Memory
from tidegate.model.observed import ClusterSeen, GatewaySeen, Observed, PoolLoad, ReplicaSeen, ServerSeen, Verdict
from tidegate.model.plan import Tick
from tidegate.model.scaling import Scale, ScaleInput, ScaleMemory, ScaleResult
from tidegate.policy.scaling import scale as promise_scale
from tidegate.policy.tick import tick
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolKey, Specs
from tidegate.spec.service import MediaService

CLUSTERS, CORES = 10, 8000
SURGE_CORES = 2000
SIZES = (2, 4, 8)
ROUNDS = 7
BIN_TICKS = 10  # ticks of a second, in which every pool ends one bin
COUNTS = (1, 1, 0, 2, 1)  # requests that a replica answers in a second, in turns: half of its time
QUIET = 5  # ticks without anything to do: the fleet is at rest
TARGETS_S = {"full": 1.0, "steady": 0.2, "surge": 1.0}


def fleet(services: int, replicas: int) -> Specs:
    """Services of three sizes, a fifth of them batch, every other one with an order of clusters of its own."""
    names = [f"c{i}" for i in range(CLUSTERS)]

    def one(i: int) -> MediaService:
        order = names[i % CLUSTERS :] + names[: i % CLUSTERS]
        placement = {"latencyClass": "batch" if i % 5 == 0 else "interactive", "spread": {"maxShare": 0.6}}
        spec = {
            "command": ["serve"],
            "resources": {"cpu": SIZES[i % 3], "memory": "1Gi"},
            "placement": placement | ({"clusters": order} if i % 2 else {}),
            "scaling": {"minReplicas": replicas, "maxReplicas": 20 * replicas},
        }
        return MediaService.model_validate({"metadata": {"name": f"s{i:04}"}, "spec": spec})

    def place(i: int) -> Cluster:
        spec = {"capacity": {"cpu": CORES, "memory": "64Ti"}, "region": f"r{i % 3}", "price": {"cpu": 0.02 + 0.001 * i}}
        return Cluster.model_validate({"metadata": {"name": names[i]}, "spec": spec})

    return Specs.of([one(i) for i in range(services)], [place(i) for i in range(CLUSTERS)])


class World:
    """Does what it is told at once."""

    def __init__(self, specs: Specs, wanted: int) -> None:
        self.specs = specs
        self.wanted = {p.key: wanted for p in specs.pools}
        self.resources = {p.key: p.resources.amounts() for p in specs.pools}
        self.at = 1000.0
        self.decided_s = 0.0
        self.memory = Memory()
        self.replicas: dict[str, ReplicaSeen] = {}
        self.gateway = GatewaySeen(None)
        self.loads: dict[PoolKey, PoolLoad] = {}
        self.busy = False

    def scale(self, inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        return ScaleResult(self.wanted[inp.spec.key], memory, ())

    def observed(self) -> Observed:
        used: dict[str, dict[str, float]] = {c.name: {} for c in self.specs.clusters}
        for r in self.replicas.values():
            for k, amount in self.resources[r.key].items():
                used[r.cluster][k] = used[r.cluster].get(k, 0.0) + amount
        seen = {
            c.name: ClusterSeen({"cpu": float(CORES), "memory": 2.0**46}, used[c.name]) for c in self.specs.clusters
        }
        return Observed(self.at, tuple(self.replicas.values()), self.loads, seen, self.gateway)

    def obey(self, decided: Tick) -> None:
        self.memory = decided.memory
        for action in decided.actions:
            match action:
                case Start(replica=name):
                    self.replicas[name] = ReplicaSeen(
                        name, action.key, action.revision, action.cluster, self.at, address=f"10.0.0.1:{len(name)}",
                        startup=Verdict.PASS, prepared=Verdict.PASS, readiness=Verdict.PASS,
                    )  # fmt: skip
                case Stop(replica=name) | Forget(replica=name):
                    self.replicas.pop(name, None)
                case Publish(snapshot=snapshot):
                    servers = {
                        s.replica: ServerSeen(s.draining) for v in snapshot.services for p in v.pools for s in p.servers
                    }
                    self.gateway = GatewaySeen(snapshot.version, servers)
                case Prepare():
                    pass

    def step(self, scale: Scale | None = None) -> Tick:
        """One second later: look, decide (the time of this alone is kept in `decided_s`), do it."""
        self.at += 1.0
        if self.busy:
            self.serve()
        observed = self.observed()
        start = time.process_time()
        decided = tick(self.specs, observed, self.memory, scale=scale or self.scale)
        self.decided_s = time.process_time() - start
        self.obey(decided)
        return decided

    def serve(self) -> None:
        """A second in which every replica that gets requests answers none, one or two of about half a second."""
        sums: dict[PoolKey, list[float]] = {p.key: [0.0, 0.0, 0.0] for p in self.specs.pools}
        second, servers = int(self.at), {}
        for i, (name, server) in enumerate(self.gateway.servers.items()):
            count = 0 if server.draining else COUNTS[(7 * i + second) % len(COUNTS)]
            service_s = count * (0.4 + 0.05 * ((3 * i + second) % 5))
            servers[name] = ServerSeen(server.draining, in_flight=count % 2, finished=count, service_s_sum=service_s)
            if count:
                row = sums[self.replicas[name].key]
                row[0] += count
                row[1] += service_s
                row[2] += service_s * service_s / count
        self.gateway = replace(self.gateway, servers=servers)
        self.loads = {
            key: PoolLoad(
                self.at, 1.0, int(n), int(n), int(n), in_flight=int(n / 2), service_s_sum=total, service_s2_sum=squares
            )
            for key, (n, total, squares) in sums.items()
        }

    def settled(self, scale: Scale | None = None) -> World:
        quiet = 0
        for _ in range(400):
            quiet = 0 if any(isinstance(a, Start | Stop | Publish) for a in self.step(scale).actions) else quiet + 1
            if quiet == QUIET:
                return self
        raise SystemExit("the fleet did not come to rest")


class Timed(NamedTuple):
    """Seconds of each call, and the last answer."""

    seconds: list[float]
    answer: Tick


def timed(world: World, ask: Callable[[], Tick], rounds: int = ROUNDS) -> Timed:
    """How long a call takes; processor time, so that a busy machine does not count."""
    times = []
    for _ in range(rounds):
        world.decided_s = 0.0
        start = time.process_time()
        answer = ask()
        times.append(world.decided_s or time.process_time() - start)
    return Timed(times, answer)


def measure(services: int, replicas: int, profile: str = "") -> dict[str, object]:
    """Seconds per question, and what the answers were."""
    specs = fleet(services, replicas)
    world = World(specs, replicas)
    asks: dict[str, Callable[[], Tick]] = {}
    empty = world.observed()
    asks["full"] = lambda: tick(specs, empty, Memory(), scale=world.scale)
    answers = {"full": timed(world, asks["full"])}
    world.settled()
    surge = _surge(world)
    now, then = world.observed(), world.memory
    asks["surge"] = lambda: tick(specs, replace(now, at=now.at + 1), then, scale=surge)
    answers["surge"] = timed(world, asks["surge"])
    asks["steady"] = world.step
    answers["steady"] = timed(world, asks["steady"])
    world.busy = True
    world.settled(promise_scale)
    asks["steady, with the scaling policy"] = lambda: world.step(promise_scale)
    binned = timed(world, asks["steady, with the scaling policy"], 3 * BIN_TICKS)
    answers["steady, with the scaling policy"] = binned
    if profile:
        _profile(asks[profile])
    cores = sum(world.resources[a.key]["cpu"] for a in answers["surge"].answer.actions if isinstance(a, Start))
    return {
        "services": services,
        "replicas": len(world.replicas),
        "cores_used": sum(world.resources[r.key]["cpu"] for r in world.replicas.values()),
        "surge_cores_decided_in_one_tick": cores,
        "pending": sum(p.pending for p in answers["full"].answer.plan.pools),
        "seconds": {name: round(statistics.median(a.seconds), 4) for name, a in answers.items()},
        "worst": {name: round(max(a.seconds), 4) for name, a in answers.items()},
        "dearest_second": round(max(min(binned.seconds[i::BIN_TICKS]) for i in range(BIN_TICKS)), 4),
        "targets": TARGETS_S,
    }


def _surge(world: World) -> Scale:
    """The first services want more, until 2000 cores more are wanted."""
    more = dict(world.wanted)
    left = float(SURGE_CORES)
    for key in more:
        if left <= 0:
            break
        more[key] += 10
        left -= 10 * world.resources[key]["cpu"]
    return lambda inp, memory: ScaleResult(more[inp.spec.key], memory, ())


def _profile(ask: Callable[[], Tick]) -> None:
    profiler = cProfile.Profile()
    profiler.runcall(ask)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--replicas", type=int, default=10, help="per service")
    parser.add_argument("--profile", default="", help="full, steady, surge: where the time of one goes")
    given = parser.parse_args()
    collect_seldom()  # as `tidegate up` does
    print(json.dumps(measure(given.services, given.replicas, given.profile), indent=2))


if __name__ == "__main__":
    main()
