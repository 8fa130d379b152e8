"""The made-up clusters: replicas that start, are prepared, end; capacity; what the control plane can see of it.

Obeys `Start`, `Prepare`, `Stop` and `Forget` as a runtime does, with delays. Chooses nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tidegate.model.actions import Forget, Prepare, Start, Stop
from tidegate.model.observed import ClusterSeen, ReplicaSeen, Verdict
from tidegate.sim.faults import Fault
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolKey, PoolSpec

STOP_S = 0.2  # from SIGTERM to the end of an idle process
PREPARE_SHARE = 0.3  # of the start-up time is spent in the prepare steps
VERIFY_S = 1.0  # that the test of a rollout takes, where there is one


@dataclass(slots=True)
class Body:
    """One replica as it is. Times are seconds of the simulation, infinite while unknown.

    `verify_s` is how long its rollout's test takes, 0 without one; `wrong` when that finds it bad. One that has
    `arrived` is past all of this.
    """

    id: str
    key: PoolKey
    revision: str
    cluster: str
    created: float
    startup_s: float
    amounts: Mapping[str, float]
    verify_s: float = 0.0
    wrong: bool = False
    fails_at: float = math.inf
    prepare_began: float = math.inf
    ends: float = math.inf
    stopping: bool = False
    exit_code: int | None = None
    detail: str = ""
    placed: bool = True
    arrived: bool = False
    last_seen: tuple[tuple[bool, bool, bool, bool, bool], ReplicaSeen] | None = None

    @property
    def up(self) -> float:
        """When its startup probe passes."""
        return self.created + self.startup_s * (1 - PREPARE_SHARE)

    @property
    def prepared(self) -> float:
        """When its prepare steps have succeeded."""
        return max(self.created + self.startup_s, self.prepare_began + self.startup_s * PREPARE_SHARE)

    @property
    def verified(self) -> float:
        """When the test of its rollout has an answer."""
        return self.prepared + self.verify_s

    def passed(self, now: float) -> bool:
        """Whether it may be given requests: prepared, and no test has found it bad or is still looking."""
        return now >= self.verified and not self.wrong

    def runs(self, now: float) -> bool:
        return now < self.ends


@dataclass(slots=True)
class Places:
    """All clusters and their replicas.

    `startup` draws a start-up time in seconds for a pool; `forced` counts capacity exceeded because it shrank.
    """

    clusters: Mapping[str, Cluster]
    pools: Mapping[PoolKey, PoolSpec]
    startup: Callable[[PoolKey], float]
    rng: random.Random
    epoch: float
    bodies: dict[str, Body] = field(default_factory=dict)
    starts: int = 0
    stops: int = 0

    def start(self, action: Start, now: float, faults: list[Fault]) -> None:
        spec = self.pools[action.key]
        startup_s = self.startup(action.key)
        body = Body(
            action.replica, action.key, action.revision, action.cluster, now, startup_s, spec.resources.amounts()
        )
        body.verify_s = VERIFY_S if spec.service.rollout.verify is not None else 0.0
        for fault in faults:
            strikes = fault.kind == "failing-starts" and fault.where.service in (None, action.key.service)
            if strikes and self.rng.random() < fault.where.share:
                body.fails_at = now + startup_s / 2
        if self.gone(action.cluster, faults):
            body.fails_at = now
        if self._lies(action.cluster, faults) and not self._has_place(body, now, faults):
            body.placed, body.startup_s = False, math.inf
        self.bodies[action.replica] = body
        self.starts += 1

    def prepare(self, action: Prepare, now: float) -> None:
        body = self.bodies.get(action.replica)
        if body is not None and body.prepare_began == math.inf:
            body.prepare_began = max(now, body.up)

    def stop(self, action: Stop, now: float, idle: bool) -> None:
        """SIGTERM: an idle process ends soon, one with requests on it when the grace is over."""
        body = self.bodies.get(action.replica)
        if body is None or not body.runs(now):
            return
        if not body.stopping:
            self.stops += 1
        body.stopping = True
        body.ends = min(body.ends, now + (STOP_S if idle else max(STOP_S, action.grace_s)))
        body.exit_code = 0

    def forget(self, action: Forget) -> None:
        self.bodies.pop(action.replica, None)

    def end(self, replica: str, now: float, detail: str, code: int = -9) -> None:
        """A replica ends by itself."""
        body = self.bodies[replica]
        if body.runs(now):
            body.ends, body.exit_code, body.detail = now, code, detail

    def next_event(self, now: float) -> float:
        """When the next replica comes up, is prepared, fails or ends; infinite when nothing is under way."""
        soonest = math.inf
        for body in self.bodies.values():
            if now < body.ends < soonest:
                soonest = body.ends
            if body.arrived:
                continue
            coming = (body.up, body.prepared, body.verified, body.fails_at)
            body.arrived = now >= body.verified and not now < body.fails_at < math.inf
            soonest = min((at for at in coming if now < at < soonest), default=soonest)
        return soonest

    def settle(self, now: float) -> list[str]:
        """Replicas whose process has failed by now and was not known to; they end."""
        failed = [b.id for b in self.bodies.values() if b.fails_at <= now and b.runs(now)]
        for name in failed:
            self.end(name, now, "crashed while starting", code=1)
        return failed

    def serving(self, replica: str, now: float) -> bool:
        """Whether a request sent to it now would be answered."""
        body = self.bodies.get(replica)
        return body is not None and body.runs(now) and now >= body.up

    def alive(self, now: float) -> list[Body]:
        return [b for b in self.bodies.values() if b.runs(now)]

    # -- what is seen --------------------------------------------------------------------------------------------

    def gone(self, cluster: str, faults: list[Fault]) -> bool:
        return any(f.kind == "outage" and f.where.cluster == cluster for f in faults)

    def hidden(self, cluster: str, faults: list[Fault]) -> bool:
        return any(f.kind in ("outage", "partition") and f.where.cluster == cluster for f in faults)

    def capacity(self, cluster: str, faults: list[Fault]) -> dict[str, float]:
        """Amounts per resource; infinite where the manifest names none."""
        declared = self.clusters[cluster].spec.capacity
        amounts = {"cpu": declared.cpu or math.inf, "memory": float(declared.memory or math.inf)}
        amounts |= {f"gpu/{kind}": float(count) for kind, count in declared.gpu.items()}
        for fault in faults:
            if fault.kind == "capacity" and fault.where.cluster == cluster:
                amounts = {k: v * fault.where.factor for k, v in amounts.items()}
        return amounts

    def claimed(self, cluster: str, faults: list[Fault]) -> dict[str, float]:
        """The capacity that it says it has."""
        factor = math.prod(f.where.factor for f in self._lies(cluster, faults))
        return {k: v * factor for k, v in self.capacity(cluster, faults).items()}

    def _lies(self, cluster: str, faults: list[Fault]) -> list[Fault]:
        return [f for f in faults if f.kind == "lie" and f.where.cluster == cluster]

    def _has_place(self, body: Body, now: float, faults: list[Fault]) -> bool:
        used, capacity = self.used(body.cluster, now), self.capacity(body.cluster, faults)
        return all(used.get(k, 0.0) + a <= capacity.get(k, 0.0) for k, a in body.amounts.items())

    def used(self, cluster: str, now: float) -> dict[str, float]:
        total: dict[str, float] = {}
        for body in self.bodies.values():
            if body.cluster == cluster and body.placed and body.runs(now):
                for k, amount in body.amounts.items():
                    total[k] = total.get(k, 0.0) + amount
        return total

    def seen_clusters(self, now: float, faults: list[Fault]) -> dict[str, ClusterSeen]:
        return {
            name: ClusterSeen(self.claimed(name, faults), self.used(name, now))
            for name in self.clusters
            if not self.hidden(name, faults)
        }

    def seen_replicas(self, now: float, faults: list[Fault]) -> tuple[ReplicaSeen, ...]:
        return tuple(self._seen(b, now) for b in self.bodies.values() if not self.hidden(b.cluster, faults))

    def _seen(self, body: Body, now: float) -> ReplicaSeen:
        runs, arrived = body.runs(now), body.arrived
        up, prepared = arrived or now >= body.up, arrived or now >= body.prepared
        verified = arrived or now >= body.verified
        stage = (runs, up, prepared, verified, body.stopping)
        if body.last_seen is not None and body.last_seen[0] == stage:
            return body.last_seen[1]  # most replicas stand and serve; making the same value anew is half of the time
        seen = ReplicaSeen(
            id=body.id,
            key=body.key,
            revision=body.revision,
            cluster=body.cluster,
            created_at=self.epoch + body.created,
            running=runs,
            stopping=body.stopping,
            address=address(body.id) if up else None,
            exit_code=None if runs else body.exit_code,
            startup=Verdict.PASS if up else Verdict.UNKNOWN,
            prepared=Verdict.PASS if prepared else Verdict.UNKNOWN,
            verify=(Verdict.FAIL if body.wrong else Verdict.PASS) if verified else Verdict.UNKNOWN,
            readiness=Verdict.PASS if prepared else Verdict.UNKNOWN,
            liveness=Verdict.PASS if up else Verdict.UNKNOWN,
            detail=body.detail or ("the answer is wrong" if body.wrong and verified else ""),
            placed=body.placed,
        )
        body.last_seen = (stage, seen)
        return seen


def costing(cluster: Cluster, factor: float) -> Cluster:
    """A cluster at `factor` times its prices."""
    price = cluster.spec.price
    gpu = {kind: p * factor for kind, p in price.gpu.items()}
    dearer = price.model_copy(update={"cpu": price.cpu * factor, "memory": price.memory * factor, "gpu": gpu})
    return cluster.model_copy(update={"spec": cluster.spec.model_copy(update={"price": dearer})})


def address(replica: str) -> str:
    """A made-up address."""
    return f"{replica}:80"
