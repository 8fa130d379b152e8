"""Where replicas go: which clusters a pool may use, in what order, and what room there is.

Filter (allowed, seen, healthy, open, tolerated, fits, within quota and spread), then take the best: the manifest's
order of preference, else the near and cheap for `interactive` pools and the cheapest for `batch` ones. What is there
stays there; what fits nowhere is pending and may displace `batch`. Room is reserved as it is given out, so nothing is
spent twice in a tick.

Laws (tests/laws/test_placement.py): never beyond capacity, quota or share; what fits somewhere is placed; an untouched
world moves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tidegate.model.observed import ClusterSeen
from tidegate.policy.distance import home_of, round_trip_s
from tidegate.spec.cluster import Capacity, Cluster
from tidegate.spec.common import Resources
from tidegate.spec.resolve import PoolSpec

ROOM_EPSILON = 1e-6  # cores are written with at most three decimals; sums of them carry rounding errors
RECLAIM_AFTER_S = 60.0  # a cluster must have had room this long before replicas are taken back to it
RECLAIM_MARGIN = 0.1  # and keep this share of its capacity free afterwards, or it would soon be left again
PAYBACK_S = 3600.0  # a move for money must pay for the time both replicas run within this time
PAYBACK_SHARE = 0.1  # and save at least this share of the price


@dataclass(slots=True)
class Room:
    """Free amounts per cluster during one tick; `take` reserves.

    `soon` is what draining replicas will give back. `pressed` collects the clusters in which something did not fit,
    `unseen` those that cannot be used now.
    """

    free: dict[str, dict[str, float]] = field(default_factory=dict)
    capacity: dict[str, Mapping[str, float]] = field(default_factory=dict)
    soon: dict[str, dict[str, float]] = field(default_factory=dict)
    quota: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    pressed: set[str] = field(default_factory=set)
    unseen: set[str] = field(default_factory=set)

    @staticmethod
    def of(clusters: Iterable[Cluster], seen: Mapping[str, ClusterSeen], resting: Container[str] = ()) -> Room:
        """Room in the clusters that are declared, can be seen, are healthy and take replicas (static ones do not).

        `resting` ones have shown that they have less than they say; nothing new is put there for a while.
        """
        room = Room()
        for cluster in clusters:
            view = seen.get(cluster.name)
            if view is None or not view.healthy:
                room.pressed.add(cluster.name)  # one that returns must prove itself before replicas are moved to it
                room.unseen.add(cluster.name)
                continue
            if cluster.spec.runtime == "static":
                continue
            room.capacity[cluster.name] = view.capacity
            room.free[cluster.name] = {k: amount - view.used.get(k, 0.0) for k, amount in view.capacity.items()}
            if cluster.name in resting:
                room.close(cluster.name)
            for service, quota in cluster.spec.quota.items():
                room.quota[(cluster.name, service)] = amounts_of(quota)
        return room

    def fits(self, cluster: str, pool: PoolSpec) -> bool:
        """Whether one more replica fits now; a resource the cluster does not name is one it does not have."""
        free, r = self.free.get(cluster), pool.resources
        if free is None or not self.allows(cluster, pool):
            return False
        enough = free.get("cpu", 0.0) + ROOM_EPSILON >= r.cpu and free.get("memory", 0.0) + ROOM_EPSILON >= r.memory
        if enough and all(free.get(f"gpu/{k}", 0.0) + ROOM_EPSILON >= n for k, n in r.gpu.items()):
            return True
        self.pressed.add(cluster)
        return False

    def allows(self, cluster: str, pool: PoolSpec) -> bool:
        """Whether the service's quota leaves room for one more replica."""
        quota = self.quota.get((cluster, pool.key.service))
        if quota is None:
            return True
        return all(quota[k] + ROOM_EPSILON >= a for k, a in pool.resources.amounts().items() if k in quota)

    def take(self, cluster: str, pool: PoolSpec) -> None:
        """Reserve the room of one replica."""
        _add(self.free[cluster], pool.resources, -1)
        self.charge(cluster, pool)

    def assume(self, cluster: str, pool: PoolSpec) -> None:
        """Reserve the room of a replica that was ordered and does not show in what is used there yet."""
        if cluster in self.free:
            _add(self.free[cluster], pool.resources, -1)

    def charge(self, cluster: str, pool: PoolSpec) -> None:
        """Count one replica that is there already against its service's quota."""
        quota = self.quota.get((cluster, pool.key.service))
        if quota is not None:
            for k, amount in pool.resources.amounts().items():
                if k in quota:
                    quota[k] -= amount

    def close(self, cluster: str) -> None:
        """Take it that there is no room in a cluster, whatever it says."""
        if cluster in self.free:
            self.pressed.add(cluster)
            self.free[cluster] = {k: min(0.0, amount) for k, amount in self.free[cluster].items()}

    def expect(self, cluster: str, resources: Resources) -> None:
        """Note that a draining replica will give back its room."""
        _add(self.soon.setdefault(cluster, {}), resources, 1)

    def unexpect(self, cluster: str, resources: Resources) -> None:
        """Take an expectation back."""
        _add(self.soon.setdefault(cluster, {}), resources, -1)

    def promise(self, cluster: str, pool: PoolSpec) -> bool:
        """Reserve room that will be given back soon, and of what is free the rest; False when it is not enough.

        The free part is taken, too: a smaller replica put there in the meantime would make the wait endless.
        """
        if cluster not in self.free or not self.allows(cluster, pool):
            return False
        free, soon = self.free[cluster], self.soon.setdefault(cluster, {})
        amounts = pool.resources.amounts()
        if any(free.get(k, 0.0) + soon.get(k, 0.0) + ROOM_EPSILON < amount for k, amount in amounts.items()):
            return False
        for k, amount in amounts.items():
            later = min(amount, soon.get(k, 0.0))
            soon[k] = soon.get(k, 0.0) - later
            free[k] = free.get(k, 0.0) - (amount - later)
        self.charge(cluster, pool)
        return True

    def roomy(self, cluster: str, pool: PoolSpec) -> bool:
        """Whether a replica fits and leaves the reclaim margin of every resource it uses free."""
        free, capacity = self.free.get(cluster), self.capacity.get(cluster, {})
        if free is None or not self.fits(cluster, pool):
            return False
        r = pool.resources
        for kind, amount in (("cpu", r.cpu), ("memory", r.memory)):
            if amount and free.get(kind, 0.0) - amount < RECLAIM_MARGIN * capacity.get(kind, 0.0):
                return False
        cards = ((f"gpu/{kind}", count) for kind, count in r.gpu.items() if count)
        return all(free.get(k, 0.0) - n >= RECLAIM_MARGIN * capacity.get(k, 0.0) for k, n in cards)


class Options(NamedTuple):
    """The clusters a pool may use, best first, and how many replicas each may have at most."""

    order: tuple[str, ...]
    most: int
    min_clusters: int


@dataclass(frozen=True, slots=True)
class Way:
    """Where callers are unless the manifest says so (the gateway's region), and round trips measured from there.

    Round trips from there, prices and orders of preference are looked up once: a fleet asks for the same ones for
    every pool. Of one tick only.
    """

    home: str = ""
    measured_s: Mapping[str, float] = field(default_factory=dict)
    known_s: dict[str, float] = field(default_factory=dict)
    prices: dict[tuple[object, ...], float] = field(default_factory=dict)
    orders: dict[tuple[object, ...], tuple[str, ...]] = field(default_factory=dict)


def options(pool: PoolSpec, clusters: Sequence[Cluster], wanted: int, way: Way | None = None) -> Options:
    """Filter and order clusters for a pool; near its users is near."""
    spec = pool.placement
    way = way or Way(home_of(clusters))
    if spec.users or spec.clusterSelector or spec.tolerations:
        return Options(_order(pool, clusters, way), most_in_one(pool, wanted), spec.spread.minClusters)
    r = pool.resources
    alike = (tuple(spec.clusters or ()), spec.latencyClass, r.cpu, r.memory, *r.gpu.items())
    order = way.orders.get(alike)
    if order is None:
        order = way.orders[alike] = _order(pool, clusters, way)
    return Options(order, most_in_one(pool, wanted), spec.spread.minClusters)


def _order(pool: PoolSpec, clusters: Sequence[Cluster], way: Way) -> tuple[str, ...]:
    """The clusters a pool may use, best first."""
    wished = pool.placement.clusters
    if wished:
        named = {c.name: c for c in clusters}
        return tuple(n for n in wished if (c := named.get(n)) is not None and _tolerates(pool, c))
    allowed = (c for c in clusters if _tolerates(pool, c))
    return tuple(c.name for c in sorted(allowed, key=lambda c: _rank(pool, c, clusters, way)))


def most_in_one(pool: PoolSpec, wanted: int) -> int:
    """How many of the wanted replicas may stand in one cluster: half of 5 are 3."""
    return max(1, math.ceil(pool.placement.spread.maxShare * wanted - ROOM_EPSILON)) if wanted else 0


def _rank(pool: PoolSpec, cluster: Cluster, clusters: Sequence[Cluster], way: Way) -> tuple[float, float, str]:
    r = pool.resources
    asked = (cluster.name, r.cpu, r.memory, *r.gpu.items())
    price = way.prices.get(asked)
    if price is None:
        price = way.prices[asked] = hourly_price(cluster, r)
    distance_s = mean_distance_s(pool, cluster, clusters, way)
    if pool.placement.latencyClass == "batch":
        return (price, -distance_s, cluster.name)
    return (distance_s, price, cluster.name)


def mean_distance_s(pool: PoolSpec, cluster: Cluster, clusters: Sequence[Cluster], way: Way) -> float:
    """The round trip from the users of a pool to a cluster, seconds."""
    users = pool.placement.users
    total = math.fsum(users.values()) if users else 0.0
    if not total:
        known_s = way.known_s.get(cluster.name)
        if known_s is None:
            known_s = way.known_s[cluster.name] = round_trip_s(way.home, cluster, clusters, way.measured_s)
        return known_s
    ways = ((s, r, way.measured_s if r == way.home else {}) for r, s in users.items())
    return math.fsum(s * round_trip_s(r, cluster, clusters, measured) for s, r, measured in ways) / total


def _tolerates(pool: PoolSpec, cluster: Cluster) -> bool:
    spec = pool.placement
    if not spec.clusterSelector and not cluster.spec.taints:
        return True
    selected = all(cluster.metadata.labels.get(k) == v for k, v in spec.clusterSelector.items())
    return selected and set(cluster.spec.taints) <= set(spec.tolerations)


def place(
    pool: PoolSpec, count: int, choice: Options, room: Room, *, there: Mapping[str, int], avoid: frozenset[str]
) -> tuple[str, ...]:
    """Clusters for up to `count` new replicas, room reserved; shorter than `count` when there is no more room.

    `there` counts the pool's replicas per cluster; clusters in `avoid` are used last of all (a start failed there a
    moment ago), closed ones must not be in `choice`.
    """
    have = dict(there)
    order = [*(c for c in choice.order if c not in avoid), *(c for c in choice.order if c in avoid)]
    placed: list[str] = []
    for _ in range(count):
        name = _best(pool, order, choice, room, have)
        if name is None:
            break
        room.take(name, pool)
        have[name] = have.get(name, 0) + 1
        placed.append(name)
    return tuple(placed)


def _best(pool: PoolSpec, order: Sequence[str], choice: Options, room: Room, have: Mapping[str, int]) -> str | None:
    used = sum(1 for n in have.values() if n)
    fresh_first = used < choice.min_clusters
    fallback = None
    for name in order:
        if have.get(name, 0) >= choice.most or not room.fits(name, pool):
            continue
        if not fresh_first or not have.get(name, 0):
            return name
        fallback = fallback or name
    return fallback


def better(
    pool: PoolSpec,
    cluster: Cluster,
    choice: Options,
    room: Room,
    clusters: Mapping[str, Cluster],
    *,
    pressed_at: Mapping[str, float],
    startup_s: float,
    at: float,
) -> str | None:
    """A cluster worth moving one replica to, or None: one earlier in the order that has had room for a while.

    With the manifest's own order any earlier cluster is better. Without one, the order is by distance or price, and a
    move for money alone must pay for the start-up during which two replicas run, and save a tenth.
    """
    for name in choice.order:
        if name == cluster.name:
            return None
        if at - pressed_at.get(name, -math.inf) < RECLAIM_AFTER_S:
            continue
        worth = bool(pool.placement.clusters) or _pays(pool, cluster, clusters[name], startup_s)
        if worth and room.roomy(name, pool):
            return name
    return None


def _pays(pool: PoolSpec, here: Cluster, there: Cluster, startup_s: float) -> bool:
    now, then = hourly_price(here, pool.resources), hourly_price(there, pool.resources)
    if pool.placement.latencyClass == "interactive" and here.spec.region != there.spec.region:
        return True  # the order is by distance: nearer is better at any price the manifest allows
    saved = (now - then) * PAYBACK_S / 3600
    return saved > then * startup_s / 3600 and now - then > PAYBACK_SHARE * now


def hourly_price(cluster: Cluster, resources: Resources) -> float:
    """Money one replica costs per hour in a cluster."""
    price = cluster.spec.price
    gib = resources.memory / 2**30
    cards = sum(n * price.gpu.get(kind, 0.0) for kind, n in resources.gpu.items())
    return resources.cpu * price.cpu + gib * price.memory + cards


def amounts_of(capacity: Capacity) -> dict[str, float]:
    """The amounts a quota names; what it leaves out is unlimited."""
    named = {"cpu": capacity.cpu, "memory": capacity.memory}
    return {k: float(a) for k, a in named.items() if a is not None} | {f"gpu/{k}": n for k, n in capacity.gpu.items()}


def _add(amounts: dict[str, float], resources: Resources, sign: int) -> None:
    for k, amount in resources.amounts().items():
        amounts[k] = amounts.get(k, 0.0) + sign * amount
