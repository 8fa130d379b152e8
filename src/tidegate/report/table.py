"""A report as rows that a person reads: what was measured, and the static fleet beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tidegate.base.units import format_seconds
from tidegate.report.durations import Spread
from tidegate.report.values import Measured, Report

NONE = "–"


@dataclass(frozen=True, slots=True)
class Row:
    """One number of the table in words: as measured, and as a static fleet and the other policies would have had it.

    "" where they have none.
    """

    name: str
    measured: str
    static: str = ""
    others: tuple[str, ...] = ()


def rows(of: Measured) -> tuple[Row, ...]:
    """The table of one pool, or of all."""
    static, traffic = of.static, of.traffic
    unpriced = (
        f" (+ {of.unpriced_h:.1f} replica-hours without a price)" if of.unpriced_h and of.cost is not None else ""
    )
    also = of.others
    hours = of.replica_h / of.mean_replicas if of.mean_replicas else 0.0
    preview: tuple[Row, ...] = ()
    if of.preview.times:
        preview = (
            Row("forecast in preview would add", f"{of.preview.replica_h:.2f} replica-hours, {of.preview.times}x"),
        )
    return (
        Row(
            "cost",
            money(of.cost) + unpriced,
            money(static.cost) if static else NONE,
            tuple(money(o.cost) for o in also),
        ),
        Row(
            "replica-hours",
            f"{of.replica_h:.2f}",
            f"{static.replica_h:.2f}" if static else NONE,
            tuple(f"{o.replica_h:.2f}" for o in also),
        ),
        Row(
            "replicas (mean)",
            f"{of.mean_replicas:.2f}",
            str(static.replicas) if static else NONE,
            tuple(f"{o.replica_h / hours:.2f}" if hours else NONE for o in also),
        ),
        Row(
            "utilisation",
            share(of.utilisation),
            share(static.utilisation) if static else NONE,
            tuple(share(o.utilisation) for o in also),
        ),
        Row("utilisation of ready replicas", share(of.utilisation_ready)),
        Row(
            _success_name(of),
            share(traffic.success),
            share(static.success) if static else NONE,
            tuple(share(o.success) for o in also),
        ),
        Row("requests", f"{traffic.arrivals:,}"),
        Row("failed, refused, given up", f"{traffic.failed:,}, {traffic.refused:,}, {traffic.gave_up:,}"),
        Row("scale-out: decision to ready", spread(of.scale_out)),
        Row("start-up of a replica", spread(of.start_up)),
        *([Row("start-up by phase, p95", phases(of))] if of.phases_p95_s else []),
        Row("upgrade: first new to last old", spread(of.upgrade)),
        *preview,
    )


def columns(of: Measured) -> tuple[str, ...]:
    """The heads of the table's columns of numbers."""
    return ("Tidegate, measured", "static fleet for the peak", *(f"{o.name}, simulated" for o in of.others))


def headline(report: Report) -> str:
    """The whole in one sentence."""
    total = report.total
    if total.traffic.success is None:
        return "No request ended in this window."
    text = f"{share(total.traffic.success)} of {total.traffic.ended:,} requests were answered in time"
    static = total.static
    if static and static.cost and total.cost is not None and not total.unpriced_h:
        return f"{text}, at {total.cost / static.cost:.0%} of what a static fleet for the peak would have cost."
    if static and static.replica_h:
        part = total.replica_h / static.replica_h
        return f"{text}, with {part:.0%} of the replica-hours of a static fleet for the peak."
    return f"{text}."


def verdict(of: Measured) -> str:
    """Whether the promise was kept, in a word or two; "" for several pools together."""
    if of.promised is None:
        return ""
    if of.traffic.success is None:
        return "no traffic"
    return "promise kept" if of.traffic.success >= of.promised else "promise broken"


def title(of: Measured) -> str:
    """The name of a pool, or "all"."""
    return f"{of.service}/{of.pool}" if of.service else "all"


def share(ratio: float | None) -> str:
    """A percentage, rounded down, with the digits that matter near one: 99.95% is not 99.9%."""
    if ratio is None:
        return NONE
    if ratio >= 1:
        return "100%"
    digits = 3 if ratio >= 0.99 else 1
    return f"{math.floor(ratio * 100 * 10**digits + 1e-9) / 10**digits:.{digits}f}%"


def money(cost: float | None) -> str:
    """A sum in the currency of the manifests' prices."""
    if cost is None:
        return "no price known"
    return f"{cost:,.2f}" if cost >= 1 or cost == 0 else f"{cost:.4f}"


def spread(of: Spread) -> str:
    """p50, p95 and how many; what had not ended is said."""
    still = f", {of.open} not ended" if of.open else ""
    if of.p50_s is None or of.p95_s is None:
        return (NONE + still).removeprefix(f"{NONE}, ") if still else NONE
    return f"p50 {format_seconds(of.p50_s)}, p95 {format_seconds(of.p95_s)} ({of.count}{still})"


def _success_name(of: Measured) -> str:
    if of.promised is None or of.within_s is None:
        return "answered in time"
    return f"answered within {format_seconds(of.within_s)} (promised {of.promised * 100:.6g}%)"


def phases(of: Measured) -> str:
    """The phases of a start that took time."""
    told = [f"{name} {took:.2f} s" for name, took in of.phases_p95_s.items() if took >= 0.005]
    return ", ".join(told) or "each below 5 ms"
