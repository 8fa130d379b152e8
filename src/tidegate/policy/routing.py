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
    pools: dict[str, list[PoolSpec]] = {}
    for pool in specs.pools:
        pools.setdefault(pool.key.service, []).append(pool)
    how = _How(last, held, weights or {}, {c.name: i for i, c in enumerate(specs.clusters)}, canaries or {})
    return Snapshot.of(tuple(_service(s, pools[s.name], replicas, how) for s in specs.services))


@dataclass(frozen=True, slots=True)
class _How:
    """What is known of replicas beside their lives: last addresses, who is held back, weights."""

    last: Mapping[str, str]
    held: frozenset[str]
    weights: Mapping[str, int]
    clusters: Mapping[str, int]
    canaries: Canaries


def _service(
    service: MediaService,
    pools: list[PoolSpec],
    replicas: Mapping[PoolKey, Iterable[Replica]],
    how: _How,
) -> ServiceRoute:
    return ServiceRoute(
        service=service.name,
        route=service.spec.route,
        pools=tuple(r for pool in pools for r in _routes(_pool(pool, replicas.get(pool.key, ()), how), how)),
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


def _pool(pool: PoolSpec, replicas: Iterable[Replica], how: _How) -> PoolRoute:
    rank = {name: i for i, name in enumerate(pool.placement.clusters)} or how.clusters
    servers = (_server(r, pool, rank, how) for r in replicas)
    queue = pool.service.queue
    return PoolRoute(
        key=pool.key,
        match=pool.match,
        servers=tuple(sorted((s for s in servers if s is not None), key=lambda s: s.replica)),
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


def _server(replica: Replica, pool: PoolSpec, rank: Mapping[str, int], how: _How) -> Server | None:
    """A server for a ready replica, a draining one for a replica that was ready; None for all others.

    A ready replica whose readiness probe fails takes no new requests; it may come back.
    """
    name, memory, seen = replica
    address = (seen.address if seen is not None else None) or how.last.get(name)
    if address is None or memory.ready_at is None or memory.stop_sent_at is not None:
        return None
    if memory.state not in (ReplicaState.READY, ReplicaState.DRAINING):
        return None
    unready = seen is not None and seen.readiness is Verdict.FAIL
    weight = how.weights.get(name, WEIGHT)
    return Server(
        replica=name,
        address=address,
        slots=pool.concurrency,
        draining=memory.state is ReplicaState.DRAINING or unready or name in how.held or not weight,
        tier=rank.get(memory.cluster, len(rank)),
        weight=weight or WEIGHT,
    )
