"""The routing snapshot that goes with a plan: which replicas of which pools may be given requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tidegate.model.lifecycle import ReplicaState
from tidegate.model.memory import ReplicaMemory
from tidegate.model.observed import ReplicaSeen, Verdict
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot, canary_key
from tidegate.spec.resolve import PoolKey, PoolSpec, Specs
from tidegate.spec.service import MediaService

Replica = tuple[str, ReplicaMemory, ReplicaSeen | None]
# Per pool: replicas of a new revision that get only requests with these headers.
Canaries = dict[PoolKey, tuple[frozenset[str], tuple[tuple[str, tuple[str, ...]], ...]]]
# A server: replica, address, draining, tier, weight.
Row = tuple[str, str, bool, int, int]
READY, DRAINING = ReplicaState.READY, ReplicaState.DRAINING
WEIGHT = 256  # of a replica that nothing was decided about


def snapshot(
    specs: Specs,
    replicas: Mapping[PoolKey, Iterable[Replica]],
    last: Mapping[str, str],
    held: frozenset[str] = frozenset(),
    weights: Mapping[str, int] | None = None,
    canaries: Canaries | None = None,
) -> Snapshot:
    """The whole routing state.

    `last` holds the last known address of replicas that cannot be seen now; `held` ones get no new requests though they
    are ready (the side of a blue-green rollout that does not serve). `weights` are those of `policy.weights`; 0 gives a
    replica no new requests.
    """
    kept: dict[str, _Known] = specs.kept.setdefault("routes", {})
    pools = _by_service(specs)
    how = _How(last, held, weights or {}, {c.name: i for i, c in enumerate(specs.clusters)}, canaries or {}, kept)
    known = [_known(s, pools[s.name], replicas, how) for s in specs.services]
    before, shot = specs.kept.get("snapshot", ((), None))
    if shot is None or len(before) != len(known) or any(a is not b for a, b in zip(before, known, strict=True)):
        shot = Snapshot.of(tuple(k.route for k in known), [k.text for k in known])
        specs.kept["snapshot"] = (known, shot)
    kept_shot: Snapshot = shot
    return kept_shot


def _by_service(specs: Specs) -> dict[str, tuple[PoolSpec, ...]]:
    """The pools of each service, the very same tuples while the manifests are the same."""
    of, known = specs.kept.get("pools", (None, {}))
    if of is not specs.pools:
        listed: dict[str, list[PoolSpec]] = {}
        for pool in specs.pools:
            listed.setdefault(pool.key.service, []).append(pool)
        known = {name: tuple(pools) for name, pools in listed.items()}
        specs.kept["pools"] = (specs.pools, known)
    found: dict[str, tuple[PoolSpec, ...]] = known
    return found


@dataclass(frozen=True, slots=True)
class _How:
    """What is known of replicas beside their lives: last addresses, who is held back, weights; routes made before."""

    last: Mapping[str, str]
    held: frozenset[str]
    weights: Mapping[str, int]
    clusters: Mapping[str, int]
    canaries: Canaries
    kept: dict[str, _Known]


@dataclass(frozen=True, slots=True)
class _Known:
    """The route that was made of these inputs, and its `repr`. `service` and `pools` are compared by identity."""

    service: MediaService
    pools: tuple[PoolSpec, ...]
    rows: list[list[Row]]
    canaries: list[object]
    route: ServiceRoute
    text: str

    def made_of(
        self, service: MediaService, pools: tuple[PoolSpec, ...], rows: list[list[Row]], canaries: list[object]
    ) -> bool:
        return self.service is service and self.pools is pools and self.rows == rows and self.canaries == canaries


def _known(
    service: MediaService, pools: tuple[PoolSpec, ...], replicas: Mapping[PoolKey, Iterable[Replica]], how: _How
) -> _Known:
    """The route of a service; from one tick to the next nearly all stay as they are, so the last one is kept."""
    rows = [_rows(pool, replicas.get(pool.key, ()), how) for pool in pools]
    canaries: list[object] = [how.canaries.get(pool.key) for pool in pools]
    last = how.kept.get(service.name)
    if last is not None and last.made_of(service, pools, rows, canaries):
        return last
    route = _service(service, pools, rows, how)
    made = how.kept[service.name] = _Known(service, pools, rows, canaries, route, repr(route))
    return made


def _service(service: MediaService, pools: Iterable[PoolSpec], rows: Iterable[list[Row]], how: _How) -> ServiceRoute:
    return ServiceRoute(
        service=service.name,
        route=service.spec.route,
        pools=tuple(r for pool, of in zip(pools, rows, strict=True) for r in _routes(pool_route(pool, of), how)),
        max_body_bytes=service.spec.maxBodyBytes,
        retry=service.spec.idempotent,
        accepts=service.spec.accepts,
        access=service.spec.access,
        media_by_url=service.spec.mediaByUrl,
    )


def _routes(pool: PoolRoute, how: _How) -> tuple[PoolRoute, ...]:
    """The pool, and before it the canary that takes some of its requests, while both have a replica that serves."""
    names, only = how.canaries.get(pool.key, (frozenset(), ()))
    apart = tuple(s for s in pool.servers if s.replica in names)
    rest = tuple(s for s in pool.servers if s.replica not in names)
    if not all(any(not s.draining for s in servers) for servers in (apart, rest)):
        return (pool,)
    key = canary_key(pool.key)
    canary = replace(pool, key=key, match=None, servers=apart, fallback=None, canary_of=pool.key.pool, only=only)
    return (canary, replace(pool, servers=rest))


def pool_route(pool: PoolSpec, rows: Iterable[Row]) -> PoolRoute:
    """A pool as the gateway knows it, with a server for each row."""
    queue = pool.service.queue
    return PoolRoute(
        key=pool.key,
        match=pool.match,
        servers=tuple(Server(n, a, pool.concurrency, d, tier, weight) for n, a, d, tier, weight in rows),
        slots_per_replica=pool.concurrency,
        queue_max_wait_s=queue.maxWaitSeconds or pool.promise.within,
        queue_max_length_per_slot=queue.maxLengthPerSlot,
        start_wait_s=queue.startWaitSeconds,
        request_timeout_s=pool.service.requestTimeoutSeconds,
        within_s=pool.promise.within,
        fallback=pool.fallback,
        tls=pool.service.tls,
        success=pool.promise.success,
    )


def _rows(pool: PoolSpec, replicas: Iterable[Replica], how: _How) -> list[Row]:
    """What servers there are, by name: ready replicas, and draining those that were ready; none of the others.

    A ready replica whose readiness probe fails takes no new requests; it may come back.
    """
    wished = pool.placement.clusters
    rank = {name: i for i, name in enumerate(wished)} if wished else how.clusters
    weights, held, rows = how.weights, how.held, list[Row]()
    for name, memory, seen in replicas:
        state = memory.state
        if memory.ready_at is None or memory.stop_sent_at is not None or (state is not READY and state is not DRAINING):
            continue
        address = (seen.address if seen is not None else None) or how.last.get(name)
        if address is None:
            continue
        weight = weights.get(name, WEIGHT)
        drains = state is DRAINING or not weight or name in held
        drains = drains or (seen is not None and seen.readiness is Verdict.FAIL)
        rows.append((name, address, drains, rank.get(memory.cluster, len(rank)), weight or WEIGHT))
    rows.sort()
    return rows
