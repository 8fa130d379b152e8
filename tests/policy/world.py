"""A small obedient world for policy tests: what `tick` orders happens, at once or after `startup_s`.

Not the simulator: no requests, no randomness. A test sets the load by hand and reads what was decided.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tidegate.base.times import added, bin_of
from tidegate.model.actions import Forget, Prepare, Publish, Start, Stop
from tidegate.model.memory import Memory
from tidegate.model.observed import (
    ClusterSeen,
    GatewaySeen,
    Intent,
    Observed,
    PoolLoad,
    ReplicaSeen,
    ServerSeen,
    Verdict,
)
from tidegate.model.plan import PoolPlan, Tick
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.policy.tick import tick
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolKey, Specs
from tidegate.spec.service import MediaService

KEY = PoolKey("ocr")


def service(name: str = "ocr", **spec: object) -> MediaService:
    return MediaService.model_validate({"metadata": {"name": name}, "spec": {"command": ["serve"], **spec}})


def cluster(name: str = "here", cpu: float = 100, **spec: object) -> Cluster:
    body = {"capacity": {"cpu": cpu, "memory": "100Gi"}, **spec}
    return Cluster.model_validate({"metadata": {"name": name}, "spec": body})


def wants(count: int):  # type: ignore[no-untyped-def]
    """A scaling policy that always wants `count`."""

    def scale(inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        return ScaleResult(count, memory, ())

    return scale


@dataclass
class World:
    """`wanted` is what the scaling policy says; everything else is read from the last tick."""

    services: tuple[MediaService, ...] = field(default_factory=lambda: (service(),))
    clusters: tuple[Cluster, ...] = field(default_factory=lambda: (cluster(),))
    wanted: int = 2
    startup_s: float = 3.0
    at: float = 1000.0
    memory: Memory = field(default_factory=Memory)
    replicas: dict[str, ReplicaSeen] = field(default_factory=dict)
    in_flight: dict[str, int] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    gateway: GatewaySeen | None = field(default_factory=lambda: GatewaySeen(None))
    loads: dict[PoolKey, PoolLoad] = field(default_factory=dict)
    intents: tuple[Intent, ...] = ()
    bad_revisions: set[str] = field(default_factory=set)
    unverified: set[str] = field(default_factory=set)  # revisions whose verify fails
    traffic: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    """Per revision what one serving replica answers between two looks: finished, failed, seconds a request; "" is
    every revision that is not named."""
    tail: dict[str, float] = field(default_factory=dict)  # per revision: one request in ten takes so many times as long
    last: Tick | None = None
    log: list[Start | Stop | Forget | Prepare | Publish] = field(default_factory=list)

    # -- running -----------------------------------------------------------------------------------------------

    def tick(self, after_s: float = 1.0) -> World:
        """Let `after_s` pass, look, decide, obey."""
        self.at += after_s
        self._live()
        self.last = tick(self.specs, self.observed(), self.memory, scale=wants(self.wanted))
        self.memory = self.last.memory
        for action in self.last.actions:
            self._obey(action)
        return self

    def ticks(self, until: float) -> World:
        """Tick each second until `until` seconds after the epoch of the world (1000)."""
        while self.at < 1000 + until:
            self.tick()
        return self

    @property
    def specs(self) -> Specs:
        return Specs.of(self.services, self.clusters)

    def observed(self) -> Observed:
        seen = tuple(r for r in self.replicas.values() if r.cluster not in self.hidden)
        views = {c.name: self._cluster(c) for c in self.clusters if c.name not in self.hidden}
        return Observed(self.at, seen, dict(self.loads), views, self._counted(), self.intents)

    def _counted(self) -> GatewaySeen | None:
        if self.gateway is None or not self.traffic:
            return self.gateway
        servers = {}
        for name, server in self.gateway.servers.items():
            revision = self.replicas[name].revision if name in self.replicas else ""
            finished, failed, each_s = self.traffic.get(revision, self.traffic.get("", (0, 0, 0.0)))
            late = finished // 10  # one in ten
            slow_s = each_s * self.tail.get(revision, 1.0)
            times = added([((bin_of(each_s), finished - late),), ((bin_of(slow_s), late),)]) if finished else ()
            spent_s = (finished - late) * each_s + late * slow_s
            counts = {"finished": finished, "failed": failed, "service_s_sum": spent_s, "times": times}
            servers[name] = server if server.draining else replace(server, **counts)
        return replace(self.gateway, servers=servers)

    # -- reading -----------------------------------------------------------------------------------------------

    def plan(self, key: PoolKey = KEY) -> PoolPlan:
        assert self.last is not None
        return next(p for p in self.last.plan.pools if p.key == key)

    @property
    def serving(self) -> list[str]:
        """Replicas that the gateway gives new requests."""
        return sorted(n for n, s in self.gateway.servers.items() if not s.draining) if self.gateway else []

    def alive(self, cluster: str | None = None) -> list[str]:
        return sorted(r.id for r in self.replicas.values() if r.running and cluster in (None, r.cluster))

    def started(self) -> list[Start]:
        return [a for a in self.log if isinstance(a, Start)]

    def stopped(self) -> list[str]:
        return [a.replica for a in self.log if isinstance(a, Stop)]

    # -- faults ------------------------------------------------------------------------------------------------

    def crash(self, name: str, exit_code: int = -9) -> World:
        self.replicas[name] = replace(self.replicas[name], running=False, exit_code=exit_code)
        return self

    def update(self, name: str, **facts: object) -> World:
        self.replicas[name] = replace(self.replicas[name], **facts)  # type: ignore[arg-type]
        return self

    # -- the world ---------------------------------------------------------------------------------------------

    def _cluster(self, c: Cluster) -> ClusterSeen:
        by_key = {p.key: p.resources.amounts() for p in self.specs.pools}
        used: dict[str, float] = {}
        for r in self.replicas.values():
            for k, amount in by_key.get(r.key, {}).items():
                used[k] = used.get(k, 0.0) + amount * (r.running and r.cluster == c.name)
        capacity = {"cpu": c.spec.capacity.cpu or 0.0, "memory": float(c.spec.capacity.memory or 0)}
        return ClusterSeen(capacity, used)

    def _live(self) -> None:
        for name, r in self.replicas.items():
            old_enough = self.at - r.created_at >= self.startup_s and r.revision not in self.bad_revisions
            if r.running and old_enough and r.startup is Verdict.UNKNOWN:
                self.update(name, startup=Verdict.PASS, readiness=Verdict.PASS, address=f"127.0.0.1:{len(name)}")

    def _obey(self, action: object) -> None:
        self.log.append(action)  # type: ignore[arg-type]
        match action:
            case Start(replica=name):
                assert name not in self.replicas, f"{name} started twice"
                self.replicas[name] = ReplicaSeen(name, action.key, action.revision, action.cluster, self.at)
            case Prepare(replica=name):
                verify = Verdict.FAIL if self.replicas[name].revision in self.unverified else Verdict.PASS
                self.update(name, prepared=Verdict.PASS, verify=verify)
            case Stop(replica=name) if name in self.replicas:
                self.update(name, running=False, exit_code=0)
            case Forget(replica=name):
                del self.replicas[name]
            case Publish(snapshot=snapshot) if self.gateway is not None:
                servers = {
                    s.replica: ServerSeen(draining=s.draining, in_flight=self.in_flight.get(s.replica, 0))
                    for service in snapshot.services
                    for pool in service.pools
                    for s in pool.servers
                }
                self.gateway = GatewaySeen(snapshot.version, servers)
            case _:
                pass

    def empty(self, name: str) -> World:
        """The last request on `name` ends."""
        assert self.gateway is not None
        self.in_flight.pop(name, None)
        servers = dict(self.gateway.servers)
        servers[name] = replace(servers[name], in_flight=0)
        self.gateway = GatewaySeen(self.gateway.version, servers)
        return self

    def busy(self, name: str, in_flight: int = 1) -> World:
        """`name` works on `in_flight` requests until `empty`."""
        assert self.gateway is not None
        self.in_flight[name] = in_flight
        servers = dict(self.gateway.servers)
        servers[name] = replace(servers[name], in_flight=in_flight)
        self.gateway = GatewaySeen(self.gateway.version, servers)
        return self
