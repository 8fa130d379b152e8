"""Look: ask every adapter what it sees, side by side and each with a deadline, and put it into one `Observed`.

What does not answer is missing, never empty: a cluster that cannot be seen is not in `clusters`, a gateway that does
not answer is None.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from tidegate.base.clock import Clock
from tidegate.base.errors import TidegateError
from tidegate.control.traffic import Traffic
from tidegate.gateway.protocol import Gateway
from tidegate.model.admission import AdmissionSeen
from tidegate.model.observed import ClusterSeen, GatewaySeen, Intent, Observed, PoolLoad, ReplicaSeen
from tidegate.model.snapshot import pool_of
from tidegate.probes.protocol import Prober, ProbeTarget, Upstream
from tidegate.runtimes.protocol import Runtime
from tidegate.spec.resolve import PoolKey, PoolSpec

LOOK_S = 2.0  # a cluster that takes longer to answer is not seen this time


@dataclass(slots=True)
class Observer:
    """Holds the adapters that can be looked at. `faults` says, after each look, what could not be seen and why.

    `unstartable` holds replicas whose start failed: they are reported as ended until they are forgotten, so that the
    policy sees a failed start as what it is, a crash with a reason.
    """

    clock: Clock
    runtimes: dict[str, Runtime]
    prober: Prober
    gateway: Gateway
    gateway_url: str = ""
    revisions: dict[tuple[PoolKey, str], PoolSpec] = field(default_factory=dict)
    unstartable: dict[str, ReplicaSeen] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    gateway_closed: bool = False
    admission: AdmissionSeen = field(default_factory=AdmissionSeen)
    traffic: Traffic = field(default_factory=Traffic)
    _watched: set[str] = field(default_factory=set)

    def know(self, pools: Iterable[PoolSpec]) -> None:
        """Remember what each revision is, so that replicas of an old one are probed by their own rules."""
        for pool in pools:
            self.revisions[(pool.key, pool.revision)] = pool

    async def look(self, intents: tuple[Intent, ...]) -> Observed:
        """One observation of everything."""
        self.faults.clear()
        self.admission = AdmissionSeen()
        names = list(self.runtimes)
        views, (gateway, loads) = await asyncio.gather(
            asyncio.gather(*(self._cluster(name) for name in names)), self._gateway()
        )
        clusters: dict[str, ClusterSeen] = {}
        replicas: list[ReplicaSeen] = []
        for name, view in zip(names, views, strict=True):
            if view is not None:
                clusters[name] = view[1]
                replicas += view[0]
        known = {r.id for r in replicas}
        replicas += [r for r in self.unstartable.values() if r.id not in known]
        judged = tuple(self._judged(r) for r in sorted(replicas, key=lambda r: r.id))
        self._unwatch(judged, clusters)
        at = self.clock.wall()
        self.traffic.add(at, gateway)
        return Observed(at, judged, loads, clusters, gateway, intents)

    async def _cluster(self, name: str) -> tuple[tuple[ReplicaSeen, ...], ClusterSeen] | None:
        try:
            return await asyncio.wait_for(self.runtimes[name].observe(), LOOK_S)
        except (TidegateError, TimeoutError, OSError) as error:
            self.faults[f"cluster {name}"] = str(error) or f"no answer within {LOOK_S:g} s"
            return None

    async def _gateway(self) -> tuple[GatewaySeen | None, Mapping[PoolKey, PoolLoad]]:
        if self.gateway_closed:
            return GatewaySeen("closed"), {}
        try:
            seen, loads = await asyncio.wait_for(self.gateway.observe(), LOOK_S)
            # Counts of tenants are for `Tenancy` alone: no policy goes by them, so they are not part of a tick.
            self.admission = seen.admission
            return replace(seen, admission=AdmissionSeen()), with_canaries(loads)
        except (TidegateError, TimeoutError, OSError) as error:
            self.faults["gateway"] = str(error) or f"no answer within {LOOK_S:g} s"
            return None, {}

    def _judged(self, seen: ReplicaSeen) -> ReplicaSeen:
        """Add the probes' verdicts; start probing what is new and has an address."""
        pool = self.revisions.get((seen.key, seen.revision)) or self._any_revision(seen.key)
        if not seen.running or seen.address is None or pool is None:
            return seen
        if seen.id not in self._watched:
            self._watched.add(seen.id)
            self.prober.watch(self._target(seen, pool))
        v = self.prober.verdicts(seen.id)
        return replace(
            seen,
            startup=v.startup,
            prepared=v.prepared,
            readiness=v.readiness,
            liveness=v.liveness,
            verify=v.verify,
            detail=v.detail or seen.detail,
            remedy=v.remedy,
        )

    def _any_revision(self, key: PoolKey) -> PoolSpec | None:
        return next((p for (k, _), p in self.revisions.items() if k == key), None)

    def _target(self, seen: ReplicaSeen, pool: PoolSpec) -> ProbeTarget:
        service = pool.service
        return ProbeTarget(
            replica=seen.id,
            service=seen.key.service,
            address=seen.address or "",
            pid=seen.pid,
            directory=service.workingDir or str(Path.cwd()),
            env=pool.env,
            probes=service.probes,
            rollout=service.rollout,
            uses=service.uses,
            gateway=self.gateway_url,
            tls=service.tls,
            pool=seen.key.pool,
            revision=seen.revision,
            upstreams={name: up for name in service.uses if (up := self._upstream(name))},
            scripts=service.scripts,
        )

    def _upstream(self, service: str) -> Upstream | None:
        """Where a service answers through the gateway; None where it is not known (any more)."""
        pool = next((p for (k, _), p in reversed(self.revisions.items()) if k.service == service), None)
        if pool is None or not self.gateway_url:
            return None
        route = pool.service.route
        prefix = (route.pathPrefix or "").strip("/")
        host = route.hosts[0].replace("*", "probe") if route.hosts else ""
        return Upstream(f"{self.gateway_url.rstrip('/')}/{prefix}{'/' if prefix else ''}", host)

    def _unwatch(self, seen: tuple[ReplicaSeen, ...], clusters: Mapping[str, ClusterSeen]) -> None:
        """Stop probing what has ended; what cannot be seen now goes on being probed."""
        if len(clusters) < len(self.runtimes):
            return
        for name in self._watched - {r.id for r in seen if r.running}:
            self._watched.discard(name)
            self.prober.forget(name)


def with_canaries(loads: Mapping[PoolKey, PoolLoad]) -> Mapping[PoolKey, PoolLoad]:
    """The loads of pools, those of their canaries among them: to everybody else a pool is one."""
    found: dict[PoolKey, PoolLoad] = {}
    for key, load in loads.items():
        other = found.get(pool_of(key))
        found[pool_of(key)] = load if other is None else _plus(other, load)
    return found


def _plus(one: PoolLoad, other: PoolLoad) -> PoolLoad:
    added = {
        f.name: getattr(one, f.name) + getattr(other, f.name)
        for f in fields(one)
        if f.name not in ("at", "interval_s") and isinstance(getattr(one, f.name), int | float)
    }
    return replace(one, **added)
