"""A status as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidegate.base.units import format_bytes, format_seconds
from tidegate.cli.output import clean
from tidegate.cli.upgrades import sentence
from tidegate.model.reasons import deciding
from tidegate.model.status import ClusterStatus, PoolStatus, ReplicaStatus, Status

_STATE_STYLES = {"ready": "green", "starting": "cyan", "preparing": "cyan", "draining": "yellow", "gone": "dim"}


def render(status: Status, *, service: str | None = None, most_replicas: int | None = None) -> RenderableType:
    """Header, pools, replicas, clusters. `most_replicas` rows of replicas at most: a live table must fit its window."""
    pools = [p for s in status.services if service in (None, s.name) for p in s.pools]
    parts: list[RenderableType] = [_header(status), _pools(pools)]
    upgrades = [sentence(p) for p in pools if p.rollout is not None and p.rollout.phase != "stable"]
    parts += [Text(f"  {text}", style="yellow") for text in upgrades]
    replicas = [r for p in pools for r in p.replicas]
    if replicas:
        parts.append(_replicas(replicas[:most_replicas]))
    left_out = len(replicas) - len(replicas[:most_replicas])
    if left_out:
        parts.append(Text(f"  and {left_out} more replicas (`tidegate status` shows all)", style="dim"))
    if service is None and status.clusters:
        parts.append(_clusters(status.clusters))
    return Group(*parts)


def _header(status: Status) -> Text:
    text = Text()
    text.append(f"tidegate {status.version}", style="bold")
    text.append(f"  {'stopping' if status.stopping else 'up'} {format_seconds(max(0.0, status.uptime_s))}")
    gateway = status.gateway
    text.append("  gateway ")
    text.append(gateway.url or "none", style="" if gateway.up else "red")
    if not gateway.up:
        text.append(" down" + (f": {clean(gateway.detail)}" if gateway.detail else ""), style="red")
    if status.page:
        text.append(f"  page {status.page}")
    if gateway.refused:
        counts = ", ".join(f"{code} {count}" for code, count in sorted(gateway.refused.items()))
        text.append(f"\nrefused at the gateway: {counts}", style="dim")
    for warning in gateway.warnings:
        text.append(f"\nwarning: {clean(warning)}", style="yellow")
    return text


def _pools(pools: Iterable[PoolStatus]) -> Table:
    table = _table("POOL", "REPLICAS", "IN FLIGHT", "QUEUE", "REQ/S", "ANSWER", "WAIT", "IN TIME", "WHY")
    for pool in pools:
        table.add_row(
            f"{pool.service}/{pool.pool}",
            _count(pool),
            f"{pool.in_flight}/{pool.slots}",
            str(pool.queued),
            _number(pool.arrival_per_s),
            _ms(pool.service_ms_mean),
            _ms(pool.wait_ms_mean),
            "-" if pool.in_time_ratio is None else f"{100 * pool.in_time_ratio:.4g}%",
            Text(clean(deciding(pool.reasons, pool.wanted)) or "no decision yet", style="dim"),
        )
    return table


def _count(pool: PoolStatus) -> Text:
    """ "2/3" and what the others do."""
    others = [("starting", pool.starting), ("draining", pool.draining), ("pending", pool.pending)]
    text = Text(f"{pool.ready}/{pool.wanted}", style="green" if pool.ready >= pool.wanted else "yellow")
    said = ", ".join(f"{count} {word}" for word, count in others if count)
    return text.append(f" ({said})", style="red" if pool.pending else "dim") if said else text


def _replicas(replicas: Iterable[ReplicaStatus]) -> Table:
    table = _table("REPLICA", "STATE", "AGE", "CLUSTER", "ADDRESS", "IN FLIGHT", "RESTARTS", "DETAIL")
    for replica in replicas:
        table.add_row(
            replica.id,
            Text(replica.state, style=_STATE_STYLES.get(replica.state, "")),
            format_seconds(max(0.0, replica.age_s)),
            replica.cluster,
            replica.address or "-",
            str(replica.in_flight),
            str(replica.restarts),
            Text(clean(replica.detail or replica.cause), style="" if replica.detail else "dim"),
        )
    return table


def _clusters(clusters: Iterable[ClusterStatus]) -> Table:
    table = _table("CLUSTER", "RUNTIME", "REGION", "USED", "HEALTH")
    for cluster in clusters:
        health = Text("healthy", style="green") if cluster.healthy else Text("not healthy", style="red")
        if cluster.detail:
            health.append(f": {clean(cluster.detail)}")
        table.add_row(cluster.name, cluster.runtime, cluster.region, _used(cluster), health)
    return table


def _used(cluster: ClusterStatus) -> str:
    if cluster.capacity is None:
        return "cannot be seen now"
    used = cluster.used or {}
    return ", ".join(
        f"{name} {_amount(name, used.get(name, 0.0))}/{_amount(name, most)}" for name, most in cluster.capacity.items()
    )


def _amount(name: str, amount: float) -> str:
    return format_bytes(int(amount)) if name == "memory" else f"{amount:g}"


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _ms(value: float | None) -> str:
    return "-" if value is None else format_seconds(value / 1000)
