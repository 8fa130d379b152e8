"""What one tick has in hand; mutable, and never seen outside of it.

The modules of a tick change it in turn: `lives`, `remedy`, `room`, `pools` with `moves`, `termination`, `balancing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tidegate.model.actions import Action
from tidegate.model.lifecycle import ReplicaState
from tidegate.model.memory import Memory, PoolMemory, Refusal, ReplicaMemory, Vacancy
from tidegate.model.observed import Observed, ReplicaSeen
from tidegate.model.plan import Ejection, Mark, RolloutStep
from tidegate.policy import drains, lifecycle, placement, refusals, routing
from tidegate.policy.distance import home_of, stepped
from tidegate.policy.lifecycle import STATIC
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolKey, PoolSpec, Specs

DRAINING, GONE = ReplicaState.DRAINING, ReplicaState.GONE


@dataclass(slots=True)
class Work:
    """What is declared, seen and remembered; what follows is written beside it."""

    specs: Specs
    observed: Observed
    before: Memory
    seen: Mapping[str, ReplicaSeen]
    replicas: dict[str, ReplicaMemory]
    pools: dict[PoolKey, PoolMemory]
    declared: Mapping[PoolKey, PoolSpec]
    names: dict[PoolKey, list[str]]
    room: placement.Room
    drained: Mapping[str, float]
    clusters: Mapping[str, Cluster]
    actions: list[Action] = field(default_factory=list)
    wake: list[float] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    rollouts: list[RolloutStep] = field(default_factory=list)
    ejections: list[Ejection] = field(default_factory=list)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    way: placement.Way = field(default_factory=placement.Way)
    round_trips_s: Mapping[str, float] = field(default_factory=dict)
    orders: dict[PoolKey, tuple[str, ...]] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    unremedied: dict[PoolKey, str] = field(default_factory=dict)
    canaries: routing.Canaries = field(default_factory=dict)

    @staticmethod
    def of(specs: Specs, observed: Observed, memory: Memory) -> Work:
        seen = {r.id: r for r in observed.replicas}
        replicas = dict(memory.replicas)
        for name, r in seen.items():
            if name not in replicas:
                replicas[name] = lifecycle.first_memory(r)
        fixed = frozenset(c.name for c in specs.clusters if c.spec.runtime == "static")
        for name in [n for n, m in replicas.items() if m.revision == STATIC and m.cluster not in fixed]:
            del replicas[name]  # somebody else runs it: what is not declared any more is simply not ours to know
        names: dict[PoolKey, list[str]] = {}
        key, mine = None, list[str]()
        for name, known in replicas.items():
            if known.key is not key:  # those of a pool mostly follow each other
                key, mine = known.key, names.setdefault(known.key, [])
            mine.append(name)
        return Work(
            specs=specs,
            observed=observed,
            before=memory,
            seen=seen,
            replicas=replicas,
            pools={p.key: memory.pools.get(p.key) or PoolMemory() for p in specs.pools},
            declared={p.key: p for p in specs.pools},
            names=names,
            room=placement.Room.of(specs.clusters, observed.clusters, refusals.resting(memory.refusals, observed.at)),
            drained=drains.wanted(memory.drained, observed.intents, {*replicas, *(c.name for c in specs.clusters)}),
            clusters={c.name: c for c in specs.clusters},
            refusals=dict(memory.refusals),
            way=placement.Way(home_of(specs.clusters), stepped(memory.round_trips_s)),
        )

    def leave(self, key: PoolKey, vacancy: Vacancy | None) -> None:
        if vacancy is not None and key in self.pools:
            pool = self.pools[key]
            self.pools[key] = replace(pool, vacancies=(*pool.vacancies, vacancy))

    def by_pool(self) -> dict[PoolKey, list[routing.Replica]]:
        replicas, seen = self.replicas, self.seen
        grouped: dict[PoolKey, list[routing.Replica]] = {}
        for key, names in self.names.items():
            known = ((n, replicas[n], seen.get(n)) for n in names if n in replicas)
            grouped[key] = [r for r in known if r[1].state is not GONE]
        return grouped

    def open(self, choice: placement.Options) -> placement.Options:
        """Without the clusters that an operator drains."""
        if not self.drained:
            return choice
        return choice._replace(order=tuple(c for c in choice.order if c not in self.drained))

    def lost(self, name: str, memory: ReplicaMemory) -> bool:
        """Whether a replica cannot be seen and does not answer either: replaced elsewhere, but never deleted for it."""
        gateway = self.observed.gateway
        if memory.cluster in self.observed.clusters or gateway is None:
            return False
        server = gateway.servers.get(name)
        return server is None or not server.up

    def alive(self, key: PoolKey) -> list[tuple[str, ReplicaMemory]]:
        return [(n, m) for n, m in self.mine(key) if m.state not in (DRAINING, GONE)]

    def mine(self, key: PoolKey) -> Iterable[tuple[str, ReplicaMemory]]:
        return [(n, self.replicas[n]) for n in self.names.get(key, ())]
