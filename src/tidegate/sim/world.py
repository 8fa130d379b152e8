"""A made-up world in which the very `policy.tick` of the live system decides.

Around it: clusters whose replicas take time to start (`places`), a gateway that follows the published snapshot
(`front`, one `engine` per pool), clients (`requests`), faults, and checks after every decision. Time is the only thing
that is not real: it jumps from event to event.

    result = World(scenario).run()
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from tidegate.base.streams import stream
from tidegate.model.actions import Action, Forget, Prepare, Publish, Start, Stop
from tidegate.model.memory import Memory, PoolMemory
from tidegate.model.observed import Observed
from tidegate.model.plan import Tick
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.model.snapshot import Snapshot
from tidegate.policy.distance import home_of, round_trip_s
from tidegate.policy.rollout import FORWARD
from tidegate.policy.scaling import learn
from tidegate.policy.tick import tick
from tidegate.sim import checks, history
from tidegate.sim.admission import Admission
from tidegate.sim.baselines.fixed import Planned, Static
from tidegate.sim.engine import Pool
from tidegate.sim.faults import Fault
from tidegate.sim.front import Front
from tidegate.sim.ledger import Ledger
from tidegate.sim.places import Body, Places, costing
from tidegate.sim.requests import Requests
from tidegate.sim.result import Result
from tidegate.sim.scenario import Scenario
from tidegate.sim.trace import Trace
from tidegate.spec.resolve import PoolKey, Specs
from tidegate.spec.service import MediaService

PUBLISH_S = 0.05  # until the gateway has taken a snapshot over
LEAST_STEP_S = 0.25
STARTUPS_KNOWN = 5
FIRST_S = 300.0  # the mean of this first part is taken for the load before it
LEAD_S = 600.0
UPGRADES = "SIMULATED_UPGRADES"  # a variable whose change makes another revision
IMAGINED_SHARE = 0.7  # at the beginning the pool stands as if it had been run at this share of its slots


class World:
    """One run of one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.epoch = scenario.epoch
        self.declared = scenario.specs
        self.specs = {p.key: p for p in scenario.specs.pools}
        self._startup_rng = stream(scenario.seed, "startups")
        self._failure_rng = stream(scenario.seed, "failures")
        clusters = {c.name: c for c in scenario.specs.clusters}
        self.home = next(iter(clusters), "")
        self.region = home_of(scenario.specs.clusters)
        self.places = Places(clusters, self.specs, self._startup_s, self._failure_rng, self.epoch)
        self.front = Front(
            {key: self._pool(key) for key in self.specs},
            {key: self._requests(key) for key in self.specs},
            self._pace,
        )
        self.ledger = Ledger(scenario, self.places)
        self.memory = Memory(pools={key: self._known(key) for key in self.specs})
        self.now = 0.0
        self._published: list[tuple[float, Snapshot]] = []
        self._struck: set[int] = set()
        self.bad: dict[str, Fault] = {}  # by revision: how an upgrade has spoilt it
        self._furnish()

    def run(self, progress: Callable[[float], None] | None = None) -> Result:
        """From second 0 to the end of the longest trace; `progress` is told the second reached."""
        end = self.scenario.length_s
        while True:
            decided = self._decide()
            if self.now >= end - 1e-9:
                return self.ledger.result(self.now, self.front)
            self._advance(min(end, self._next_look(decided)))
            if progress is not None:
                progress(self.now)

    # -- one decision --------------------------------------------------------------------------------------------

    def _decide(self) -> Tick:
        faults = self._strike()
        stats = self.front.measure()
        blind = any(f.kind == "blind" for f in faults)
        measured = not blind and self.now > 0  # nothing was measured yet at the very beginning; that is not zero
        observed = Observed(
            at=self.epoch + self.now,
            replicas=self.places.seen_replicas(self.now, faults),
            loads=dict(stats) if measured else {},
            clusters=self.places.seen_clusters(self.now, faults),
            gateway=None if blind else self.front.seen(),
        )
        decided = self._tick(observed)
        scene = checks.Scene(self.declared, decided, self.places, self.front, faults, self.now)
        checks.check(scene, self.scenario.repeat)
        self.ledger.note(self.now, stats, decided)
        self.ledger.forget_warm_up(self.now, self.front)
        self.memory = decided.memory
        for key, pool in decided.memory.pools.items():
            if key in self.front.pools:
                self.front.pools[key].watch(pool.rollout.phase in FORWARD)
        for action in decided.actions:
            self._obey(action, faults)
        return decided

    def _specs(self) -> Specs:
        """What is declared, at the prices of the moment."""
        specs = self.declared
        dearer = [f for f in self.scenario.faults if f.kind == "price" and f.on(self.now)]
        if not dearer:
            return specs
        clusters = {c.name: c for c in specs.clusters}
        for fault in dearer:
            name, factor = fault.where.cluster or "", fault.where.factor
            clusters[name] = costing(clusters[name], factor)
        return replace(specs, clusters=tuple(clusters.values()))

    def _tick(self, observed: Observed) -> Tick:
        specs, chosen = self._specs(), self.scenario.scale
        if chosen is None:
            return tick(specs, observed, self.memory)

        def scale(inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
            return chosen[inp.spec.key](inp, memory)

        return tick(specs, observed, self.memory, scale=scale)

    def _obey(self, action: Action, faults: list[Fault]) -> None:
        match action:
            case Start():
                self.places.start(action, self.now, faults)
                self._spoil(self.places.bodies[action.replica])
            case Prepare():
                self.places.prepare(action, self.now)
            case Stop() if not self.places.hidden(action.cluster, faults):
                self.places.stop(action, self.now, idle=self.front.busy(action.replica) == 0)
            case Forget() if not self.places.hidden(action.cluster, faults):
                self.ledger.bury(action.replica, self.now)
                self.places.forget(action)
            case Publish():
                self._published.append((self.now + PUBLISH_S, action.snapshot))

    # -- time ----------------------------------------------------------------------------------------------------

    def _next_look(self, decided: Tick) -> float:
        """When to decide again: at the latest after a tick, earlier when something changes."""
        at = self.now + self.scenario.longest_tick_s
        if decided.look_again_at is not None:
            at = min(at, decided.look_again_at - self.epoch)
        at = min(at, self.places.next_event(self.now) + self.scenario.react_s)
        if self._published:
            at = min(at, self._published[0][0] + self.scenario.react_s)
        if self.now < self.scenario.measure_from_s:
            at = min(at, self.scenario.measure_from_s)  # an interval counts as a whole or not at all
        for fault in self.scenario.faults:
            at = min(at, *(t for t in (fault.at, fault.ends) if t > self.now), math.inf)
        return max(at, self.now + LEAST_STEP_S)

    def _advance(self, until: float) -> None:
        """Let everything happen up to `until`, each event at its own instant."""
        while self.now < until:
            at = min(until, self.places.next_event(self.now))
            if self._published:
                at = max(self.now, min(at, self._published[0][0]))
            self.front.advance(at)
            self.now = at
            self.places.settle(at)
            for body in [b for b in self.places.bodies.values() if not b.runs(at)]:
                self.front.lose(body.id)
            while self._published and self._published[0][0] <= at:
                snapshot = self._published.pop(0)[1]
                self.front.take(snapshot, lambda name: self.places.serving(name, self.now))

    # -- faults --------------------------------------------------------------------------------------------------

    def _strike(self) -> list[Fault]:
        """Let faults that are due happen; those that are going on."""
        faults = self.scenario.faults
        for index, fault in enumerate(faults):
            if fault.at <= self.now and index not in self._struck:
                self._struck.add(index)
                if fault.kind == "crash":
                    self._crash(fault)
                elif fault.kind == "upgrade":
                    self._upgrade(fault)
                elif fault.kind == "outage":
                    for body in self.places.alive(self.now):
                        if body.cluster == fault.where.cluster:
                            self._end(body.id, "the cluster went down")
        if any(f.kind == "slow" for f in faults):
            for name in list(self.front.held):
                self.front.slow_down(name, self._pace(name)[0])
        return [f for f in faults if f.on(self.now)]

    def _upgrade(self, fault: Fault) -> None:
        self.declared = _upgraded(self.declared, fault.where.service or "")
        if fault.where.bad:
            mine = (p for p in self.declared.pools if p.key.service == fault.where.service)
            self.bad |= {p.revision: fault for p in mine}

    def _spoil(self, body: Body) -> None:
        """Make a new replica as bad as its revision is."""
        spoilt = self.bad.get(body.revision)
        how = spoilt.where.bad if spoilt is not None else ""
        body.startup_s = math.inf if how == "never-ready" else body.startup_s
        body.wrong = how == "verify" and body.verify_s > 0

    def _crash(self, fault: Fault) -> None:
        where = fault.where
        ready = sorted(
            b.id
            for b in self.places.alive(self.now)
            if b.prepared <= self.now
            and not b.stopping
            and where.service in (None, b.key.service)
            and where.cluster in (None, b.cluster)
        )
        for name in self._failure_rng.sample(ready, min(where.count, len(ready))):
            self._end(name, "crashed")

    def _end(self, name: str, detail: str) -> None:
        self.places.end(name, self.now, detail)
        self.front.lose(name)

    # -- what the world is made of -------------------------------------------------------------------------------

    def _pool(self, key: PoolKey) -> Pool:
        spec, queue = self.specs[key], self.specs[key].service.queue
        patience_s = self.scenario.patience_s or spec.service.requestTimeoutSeconds
        return Pool(
            slots=spec.concurrency,
            patience_s=patience_s,
            within_s=spec.promise.within,
            max_wait_s=queue.maxWaitSeconds or spec.promise.within,
            admission=Admission(spec),
            tries=self.scenario.tries if spec.service.idempotent else 1,
            epoch=self.epoch,
            compile=self.scenario.compile,
        )

    def _requests(self, key: PoolKey) -> Requests:
        scenario = self.scenario
        if key not in scenario.loads:
            return Requests.of((), (), compile=scenario.compile)
        name = "" if len(scenario.loads) == 1 else f" {key}"
        return Requests(
            scenario.loads[key].points(), scenario.work[key], scenario.seed, name=name, compile=scenario.compile
        )

    def _startup_s(self, key: PoolKey) -> float:
        startup = self.scenario.startup_of(key)
        if startup.cv <= 0 or startup.mean_s <= 0:
            return startup.mean_s
        variance = math.log(1 + startup.cv**2)
        return self._startup_rng.lognormvariate(math.log(startup.mean_s) - variance / 2, math.sqrt(variance))

    def _pace(self, replica: str) -> tuple[float, float]:
        body = self.places.bodies[replica]
        slow = 1.0
        for fault in self.scenario.faults:
            strikes = fault.where.service in (None, body.key.service) and fault.where.cluster in (None, body.cluster)
            if fault.kind == "slow" and fault.on(self.now) and strikes:
                slow *= fault.where.factor
        spoilt = self.bad.get(body.revision)
        if spoilt is not None and spoilt.where.bad == "slow":
            slow *= spoilt.where.factor
        cluster = self.places.clusters[body.cluster]
        return slow, round_trip_s(self.region, cluster, self.places.clusters.values(), {})

    def _known(self, key: PoolKey) -> PoolMemory:
        """A system that has run before has measured start-up times, and the load of the last minutes."""
        if not self.places.clusters or self.scenario.cold:
            return PoolMemory()
        times = tuple(self._startup_s(key) for _ in range(STARTUPS_KNOWN))
        made = PoolMemory(startups_s={self.home: times})
        trace = self.scenario.loads.get(key)
        if self.scenario.scale is not None or trace is None:
            return made
        before = Trace("before", LEAD_S, (trace.between(0.0, max(FIRST_S, trace.bin_s)).mean_rps,))
        rng = stream(self.scenario.seed, f"history {key}")
        measured = history.loads(before, self.scenario.work[key], rng, ends_at=self.epoch, every_s=LEAD_S / 40)
        return replace(made, scale=learn(self.specs[key], measured, max(times)))

    def _furnish(self) -> None:
        """Let replicas stand ready at second 0, within the room there is: as many as the first minutes need, or as a
        policy that knows beforehand has ordered.
        """
        for key, spec in self.specs.items():
            trace = self.scenario.loads.get(key)
            first = trace.between(0.0, max(FIRST_S, trace.bin_s)).mean_rps if trace else 0.0
            work_s = self.scenario.work[key].mean_s if trace else 0.0
            needed = 0 if self.scenario.cold else math.ceil(first * work_s / spec.concurrency / IMAGINED_SHARE)
            policy = self.scenario.scale[key] if self.scenario.scale is not None else None
            if isinstance(policy, Static | Planned):
                needed = policy.stands(self.epoch)
            count = max(spec.scaling.minReplicas, min(spec.scaling.maxReplicas, needed))
            order = spec.placement.clusters or tuple(self.places.clusters)
            for number in range(count):
                cluster = next((c for c in order if self._fits(c, key)), None)
                if cluster is not None:
                    self._stand(f"{key.service}-{key.pool}-first-{number + 1}", key, cluster)

    def _stand(self, name: str, key: PoolKey, cluster: str) -> None:
        spec, startup_s = self.specs[key], self.scenario.startup_of(key).mean_s
        body = Body(name, key, spec.revision, cluster, -2 * startup_s - 1, startup_s, spec.resources.amounts())
        body.prepare_began = -startup_s - 1
        self.places.bodies[name] = body

    def _fits(self, cluster: str, key: PoolKey) -> bool:
        if cluster not in self.places.clusters or self.places.clusters[cluster].spec.runtime == "static":
            return False
        used, capacity = self.places.used(cluster, 0.0), self.places.capacity(cluster, [])
        amounts = self.specs[key].resources.amounts()
        return all(used.get(k, 0.0) + a <= capacity.get(k, 0.0) + 1e-6 for k, a in amounts.items())


def _upgraded(specs: Specs, service: str) -> Specs:
    """The same manifests with another revision of one service."""

    def renewed(one: MediaService) -> MediaService:
        number = str(int(one.spec.env.get(UPGRADES, "0")) + 1)
        return one.model_copy(update={"spec": one.spec.model_copy(update={"env": {**one.spec.env, UPGRADES: number}})})

    services = [renewed(s) if s.name == service else s for s in specs.services]
    return Specs.of(services, specs.clusters, specs.tenants)
