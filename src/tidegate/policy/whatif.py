"""What if a cluster were lost, or had less or more room: the same `tick`, asked again and again on a copy.

The copy obeys: what is ordered starts, becomes ready and drains within one step. Demand stays what it is now. So the
answer says where everything would come to rest, not how long the start-ups on the way would take.

What a cluster that shrinks cannot hold any more is taken to be lost, the newest replicas first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.base.errors import SpecError, UnitError
from tidegate.base.units import format_bytes, parse_bytes, parse_cores
from tidegate.model.actions import Forget, Publish, Start, Stop
from tidegate.model.memory import Memory
from tidegate.model.observed import ClusterSeen, GatewaySeen, Observed, ReplicaSeen, ServerSeen, Verdict
from tidegate.model.outlook import ClusterChange, Outlook, PoolOutlook
from tidegate.model.plan import Tick
from tidegate.model.scaling import Scale, ScaleInput, ScaleMemory, ScaleResult
from tidegate.model.snapshot import Snapshot
from tidegate.policy.placement import hourly_price
from tidegate.policy.scaling import scale as promise_scale
from tidegate.policy.tick import tick
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolKey, Specs

STEP_S = 10.0
QUIET_STEPS = 3
MOST_STEPS = 60
EXPECTED = 'expected cluster=NAME:down or cluster=NAME:cpu=N (also memory=N, gpu/KIND=N), such as "cluster=here:down"'


def parse(text: str, clusters: Iterable[Cluster]) -> ClusterChange:
    """Read "cluster=NAME:down" or "cluster=NAME:cpu=16,memory=64Gi".

    Raises:
        SpecError: it is something else, or there is no such cluster.
    """
    kind, _, rest = text.partition("=")
    name, colon, what = rest.partition(":")
    if kind != "cluster" or not colon or not what:
        raise SpecError((f'what-if: got "{text}", {EXPECTED}',))
    names = sorted(c.name for c in clusters)
    if name not in names:
        raise SpecError((f"what-if: no cluster is called {name}. There are: {', '.join(names) or 'none'}",))
    if what == "down":
        return ClusterChange(name, down=True)
    return ClusterChange(name, amounts=dict(_amount(part, text) for part in what.split(",")))


def _amount(part: str, text: str) -> tuple[str, float]:
    resource, _, amount = part.partition("=")
    try:
        if resource == "cpu":
            return resource, parse_cores(amount)
        if resource == "memory":
            return resource, float(parse_bytes(amount))
        if resource.startswith("gpu/") and amount.isdecimal():
            return resource, float(amount)
    except UnitError as error:
        raise SpecError((f"what-if: {text}: {error}",)) from None
    raise SpecError((f'what-if: got "{text}", {EXPECTED}',))


def outlook(
    specs: Specs,
    observed: Observed,
    memory: Memory,
    changes: Sequence[ClusterChange],
    *,
    scale: Scale = promise_scale,
) -> Outlook:
    """How every pool would stand after `changes`, against how it will stand without them.

    Args:
        specs: what is declared.
        observed: the world as it was last seen; its loads are the demand.
        memory: what the last tick remembered.
        changes: what is supposed to happen.
        scale: the scaling policy that says, once, how many are wanted.
    """
    wanted = {p.key: p.wanted for p in tick(specs, observed, memory, scale=scale).plan.pools}
    before = _Copy.of(specs, observed, memory, wanted)
    before.settle()
    after = _Copy.of(specs, before.observed(), before.memory, wanted)
    for change in changes:
        after.change(change)
    steps = after.settle()
    pools = tuple(_pool(specs, key, count, before, after) for key, count in wanted.items())
    return Outlook(
        changes=tuple(_sentence(c) for c in changes),
        survives=all(p.pending <= p.pending_before for p in pools),
        settled=steps < MOST_STEPS,
        after_s=steps * STEP_S,
        pools=pools,
        cost_per_hour_before=before.cost_per_hour(),
        cost_per_hour_after=after.cost_per_hour(),
    )


def _pool(specs: Specs, key: PoolKey, wanted: int, before: _Copy, after: _Copy) -> PoolOutlook:
    spec = next(p for p in specs.pools if p.key == key)
    was, will = before.standing(key), after.standing(key)
    return PoolOutlook(
        service=key.service,
        pool=key.pool,
        latency_class=spec.placement.latencyClass,
        wanted=wanted,
        before=was,
        after=will,
        pending_before=max(0, wanted - sum(was.values())),
        pending=max(0, wanted - sum(will.values())),
    )


def _sentence(change: ClusterChange) -> str:
    if change.down:
        return f"cluster {change.cluster} is lost"
    amounts = (f"{k} {format_bytes(int(a)) if k == 'memory' else f'{a:g}'}" for k, a in change.amounts.items())
    return f"cluster {change.cluster} has {', '.join(amounts)}"


@dataclass(slots=True)
class _Copy:
    """A copy of the world that does what it is told; mutable, and never seen outside of this module."""

    specs: Specs
    seen: Observed
    memory: Memory
    wanted: Mapping[PoolKey, int]
    at: float
    replicas: dict[str, ReplicaSeen]
    clusters: dict[str, ClusterSeen]
    servers: dict[str, ServerSeen]
    version: str | None
    lost: set[str] = field(default_factory=set)

    @staticmethod
    def of(specs: Specs, observed: Observed, memory: Memory, wanted: Mapping[PoolKey, int]) -> _Copy:
        """The world as observed; what uses a cluster besides our replicas goes on using it."""
        gateway = observed.gateway or GatewaySeen(None)
        copy = _Copy(
            specs=specs,
            seen=observed,
            memory=memory,
            wanted=wanted,
            at=observed.at,
            replicas={r.id: _grown(r) for r in observed.replicas},
            clusters={},
            servers=dict(gateway.servers),
            version=gateway.version,
        )
        for name, cluster in observed.clusters.items():
            ours = copy._ours(name)
            others = {k: max(0.0, used - ours.get(k, 0.0)) for k, used in cluster.used.items()}
            copy.clusters[name] = replace(cluster, used=others)
        return copy

    def change(self, change: ClusterChange) -> None:
        """Let a cluster be lost or have other amounts."""
        name = change.cluster
        if change.down:
            self.lost.add(name)
            self.clusters.pop(name, None)
            there = [r.id for r in self.replicas.values() if r.cluster == name]
            there += [n for n, m in self.memory.replicas.items() if m.cluster == name]
            for replica in there:
                self.replicas.pop(replica, None)
                self.servers[replica] = ServerSeen(up=False)
            return
        if name not in self.clusters:
            raise SpecError((f"what-if: cluster {name} cannot be seen now, so its size cannot be changed",))
        cluster = self.clusters[name]
        self.clusters[name] = replace(cluster, capacity={**cluster.capacity, **change.amounts})
        newest = sorted((r for r in self.replicas.values() if r.cluster == name), key=lambda r: (-r.created_at, r.id))
        for r in newest:
            if not self._overfull(name):
                break
            self.replicas[r.id] = replace(r, running=False, detail="lost")

    def settle(self) -> int:
        """Step until nothing was ordered for a while; how many steps it took, `MOST_STEPS` when it did not end."""
        quiet = 0
        for step in range(MOST_STEPS):
            quiet = 0 if self._step() else quiet + 1
            if quiet == QUIET_STEPS:
                return step + 1 - QUIET_STEPS
        return MOST_STEPS

    def standing(self, key: PoolKey) -> dict[str, int]:
        """Replicas per cluster that run."""
        counts: dict[str, int] = {}
        for r in self.replicas.values():
            if r.key == key and r.running and not r.stopping:
                counts[r.cluster] = counts.get(r.cluster, 0) + 1
        return dict(sorted(counts.items()))

    def cost_per_hour(self) -> float:
        """What the replicas that run cost."""
        resources = {p.key: p.resources for p in self.specs.pools}
        clusters = {c.name: c for c in self.specs.clusters}
        return sum(
            hourly_price(clusters[r.cluster], resources[r.key])
            for r in self.replicas.values()
            if r.running and r.cluster in clusters and r.key in resources
        )

    def observed(self) -> Observed:
        """The copy as a tick sees it."""
        clusters = {
            name: replace(c, used=_sum(c.used, self._ours(name)))
            for name, c in self.clusters.items()
            if name not in self.lost
        }
        gateway = GatewaySeen(self.version, self.servers)
        loads = {key: replace(load, at=self.at) for key, load in self.seen.loads.items()}
        return Observed(self.at, tuple(self.replicas.values()), loads, clusters, gateway, self.seen.intents)

    def _step(self) -> bool:
        """One tick and its deeds; whether anything was under way."""
        self.at += STEP_S
        decided: Tick = tick(self.specs, self.observed(), self.memory, scale=self._as_now)
        self.memory = decided.memory
        for action in decided.actions:
            self._obey(action)
        return bool(decided.transitions) or any(isinstance(a, Start | Stop) for a in decided.actions)

    def _as_now(self, inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        return ScaleResult(self.wanted[inp.spec.key], memory, ())

    def _obey(self, action: object) -> None:
        match action:
            case Start(replica=name):
                ready = Verdict.PASS
                self.replicas[name] = ReplicaSeen(
                    name, action.key, action.revision, action.cluster, self.at,
                    address="127.0.0.1:1", startup=ready, prepared=ready, readiness=ready, verify=ready,
                )  # fmt: skip
            case Stop(replica=name) if name in self.replicas:
                self.replicas[name] = replace(self.replicas[name], running=False, exit_code=0)
            case Forget(replica=name):
                self.replicas.pop(name, None)
            case Publish(snapshot=snapshot):
                self._follow(snapshot)
            case _:
                pass

    def _follow(self, snapshot: Snapshot) -> None:
        """The gateway takes a snapshot over, and what drains is empty at once."""
        gone = {n for n, s in self.servers.items() if not s.up}
        self.version = snapshot.version
        self.servers = {
            s.replica: ServerSeen(draining=s.draining, up=s.replica not in gone)
            for service in snapshot.services
            for pool in service.pools
            for s in pool.servers
        }

    def _ours(self, cluster: str) -> dict[str, float]:
        resources = {p.key: p.resources for p in self.specs.pools}
        used: dict[str, float] = {}
        for r in self.replicas.values():
            if r.running and r.cluster == cluster and r.key in resources:
                used = _sum(used, resources[r.key].amounts())
        return used

    def _overfull(self, cluster: str) -> bool:
        view = self.clusters[cluster]
        return any(used > view.capacity.get(k, 0.0) for k, used in _sum(view.used, self._ours(cluster)).items())


def _grown(seen: ReplicaSeen) -> ReplicaSeen:
    """A replica whose probes have not said anything yet, when they have said yes."""
    if not seen.running:
        return seen

    def passed(verdict: Verdict) -> Verdict:
        return Verdict.PASS if verdict is Verdict.UNKNOWN else verdict

    return replace(
        seen,
        address=seen.address or "127.0.0.1:1",
        startup=passed(seen.startup),
        prepared=passed(seen.prepared),
        readiness=passed(seen.readiness),
        verify=passed(seen.verify),
    )


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {k: one.get(k, 0.0) + other.get(k, 0.0) for k in one.keys() | other.keys()}
