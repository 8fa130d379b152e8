"""What is new in a status compared with the one before, as plain lines: the live table for pipes and logs."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.cli.output import clean
from tidegate.model.reasons import deciding
from tidegate.model.status import PoolStatus, ReplicaStatus, Status


def changes(before: Status | None, after: Status) -> list[str]:
    """Sentences about what changed, in the order people want to know it. Load alone is no change."""
    return [clean(line) for line in _lines(before, after)]


def _lines(before: Status | None, after: Status) -> Iterator[str]:
    if before is None or (before.gateway.up, before.gateway.url) != (after.gateway.up, after.gateway.url):
        if after.gateway.up:
            yield f"gateway answers at {after.gateway.url}"
        elif before is not None:
            yield f"gateway is down{_because(after.gateway.detail)}"
    known = before.gateway.warnings if before else ()
    yield from (f"warning: {warning}" for warning in after.gateway.warnings if warning not in known)
    if after.page and (before is None or before.page != after.page):
        yield f"status page at {after.page}"
    if after.stopping and not (before and before.stopping):
        yield "stopping: replicas are drained"
    yield from _clusters(before, after)
    old = _pools(before) if before else {}
    new = _pools(after)
    for key, pool in new.items():
        yield from _pool(key, old.get(key), pool)
    for key in sorted(old.keys() - new.keys()):
        if not after.stopping:
            yield f"{key}: no longer declared"
    yield from _replicas(before, after)


def _clusters(before: Status | None, after: Status) -> Iterator[str]:
    old = {c.name: c.healthy for c in before.clusters} if before else {}
    for cluster in after.clusters:
        if old.get(cluster.name, True) != cluster.healthy:
            state = "healthy again" if cluster.healthy else f"not healthy{_because(cluster.detail)}"
            yield f"cluster {cluster.name}: {state}"


def _pool(key: str, before: PoolStatus | None, after: PoolStatus) -> Iterator[str]:
    if before is None or before.wanted != after.wanted:
        came = f"{before.wanted} -> " if before else ""
        why = deciding(after.reasons, after.wanted)
        yield f"{key}: {came}{after.wanted} wanted{_because(why)}"
    if after.pending and (before is None or before.pending != after.pending):
        yield f"{key}: {after.pending} pending, they fit nowhere now"
    if before is not None and before.ready != after.ready:
        yield f"{key}: {after.ready} of {after.wanted} ready"


def _replicas(before: Status | None, after: Status) -> Iterator[str]:
    old = _by_id(before) if before else {}
    new = _by_id(after)
    for name, replica in new.items():
        was = old.get(name)
        if was is None or was.state != replica.state:
            came = f"{was.state} -> " if was else ""
            yield f"{name}: {came}{replica.state}{_because(replica.detail or replica.cause)}"
    for name in sorted(old.keys() - new.keys()):
        yield f"{name}: gone"


def _because(text: str) -> str:
    return f" ({text})" if text else ""


def _pools(status: Status) -> dict[str, PoolStatus]:
    return {f"{p.service}/{p.pool}": p for s in status.services for p in s.pools}


def _by_id(status: Status) -> dict[str, ReplicaStatus]:
    return {r.id: r for s in status.services for p in s.pools for r in p.replicas}
