"""From the last tick to the `Status` that table, command line, API and page show."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tidegate import __version__
from tidegate.base.units import count_of
from tidegate.control.certificates import warnings
from tidegate.control.exposure import open_services
from tidegate.control.metering import unmetered
from tidegate.control.places import clusters
from tidegate.model.lifecycle import PHASES, ReplicaState
from tidegate.model.memory import ReplicaMemory
from tidegate.model.observed import Observed, PoolLoad, ReplicaSeen
from tidegate.model.plan import PoolPlan, Tick
from tidegate.model.status import (
    GatewayStatus,
    PhaseStatus,
    PoolStatus,
    ReplicaStatus,
    RolloutStatus,
    ServiceStatus,
    Status,
)
from tidegate.spec.resolve import PoolKey, PoolSpec, Specs
from tidegate.spec.service import MediaService

WINDOW_S = 10.0  # what is shown as a rate or a mean is over the last ten seconds


@dataclass(slots=True)
class Meter:
    """The loads of the last `WINDOW_S`, per pool: rates and means that a person can read."""

    recent: dict[PoolKey, deque[PoolLoad]] = field(default_factory=dict)

    def add(self, loads: Mapping[PoolKey, PoolLoad], at: float) -> None:
        for key, load in loads.items():
            self.recent.setdefault(key, deque()).append(load)
        for window in self.recent.values():
            while window and window[0].at < at - WINDOW_S:
                window.popleft()

    def over(self, key: PoolKey) -> PoolLoad | None:
        """One load over the whole window; None when nothing was measured in it."""
        window = self.recent.get(key)
        return total(window) if window else None


def total(loads: Iterable[PoolLoad]) -> PoolLoad:
    """Several intervals as one: counts and sums added, the present taken from the last."""
    loads = list(loads)
    last = loads[-1]

    def added(name: str) -> float:
        return math.fsum(getattr(load, name) for load in loads)

    counts = ("arrivals", "finished", "in_time", "failed", "gave_up", "refused")
    sums = ("interval_s", "service_s_sum", "service_s2_sum", "wait_s_sum")
    values = {name: int(added(name)) for name in counts} | {name: added(name) for name in sums}
    return PoolLoad(at=last.at, in_flight=last.in_flight, queued=last.queued, **values)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where things answer: gateway and page; `warnings` are sentences about how; the gateway listens on `host`."""

    gateway: str
    page: str
    warnings: tuple[str, ...] = ()
    host: str = "127.0.0.1"


def status(
    specs: Specs, observed: Observed, tick: Tick, meter: Meter, where: Addresses, faults: Mapping[str, str]
) -> Status:
    """Everything at this instant; `uptime_s` is left to the caller."""
    plans = {p.key: p for p in tick.plan.pools}
    pools: dict[str, list[PoolSpec]] = {}
    for pool in specs.pools:
        pools.setdefault(pool.key.service, []).append(pool)
    view = _View(observed, tick, meter)
    return Status(
        at=observed.at,
        uptime_s=0.0,
        version=__version__,
        services=tuple(
            ServiceStatus(
                s.name,
                url(s, where.gateway),
                tuple(view.pool(p, plans[p.key]) for p in pools[s.name] if p.key in plans),
            )
            for s in specs.services
        ),
        clusters=clusters(specs, observed, tick, faults),
        gateway=_gateway(specs, observed, where, faults),
        page=where.page,
    )


def url(service: MediaService, gateway: str) -> str:
    """Where a service answers through the gateway."""
    route = service.spec.route
    prefix = route.pathPrefix or "/"
    return f"{gateway.rstrip('/')}{prefix}{'' if prefix.endswith('/') else '/'}" if gateway else ""


def _gateway(specs: Specs, observed: Observed, where: Addresses, faults: Mapping[str, str]) -> GatewayStatus:
    seen, fault = observed.gateway, faults.get("gateway", "")
    if seen is None:
        return GatewayStatus(where.gateway, None, False, fault)
    wide = (*open_services(specs, where.host), *unmetered(specs))
    said = (*where.warnings, *wide, *warnings(seen.certificates, observed.at))
    ends = {c.file: c.until_at for c in seen.certificates if c.until_at is not None}
    return GatewayStatus(where.gateway, seen.version, True, fault, said, dict(seen.refused), ends, seen.media)


@dataclass(slots=True)
class _View:
    """What a pool's status is read from."""

    observed: Observed
    tick: Tick
    meter: Meter
    _by_pool: dict[PoolKey, list[tuple[str, ReplicaMemory]]] = field(init=False)
    _seen: dict[str, ReplicaSeen] = field(init=False)

    def __post_init__(self) -> None:
        self._by_pool = {}
        self._seen = {r.id: r for r in self.observed.replicas}
        for name, memory in self.tick.memory.replicas.items():
            self._by_pool.setdefault(memory.key, []).append((name, memory))

    def pool(self, spec: PoolSpec, plan: PoolPlan) -> PoolStatus:
        load = self.meter.over(spec.key)
        return PoolStatus(
            service=spec.key.service,
            pool=spec.key.pool,
            revision=spec.revision,
            wanted=plan.wanted,
            ready=plan.ready,
            starting=plan.starting,
            draining=plan.draining,
            pending=plan.pending,
            slots=plan.ready * spec.concurrency,
            in_flight=load.in_flight if load else 0,
            queued=load.queued if load else 0,
            arrival_per_s=_ratio(load.arrivals, load.interval_s) if load else None,
            service_ms_mean=_ratio(1000 * load.service_s_sum, load.finished) if load else None,
            wait_ms_mean=_ratio(1000 * load.wait_s_sum, load.finished) if load else None,
            in_time_ratio=_ratio(load.in_time, load.finished + load.failed) if load else None,
            within_s=spec.promise.within,
            promised_ratio=spec.promise.success,
            reasons=plan.reasons,
            replicas=tuple(self._replica(n, m) for n, m in sorted(self._by_pool.get(spec.key, ()))),
            rollout=self._rollout(spec.key, plan.wanted),
            weights=plan.weights,
            phases=self._phases(spec.key),
        )

    def _rollout(self, key: PoolKey, wanted: int) -> RolloutStatus | None:
        pool = self.tick.memory.pools.get(key)
        if pool is None:
            return None
        r = pool.rollout
        mine = [m for _, m in self._by_pool.get(key, ()) if m.state is ReplicaState.READY]
        return RolloutStatus(
            phase=r.phase,
            stable=r.stable,
            target=r.target,
            wanted=wanted,
            ready=sum(m.revision == (r.target or r.stable) for m in mine),
            goal=min(wanted, count_of(r.goal, wanted, up=True)),
            paused=r.paused,
            reason=r.reason,
            since=r.since,
            began_at=r.began_at,
            history=r.history,
            waves=r.waves,
            wave=r.wave,
        )

    def _phases(self, key: PoolKey) -> tuple[PhaseStatus, ...]:
        pool = self.tick.memory.pools.get(key)
        if pool is None or not pool.phases_s:
            return ()
        columns = dict(zip(PHASES, zip(*pool.phases_s, strict=True), strict=True))
        columns["start-up"] = tuple(sum(phases) for phases in pool.phases_s)
        return tuple(_spread(name, sorted(took)) for name, took in columns.items())

    def _replica(self, name: str, memory: ReplicaMemory) -> ReplicaStatus:
        seen = self._seen.get(name)
        server = self.observed.gateway.servers.get(name) if self.observed.gateway else None
        pool = self.tick.memory.pools.get(memory.key)
        health = pool.balance.replicas.get(name) if pool else None
        return ReplicaStatus(
            id=name,
            state=memory.state,
            since=memory.since,
            age_s=self.observed.at - memory.created_at,
            cluster=memory.cluster,
            revision=memory.revision,
            address=seen.address if seen else self.tick.memory.addresses.get(name),
            in_flight=server.in_flight if server else 0,
            restarts=memory.restarts,
            cause=memory.cause,
            detail=seen.detail if seen else "",
            share_ratio=health.level if health else 1.0,
            phases_s=dict(zip(PHASES, memory.phases_s, strict=False)),
        )


def _spread(name: str, ordered: list[float]) -> PhaseStatus:
    """Nearest-rank quantiles."""
    p50, p95 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
    return PhaseStatus(name, len(ordered), p50, p95)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
