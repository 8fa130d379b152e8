"""Clusters as a table, and an outlook (`plan --what-if`) in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from tidegate.base.units import format_bytes
from tidegate.base.wording import counted
from tidegate.cli.output import clean
from tidegate.model.outlook import Outlook, PoolOutlook
from tidegate.model.status import ClusterStatus

_PER = {"cpu": "core", "memory": "GiB"}


def render(clusters: Sequence[ClusterStatus]) -> Table:
    """One row per cluster and resource; what holds for the whole cluster stands in its first row."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=False)
    for name in ("CLUSTER", "RUNTIME", "REGION", "RESOURCE", "CAPACITY", "USED", "FREE"):
        table.add_column(name, overflow="fold")
    for name in ("REPLICAS", "PENDING", "HEALTH", "DISTANCE", "PRICE/H", "COST/H", "QUOTA"):
        table.add_column(name, overflow="fold")
    for cluster in clusters:
        whole = [cluster.name, cluster.runtime, f"{cluster.region}/{cluster.zone}" if cluster.zone else cluster.region]
        rest = [str(cluster.replicas), str(cluster.pending), _health(cluster), f"{1000 * cluster.distance_s:.3g} ms"]
        rest += [_prices(cluster.prices), f"{cluster.cost_per_hour:g}", _quotas(cluster.quotas)]
        amounts = [[n, *_amounts(n, a, (cluster.used or {}).get(n, 0.0))] for n, a in (cluster.capacity or {}).items()]
        for i, row in enumerate(amounts or [["-", "-", "-", "-"]]):
            table.add_row(*(whole if i == 0 else ["", "", ""]), *row, *(rest if i == 0 else [""] * len(rest)))
    return table


def print_outlook(outlook: Outlook) -> None:
    """The answer first, then every pool that changes, then the money."""
    typer.secho(f"survives: {'yes' if outlook.survives else 'no'}", bold=True)
    typer.echo(f"  if {clean(' and '.join(outlook.changes))}")
    if not outlook.settled:
        typer.echo(f"  (still moving after {outlook.after_s:g} s; this is how far it came)")
    touched = [p for p in outlook.pools if p.before != p.after or p.pending]
    for pool in touched:
        typer.echo(f"  {pool.service}/{pool.pool}: {_told(pool)}")
    same = len(outlook.pools) - len(touched)
    if same:
        typer.echo(f"  {counted(same, 'pool')} as before" if touched else "  every pool as before")
    typer.echo(f"  cost per hour: {outlook.cost_per_hour_before:g} -> {outlook.cost_per_hour_after:g}")


def _told(pool: PoolOutlook) -> str:
    placed = f"{_where(pool.before)} -> {_where(pool.after)}"
    if not pool.pending:
        return f"{pool.wanted} wanted, {placed}"
    came = f" (already {pool.pending_before} before)" if pool.pending_before else ""
    return f"{pool.wanted} wanted, {pool.pending} pending{came}, {placed}"


def _where(counts: Mapping[str, int]) -> str:
    return " + ".join(f"{count} in {clean(name)}" for name, count in counts.items()) or "none"


def _health(cluster: ClusterStatus) -> str | Text:
    word = "healthy" if cluster.healthy else "cannot be seen" if cluster.capacity is None else "not healthy"
    text = Text(word, style="green" if cluster.healthy else "red")
    text.append(", drained by an operator" if cluster.drained else "", style="yellow")
    return text.append(f": {clean(cluster.detail)}") if cluster.detail else text


def _prices(prices: Mapping[str, float]) -> str:
    return ", ".join(f"{price:g} per {_PER.get(name, name)}" for name, price in prices.items()) or "-"


def _quotas(quotas: Mapping[str, Mapping[str, float]]) -> str:
    told = (
        f"{clean(service)}: {', '.join(_amount(n, a) for n, a in quota.items())}" for service, quota in quotas.items()
    )
    return "; ".join(told) or "-"


def _amount(name: str, amount: float) -> str:
    return f"{name} {format_bytes(int(amount)) if name == 'memory' else f'{amount:g}'}"


def _amounts(name: str, capacity: float, used: float) -> tuple[str, str, str]:
    def shown(amount: float) -> str:
        return format_bytes(int(amount)) if name == "memory" else f"{amount:g}"

    return shown(capacity), shown(used), shown(max(0.0, capacity - used))
