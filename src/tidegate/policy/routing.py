"""The routing snapshot that goes with a plan: which replicas of which pools may be given requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidegate.model.lifecycle import ReplicaState
from tidegate.model.memory import ReplicaMemory
from tidegate.model.observed import ReplicaSeen, Verdict
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot
from tidegate.spec.resolve import PoolKey, PoolSpec, Specs
from tidegate.spec.service import MediaService

Replica = tuple[str, ReplicaMemory, ReplicaSeen | None]


def snapshot(
    specs: Specs,
    replicas: Mapping[PoolKey, Iterable[Replica]],
    last: Mapping[str, str],
    held: frozenset[str] = frozenset(),
) -> Snapshot:
    """The whole routing state.

    `last` holds the last known address of replicas that cannot be seen now; `held` ones get no new requests though they
    are ready (the side of a blue-green rollout that does not serve).
    """
    pools: dict[str, list[PoolSpec]] = {}
    for pool in specs.pools:
        pools.setdefault(pool.key.service, []).append(pool)
    return Snapshot.of(tuple(_service(s, pools[s.name], replicas, last, held) for s in specs.services))


def _service(
    service: MediaService,
    pools: list[PoolSpec],
    replicas: Mapping[PoolKey, Iterable[Replica]],
    last: Mapping[str, str],
    held: frozenset[str],
) -> ServiceRoute:
    return ServiceRoute(
        service=service.name,
        route=service.spec.route,
        pools=tuple(_pool(pool, replicas.get(pool.key, ()), last, held) for pool in pools),
        max_body_bytes=service.spec.maxBodyBytes,
        retry=service.spec.idempotent,
        accepts=service.spec.accepts,
    )


def _pool(pool: PoolSpec, replicas: Iterable[Replica], last: Mapping[str, str], held: frozenset[str]) -> PoolRoute:
    rank = {name: i for i, name in enumerate(pool.placement.clusters)}
    servers = (_server(r, pool, rank, last, held) for r in replicas)
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
    )


def _server(
    replica: Replica, pool: PoolSpec, rank: Mapping[str, int], last: Mapping[str, str], held: frozenset[str]
) -> Server | None:
    """A server for a ready replica, a draining one for a replica that was ready; None for all others.

    A ready replica whose readiness probe fails takes no new requests; it may come back.
    """
    name, memory, seen = replica
    address = (seen.address if seen is not None else None) or last.get(name)
    if address is None or memory.ready_at is None or memory.stop_sent_at is not None:
        return None
    if memory.state not in (ReplicaState.READY, ReplicaState.DRAINING):
        return None
    unready = seen is not None and seen.readiness is Verdict.FAIL
    return Server(
        replica=name,
        address=address,
        slots=pool.concurrency,
        draining=memory.state is ReplicaState.DRAINING or unready or name in held,
        tier=rank.get(memory.cluster, len(rank)),
    )
