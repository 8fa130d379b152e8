"""A run, or several of the same requests, as one HTML file that works without a network.

Charts: uPlot (MIT), inlined from `assets`. Everything that is drawn is in the page as JSON.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from tidegate.sim.result import PoolResult, Result
from tidegate.sim.series import Bin
from tidegate.spec.resolve import PoolKey

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>{plot_css}{css}</style></head><body>
<h1>{headline}</h1><p class="about">{about}</p>
{notes}<div id="pools"></div><div id="cards" class="cards"></div><div id="table"></div>
<p class="hint">{hint}Times are UTC. Drag over a chart to zoom, double-click to see everything.</p>
<div id="charts"></div><div id="events"></div>
<footer>{footer}</footer>
<script type="application/json" id="data">{data}</script>
<script>{plot_js}</script><script>{js}</script></body></html>
"""


MOST_EVENTS = 60


@dataclass(frozen=True, slots=True)
class Run:
    """A policy's name, a few words about it, and what it gave."""

    name: str
    title: str
    result: Result


def page(runs: Sequence[Run], *, command: str, about: str) -> str:
    """The page; the first run is the one it is about, the others are beside it."""
    result = runs[0].result
    notes = "".join(f"<li>{html.escape(w)}</li>" for w in result.warnings)
    return _PAGE.format(
        title="Tidegate simulation",
        plot_css=_asset("uPlot.min.css"),
        css=_asset("page.css"),
        headline=headline(runs),
        about=html.escape(about),
        notes=f'<ul class="notes">{notes}</ul>' if notes else "",
        footer=f"Every request is simulated. Repeat this run: <code>{html.escape(command)}</code>",
        hint="Click a row of the table to draw it or leave it out. " if len(runs) > 1 else "",
        data=json.dumps(_data(runs), separators=(",", ":")).replace("<", "\\u003c"),
        plot_js=_asset("uPlot.iife.min.js").replace("</script", "<\\/script"),
        js=_asset("page.js"),
    )


def headline(runs: Sequence[Run]) -> str:
    """One sentence, as HTML."""
    run = runs[0]
    result, name = run.result, html.escape(run.name)
    requests = sum(p.total.arrivals for p in result.pools)
    tone = "" if result.kept else ' class="bad"'
    share = f"<b{tone}>{_floor_percent(result.success)}</b>"
    sentence = f"{name} answered {share} of {requests:,} requests in time and used <b>{result.utilization:.0%}</b> "
    sentence += "of what was paid for"
    others = {r.name: r.result for r in runs[1:]}
    if "static" in others:
        sentence += _beside_static(result, others["static"])
    return sentence + "."


def _beside_static(ours: Result, static: Result) -> str:
    """In money where there are prices: replica-hours of different sizes and places do not add up."""
    if static.cost and ours.cost:
        saved, word, less, more, what = 1 - ours.cost / static.cost, "at", "less", "more", "cost"
    elif static.replica_hours:
        saved, word, what = 1 - ours.replica_hours / static.replica_hours, "with", "replica-hours"
        less, more = "fewer", "more"
    else:
        return ""
    return f", {word} {abs(saved):.0%} {less if saved >= 0 else more} {what} than a fixed fleet for the peak"


def _floor_percent(share: float) -> str:
    """Rounded down, so that nothing below a promise reads as if it kept it."""
    return f"{int(share * 100_000) / 1000:.3f}%"


def _data(runs: Sequence[Run]) -> dict[str, Any]:
    result = runs[0].result
    priced = any(p.cost > 0 for p in result.pools)
    busiest_first = sorted(range(len(result.pools)), key=lambda i: -result.pools[i].total.arrivals)
    return {
        "priced": priced,
        "countedFrom": result.epoch + result.counted_from_s,
        "policies": [{"name": r.name, "title": r.title} for r in runs],
        "faults": [{"from": result.epoch + f.at, "to": result.epoch + f.ends, "name": f.kind} for f in result.faults],
        "pools": [_pool(_same_pool(runs, result.pools[i].key), result, priced) for i in busiest_first],
        "events": [[round(result.epoch + at, 1), text] for at, text in result.events[:MOST_EVENTS]],
        "moreEvents": max(0, len(result.events) - MOST_EVENTS),
    }


def _same_pool(runs: Sequence[Run], key: PoolKey) -> list[PoolResult | None]:
    """One pool in every run; None where other manifests do not have it."""
    return [next((p for p in run.result.pools if p.key == key), None) for run in runs]


def _pool(of: Sequence[PoolResult | None], run: Result, priced: bool) -> dict[str, Any]:
    first = of[0]
    assert first is not None, "the pools are those of the first run"
    bins = first.series.bins
    work_s = first.total.busy_slot_s / max(1, first.total.finished)
    rates = [_rate(b.arrivals, b) for b in bins]
    return {
        "name": str(first.key) if first.key.pool != "default" else first.key.service,
        "within": first.within_s,
        "promised": first.promised,
        "at": [round(run.epoch + b.at, 1) for b in bins],
        "rps": rates,
        "needed": [None if r is None else _short(r * work_s / first.slots) for r in rates],
        "runs": [_lines(p, len(bins), priced, run.counted_from_s) if p is not None else None for p in of],
        "where": _where(bins),
    }


def _where(bins: Sequence[Bin]) -> dict[str, list[float | None]]:
    """Replicas by cluster, where there are several."""
    names = sorted({cluster for b in bins for cluster in b.where})
    return {n: [_rate(b.where.get(n, 0.0), b) for b in bins] for n in names} if len(names) > 1 else {}


def _lines(pool: PoolResult, count: int, priced: bool, counted_from_s: float) -> dict[str, Any]:
    bins = [*pool.series.bins, *[Bin(0.0)] * count][:count]
    cost, sums = 0.0, []
    for b in bins:
        if b.at + b.seconds / 2 >= counted_from_s:
            cost += b.cost if priced else (b.ready_s + b.starting_s + b.draining_s) / 3600
        sums.append(_short(cost))
    return {
        "lost": [_rate(b.ended - b.in_time, b) for b in bins],
        "wanted": [b.wanted if b.seconds else None for b in bins],
        "ready": [_rate(b.ready_s, b) for b in bins],
        "queue": [_rate(b.queued_s, b) for b in bins],
        "ok": [round(b.in_time / b.ended, 6) if b.ended else None for b in bins],
        "cost": sums,
        "numbers": pool.numbers(),
    }


def _rate(amount: float, of: Bin) -> float | None:
    return _short(amount / of.seconds) if of.seconds else None


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _asset(name: str) -> str:
    return (files("tidegate.sim") / "assets" / name).read_text("utf-8")
