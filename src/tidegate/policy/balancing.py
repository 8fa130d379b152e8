"""From what a tick has in hand to the weights of all pools: who serves, how far away, who calls. See `weights`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.model.lifecycle import ReplicaState
from tidegate.model.memory import BalanceMemory, ReplicaMemory
from tidegate.model.observed import Observed, PoolLoad, ReplicaSeen, Verdict
from tidegate.model.plan import PoolPlan
from tidegate.policy import outliers, weights
from tidegate.policy.distance import home_of, measure, round_trip_s, stepped
from tidegate.policy.lifecycle import STATIC
from tidegate.policy.outliers import Served
from tidegate.policy.weights import Balance, Looked, Place
from tidegate.policy.work import Work
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolKey, PoolSpec, Specs

Replica = tuple[str, ReplicaMemory, ReplicaSeen | None]
READY, FAIL = ReplicaState.READY, Verdict.FAIL
EJECTED = "does worse than its peers again and again"  # the `leaving` of a replica that was out too often


@dataclass(slots=True)
class Balancer:
    """Balances the pools of one tick; mutable, for that tick only."""

    specs: Specs
    observed: Observed
    clusters: Mapping[str, Cluster]
    home: str
    round_trips_s: Mapping[str, float]
    at_home: Mapping[str, float]  # the origins of what only users of no stated region call
    ways_s: dict[tuple[str, str], float] = field(default_factory=dict)
    near: dict[tuple[bool, str], Place] = field(default_factory=dict)
    callers: dict[str, list[str]] = field(default_factory=dict)

    @staticmethod
    def of(specs: Specs, observed: Observed, round_trips_s: Mapping[str, float]) -> Balancer:
        """`round_trips_s` are the measured ones of earlier ticks, by cluster."""
        clusters = {c.name: c for c in specs.clusters}
        home = home_of(specs.clusters)
        made = Balancer(specs, observed, clusters, home, round_trips_s, {home: 1.0})
        for service in specs.services:
            for used in service.spec.uses:
                made.callers.setdefault(used, []).append(service.name)
        return made

    def measured(self, replicas: Iterable[Replica]) -> dict[str, float]:
        """Round trips by cluster with this look in them: the least of each cluster's replicas."""
        gateway = self.observed.gateway
        if gateway is None:
            return dict(self.round_trips_s)
        least: dict[str, float] = {}
        servers = gateway.servers
        for name, memory, _ in replicas:
            server = servers.get(name)
            if server is not None and server.connect_s is not None and server.up:
                least[memory.cluster] = min(server.connect_s, least.get(memory.cluster, math.inf))
        return measure(self.round_trips_s, least)

    def pool(
        self,
        spec: PoolSpec,
        order: Sequence[str],
        replicas: Iterable[Replica],
        held: frozenset[str],
        memory: BalanceMemory,
        regions: Mapping[str, Mapping[str, float]],
    ) -> Balance | None:
        """The weights of one pool; None when nothing of it serves.

        `order` is that of preference, `held` ones get no requests, `regions` says where each service's slots are.
        """
        served: list[Served] = []
        counts: dict[str, int] = {}
        ways_s: dict[str, float] = {}
        servers = self.observed.gateway.servers if self.observed.gateway is not None else {}
        for name, m, seen in replicas:
            if m.state is not READY or name in held or (seen is not None and seen.readiness is FAIL):
                continue
            server = servers.get(name)
            if seen is None and server is not None and not server.up:
                continue  # lost, or hanging; one that is seen rests for a moment after failures
            cluster = m.cluster
            if cluster in counts:
                counts[cluster] += 1
            else:
                counts[cluster], ways_s[cluster] = 1, self.way_s(self.home, cluster)
            if server is None or not (server.finished or server.failed):
                served.append(Served(name, (cluster, m.revision)))
                continue
            finished = server.finished
            service_s = max(0.0, server.service_s_sum - finished * ways_s[cluster])
            served.append(Served(name, (cluster, m.revision), finished, server.failed, service_s))
        if not served:
            return None
        load = self.observed.loads.get(spec.key)
        origins = self._origins(spec, regions)
        rank = {name: i for i, name in enumerate(order)}
        names = sorted(counts, key=lambda c: (rank.get(c, len(rank)), c))
        places = [self._place(spec, c, counts[c] * spec.concurrency, origins) for c in names]
        looked = Looked(self.observed.at, served, _offered(load), load.service_s2_sum if load else 0.0, origins)
        return weights.balance(spec.key, places, looked, memory)

    def way_s(self, region: str, cluster: str) -> float:
        """The round trip from a region to a cluster, looked up once."""
        known = self.ways_s.get((region, cluster))
        if known is None:
            there = self.clusters.get(cluster)
            measured = stepped(self.round_trips_s) if region == self.home else {}
            known = round_trip_s(region, there, self.specs.clusters, measured) if there is not None else 0.0
            self.ways_s[(region, cluster)] = known
        return known

    def _place(self, spec: PoolSpec, cluster: str, slots: int, origins: Mapping[str, float]) -> Place:
        """Where the manifest gives an order, that is the order for calls from the gateway's region."""
        listed = bool(spec.placement.clusters)
        if origins is self.at_home and (known := self.near.get((listed, cluster))) is not None:
            return Place(cluster, slots, known.distance_s, known.rank)
        rank = {r: 0.0 if listed and r == self.home else self.way_s(r, cluster) for r in origins}
        distance_s = math.fsum(share * self.way_s(r, cluster) for r, share in origins.items())
        made = Place(cluster, slots, distance_s, rank)
        if origins is self.at_home:
            self.near[(listed, cluster)] = made
        return made

    def _origins(self, spec: PoolSpec, regions: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
        users: Mapping[str, float] = spec.placement.users
        if not users or not math.fsum(users.values()):
            users = self.at_home
        names = self.callers.get(spec.key.service)
        if not names and users is self.at_home:
            return users
        if not names:
            total = math.fsum(users.values())
            return {r: share / total for r, share in users.items() if share}
        loads = self.observed.loads
        callers = [(_rate(loads, name), regions.get(name, {})) for name in names]
        return weights.origins_of(users, callers, _rate(loads, spec.key.service))

    def regions(self, replicas: Mapping[PoolKey, Iterable[Replica]]) -> dict[str, dict[str, float]]:
        """For each service that calls another one: the share of its ready replicas in each region."""
        found: dict[str, dict[str, float]] = {}
        for names in self.callers.values():
            for name in names:
                counts: dict[str, float] = {}
                for spec in self.specs.pools:
                    for _, m, _ in replicas.get(spec.key, ()) if spec.key.service == name else ():
                        cluster = self.clusters.get(m.cluster)
                        if m.state is READY and cluster is not None:
                            region = cluster.spec.region
                            counts[region] = counts.get(region, 0.0) + 1
                total = sum(counts.values())
                found[name] = {region: n / total for region, n in counts.items()}
        return found


def _rate(loads: Mapping[PoolKey, PoolLoad], service: str) -> float:
    """Requests a second that a service is asked."""
    return sum(load.arrivals / load.interval_s for k, load in loads.items() if k.service == service and load.interval_s)


def _offered(load: PoolLoad | None) -> float:
    """Slots that are busy on average at this load: requests a second times the seconds each takes."""
    if load is None or not load.interval_s or not load.finished:
        return 0.0
    return load.arrivals / load.interval_s * load.service_s_sum / load.finished


def balance(work: Work, replicas: Mapping[PoolKey, list[Replica]], plans: dict[PoolKey, PoolPlan]) -> dict[str, int]:
    """The weight of every replica that serves; the plans are told the weights of their clusters."""
    balancer = Balancer.of(work.specs, work.observed, work.before.round_trips_s)
    work.round_trips_s = balancer.measured(r for of_pool in replicas.values() for r in of_pool)
    regions, held, weights = balancer.regions(replicas), frozenset(work.held), dict[str, int]()
    for spec in work.specs.pools:
        pool = work.pools[spec.key]
        mine = replicas.get(spec.key, ())
        balance = balancer.pool(spec, work.orders[spec.key], mine, held, pool.balance, regions)
        if balance is None:
            continue
        weights.update(balance.replicas)
        work.ejections += balance.steps
        work.pools[spec.key] = pool.now(balance=balance.memory)
        plans[spec.key] = plans[spec.key].weighted(balance.clusters)
        _replace_stubborn(work, mine, balance.memory)
    return weights


def _replace_stubborn(work: Work, mine: Iterable[Replica], memory: BalanceMemory) -> None:
    """Let a replica that was out again and again be replaced, one at a time."""
    again = frozenset(outliers.stubborn(memory.replicas))
    if not again:
        return
    standing = [(n, m) for n, m, _ in mine if m.state is READY and m.revision != STATIC]
    if any(m.leaving == EJECTED for _, m in standing):
        return
    chosen = next(((n, m) for n, m in standing if n in again and not m.leaving), None)
    if chosen is not None:
        work.replicas[chosen[0]] = replace(chosen[1], leaving=EJECTED)
