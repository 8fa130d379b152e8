"""Tenants and keys as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich import box
from rich.table import Table

from tidegate.base.units import format_bytes
from tidegate.cli.output import clean
from tidegate.model.tenancy import KeyStatus, TenancyStatus, TenantStatus


def tenant_table(tenancy: TenancyStatus) -> Table:
    """One row per tenant; `-` where there is no limit."""
    names = ("TENANT", "SERVICES", "PRIORITY", "WEIGHT", "RATE", "IN PROGRESS", "TODAY", "BYTES TODAY")
    table = _table(*names, "MEDIA TODAY", "KEYS", "ANSWERED", "IN TIME", "FAILED", "REFUSED")
    for t in tenancy.tenants:
        table.add_row(t.name, ", ".join(t.services) or "none", t.priority, str(t.weight), *_limits(t), *_counts(t))
    return table


def key_table(keys: Sequence[KeyStatus]) -> Table:
    """One row per key."""
    table = _table("KEY", "TENANT", "STATE", "BEGINS WITH", "CREATED", "EXPIRES", "LAST USED", "NOTE")
    for k in keys:
        times = (_when(k.created_at), _when(k.expires_at), _when(k.last_used_at))
        table.add_row(k.id, k.tenant, k.state, f"{k.hint}...", *times, clean(k.note))
    return table


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=False)
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _limits(t: TenantStatus) -> tuple[str, ...]:
    rate = "-" if t.requests_per_s is None else f"{t.requests_per_s:g}/s, burst {t.burst}"
    most = "" if t.concurrency is None else f" of {t.concurrency}"
    requests = f"{t.requests_today}{'' if t.requests_per_day is None else f' of {t.requests_per_day}'}"
    waiting = f", {t.queued} waiting" if t.queued else ""
    sent = f"{format_bytes(t.bytes_today)}{'' if t.bytes_per_day is None else f' of {format_bytes(t.bytes_per_day)}'}"
    spent = f" (spent until {_when(t.day_ends_at)})" if t.spent else ""
    return rate, f"{t.in_progress}{most}{waiting}", f"{requests}{spent}", sent, _media(t), str(t.active_keys)


def _media(t: TenantStatus) -> str:
    """Megapixels, and seconds where there are any."""
    pixels = f"{t.megapixels_today:.1f}{'' if t.megapixels_per_day is None else f' of {t.megapixels_per_day:g}'} MP"
    limit = "" if t.media_seconds_per_day is None else f" of {t.media_seconds_per_day:g}"
    return f"{pixels}, {t.media_seconds_today:.1f}{limit} s" if t.media_seconds_today or limit else pixels


def _counts(t: TenantStatus) -> tuple[str, ...]:
    in_time = f"{100 * t.in_time / (t.worked + t.failed):.2f}%" if t.worked + t.failed else "-"
    return str(t.worked), in_time, str(t.failed), _refused(t.refused) or "0"


def _refused(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{code} {count}" for code, count in sorted(counts.items()))


def _when(at: float | None) -> str:
    return "-" if at is None else datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")
