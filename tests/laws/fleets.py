"""Made-up fleets for laws: a few clusters, a few services, each wanting a number; what is ordered happens at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import strategies as st

from policy.world import World, cluster, service
from tidegate.model.actions import Start, Stop
from tidegate.model.lifecycle import ReplicaState
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.policy import placement
from tidegate.policy.tick import tick
from tidegate.spec.resolve import PoolSpec, Specs

STEP_S = 15.0
QUIET_TICKS = 8  # with nothing to do for two minutes nothing will ever be done: no rule of placement looks back longer
SETTLED_WITHIN_TICKS = 400  # every move of a replica takes three ticks
GONE = (ReplicaState.DRAINING, ReplicaState.GONE)
NAMES = ("a", "b", "c")
EPSILON = 1e-6


@dataclass(repr=False)
class Fleet(World):
    """A world whose services want `each` a number of their own."""

    each: dict[str, int] = field(default_factory=dict)
    _specs: Specs | None = None

    def __repr__(self) -> str:
        """What a failing example needs to be read."""
        services = [
            (p.key.service, self.each[p.key.service], p.resources.cpu, p.placement.model_dump(exclude_defaults=True))
            for p in self.specs.pools
        ]
        clusters = [(c.name, c.spec.model_dump(exclude_defaults=True)) for c in self.clusters]
        return f"Fleet(services={services}, clusters={clusters})"

    @property
    def specs(self) -> Specs:
        if self._specs is None or self._specs.clusters != self.clusters:
            self._specs = Specs.of(self.services, self.clusters)
        return self._specs

    def tick(self, after_s: float = STEP_S) -> Fleet:
        self.at += after_s
        self._live()
        self.last = tick(self.specs, self.observed(), self.memory, scale=self._wanted)
        self.memory = self.last.memory
        for action in self.last.actions:
            self._obey(action)
        return self

    def settle(self) -> Fleet:
        """Tick until nothing was started or stopped for a while."""
        quiet = 0
        for _ in range(SETTLED_WITHIN_TICKS):
            quiet = 0 if self.tick().busy_now else quiet + 1
            if quiet == QUIET_TICKS:
                return self
        raise AssertionError(f"it never comes to rest; the last actions were {self.last and self.last.actions}")

    @property
    def busy_now(self) -> bool:
        assert self.last is not None
        return any(isinstance(a, Start | Stop) for a in self.last.actions) or bool(self.last.transitions)

    def _wanted(self, inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        return ScaleResult(self.each[inp.spec.key.service], memory, ())

    # -- the laws ------------------------------------------------------------------------------------------------

    def standing(self, pool: PoolSpec) -> dict[str, int]:
        """Replicas per cluster that are not on their way out."""
        counts: dict[str, int] = {}
        for m in self.memory.replicas.values():
            if m.key == pool.key and m.state not in GONE and not m.leaving:
                counts[m.cluster] = counts.get(m.cluster, 0) + 1
        return counts

    def overfull(self) -> Iterator[str]:
        """Clusters that hold more than they have, and services that hold more than their quota."""
        for c in self.clusters:
            seen = self._cluster(c)
            yield from (f"{c.name}: {k}" for k, used in seen.used.items() if used > seen.capacity.get(k, 0) + EPSILON)
            for name, quota in c.spec.quota.items():
                pool = next((p for p in self.specs.pools if p.key.service == name), None)
                count = sum(r.running and r.cluster == c.name and r.key.service == name for r in self.replicas.values())
                if pool and quota.cpu is not None and count * pool.resources.cpu > quota.cpu + EPSILON:
                    yield f"{name} in {c.name}: {count} replicas, quota {quota.cpu}"

    def beyond_share(self) -> Iterator[str]:
        """Pools with more than their share in one cluster though another one could take some."""
        for pool in self.specs.pools:
            if self.fits_somewhere(pool) is None:
                continue
            most = placement.options(pool, self.clusters, self.each[pool.key.service]).most
            yield from (f"{pool.key} in {c}: {n} > {most}" for c, n in self.standing(pool).items() if n > most)

    def fits_somewhere(self, pool: PoolSpec, *, without_batch: bool = False) -> str | None:
        """A cluster that could take one more replica of a pool, if need be once no batch replica is there."""
        room = placement.Room.of(self.clusters, self.observed().clusters)
        specs = {p.key: p for p in self.specs.pools}
        for r in self.replicas.values():
            spec = specs[r.key]
            room.charge(r.cluster, spec)
            if without_batch and spec.placement.latencyClass == "batch" and r.cluster in room.free:
                for k, amount in spec.resources.amounts().items():
                    room.free[r.cluster][k] += amount
        choice = placement.options(pool, self.clusters, self.each[pool.key.service])
        there = self.standing(pool)
        return next((c for c in choice.order if there.get(c, 0) < choice.most and room.fits(c, pool)), None)

    def pending(self) -> Iterator[PoolSpec]:
        """Pools that miss replicas."""
        return (p for p in self.specs.pools if sum(self.standing(p).values()) < self.each[p.key.service])


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """One to three clusters, one to three services; full, tight and roomy ones."""
    names = NAMES[: draw(st.integers(1, 3))]
    services = tuple(draw(_service(f"s{i}", names)) for i in range(draw(st.integers(1, 3))))
    clusters = tuple(draw(_cluster(n, services)) for n in names)
    return Fleet(services, clusters, each={s.name: draw(st.integers(0, 6)) for s in services})


@st.composite
def _service(draw: st.DrawFn, name: str, clusters: tuple[str, ...]):  # type: ignore[no-untyped-def]
    order = draw(st.permutations(clusters))[: draw(st.integers(0, len(clusters)))]
    spread = {"maxShare": draw(st.sampled_from([1.0, 1.0, 0.5, 0.34]))}
    if len(order) != 1:
        spread["minClusters"] = draw(st.integers(1, len(order) or 3))
    where = {
        "clusters": order,
        "latencyClass": draw(st.sampled_from(["interactive", "batch"])),
        "spread": spread,
        "tolerations": draw(st.sampled_from([[], ["gpu"]])),
    }
    return service(name, placement=where, resources={"cpu": draw(st.sampled_from([0.5, 1, 1.7, 3])), "memory": "1Gi"})


@st.composite
def _cluster(draw: st.DrawFn, name: str, services: tuple):  # type: ignore[no-untyped-def, type-arg]
    quota = {s.name: {"cpu": draw(st.integers(1, 6))} for s in services if draw(st.integers(0, 4)) == 0}
    return cluster(
        name,
        draw(st.integers(1, 14)),
        region=draw(st.sampled_from(["near", "far"])),
        price={"cpu": draw(st.sampled_from([0.0, 0.02, 0.05]))},
        taints=draw(st.sampled_from([[], [], [], ["gpu"]])),
        quota=quota,
    )
