"""How `tidegate simulate` tells what runs gave: tables, JSON, the page."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from tidegate.base.units import format_seconds
from tidegate.base.wording import counted
from tidegate.cli.output import clean, console, percent
from tidegate.cli.scenario import Asked, CannotSimulate
from tidegate.cli.simulate import command_line
from tidegate.sim import page, shapes
from tidegate.sim.histogram import Histogram
from tidegate.sim.page import Run
from tidegate.sim.result import QUANTILES, PoolResult, Result

MOST_EVENTS = 8
HOUR_S = 3600.0


def show(runs: Sequence[Run]) -> None:
    """Tables for people: the run pool by pool, then the comparison."""
    out = console()
    priced = any(r.result.cost for r in runs)
    for pool in runs[0].result.pools:
        if not pool.total.arrivals:
            out.print(f"[dim]{clean(str(pool.key))}: no requests, {pool.replica_hours:,.1f} replica-hours[/]")
            continue
        table = Table(title=f"{clean(str(pool.key))} under {clean(runs[0].name)}", title_justify="left", box=None)
        table.add_column("", style="dim")
        table.add_column("")
        for name, value in _facts(pool, priced):
            table.add_row(name, value)
        out.print(table)
    if len(runs) > 1:
        out.print(_comparison(runs, priced))
    events = runs[0].result.events
    for at, text in events[:MOST_EVENTS]:
        out.print(f"[dim]{format_seconds(at):>12}[/]  {clean(text)}")
    if len(events) > MOST_EVENTS:
        out.print(f"[dim]{'':>12}[/]  and {len(events) - MOST_EVENTS} more")


def _facts(pool: PoolResult, priced: bool) -> list[tuple[str, str]]:
    total = pool.total
    verdict = "[green]kept[/]" if pool.kept else "[red]broken[/]"
    fates = ((total.refused, "refused"), (total.gave_up, "gave up"), (total.failed, "failed"))
    lost = ", ".join(f"{n:,} {word}" for n, word in fates if n)
    promise = f"{percent(pool.promised)} within {pool.within_s:g} s promised"
    facts = [
        ("promise", f"{verdict}: {percent(pool.success)} in time, {promise}"),
        ("requests", f"{total.arrivals:,}" + (f" ({lost})" if lost else "")),
        ("answer", _quantiles(pool.answers)),
        ("wait", _quantiles(pool.waits)),
        (
            "replicas",
            f"{pool.replica_hours:,.1f} hours, at most {pool.most}, {pool.utilization:.0%} of slots used",
        ),
        ("scaling", f"{counted(pool.changes, 'change')}, {_told_broken(pool)}"),
    ]
    return [*facts, ("cost", _money(pool.cost))] if priced else facts


def _money(amount: float) -> str:
    """With two digits that say something: a test of minutes costs little."""
    return f"{amount:,.2f}" if amount >= 0.1 or not amount else f"{amount:.2g}"


def _told_broken(pool: PoolResult) -> str:
    return f"{_broken(pool.broken_s)} of broken promise" if pool.broken_s else "no minute of broken promise"


def _quantiles(times: Histogram) -> str:
    return ", ".join(f"p{q * 100:g} {format_seconds(times.quantile_s(q))}" for q in QUANTILES)


def _comparison(runs: Sequence[Run], priced: bool) -> Table:
    """Narrow enough for 80 columns. What is relative is the cost, or the replica-hours where nothing has a price."""
    table = Table(title="The same requests under other policies", title_justify="left", box=None, padding=(0, 1, 0, 0))
    heads = ["policy", "in time", "promise", "replica hours", *(["cost"] if priced else []), "relative"]
    for head in [*heads, "slots used", "broken", "changes"]:
        table.add_column(head, justify="left" if head == "policy" else "right", no_wrap=head == "policy")
    base = _paid(runs[0].result, priced)
    for run in runs:
        r = run.result
        table.add_row(
            clean(run.name),
            percent(r.success),
            "[green]kept[/]" if r.kept else "[red]broken[/]",
            f"{r.replica_hours:,.1f}",
            *([_money(r.cost)] if priced else []),
            f"{_paid(r, priced) / base:.2f}x" if base else "-",
            f"{r.utilization:.0%}",
            _broken(sum(p.broken_s for p in r.pools)),
            str(sum(p.changes for p in r.pools)),
        )
    return table


def _paid(result: Result, priced: bool) -> float:
    return result.cost if priced else result.replica_hours


def _broken(seconds: float) -> str:
    """To the minute, where it is hours."""
    if seconds >= HOUR_S:
        seconds = round(seconds / 60) * 60
    return format_seconds(seconds) if seconds else "-"


def as_json(runs: Sequence[Run]) -> str:
    """The first run, and the others under `compare`."""
    body = {"policy": runs[0].name} | runs[0].result.numbers()
    if len(runs) > 1:
        body["compare"] = [{"policy": r.name} | r.result.numbers() for r in runs[1:]]
    return json.dumps(body)


def _beginning(result: Result) -> str:
    """When it begins, unless nobody said so."""
    if result.epoch == shapes.START:
        return ""
    return f" from {datetime.fromtimestamp(result.epoch, UTC):%Y-%m-%d %H:%M} UTC on"


def check_page(path: Path) -> None:
    """Whether the page can be written, before minutes of playing.

    Raises:
        CannotSimulate: it cannot.
    """
    if path.is_dir():
        raise CannotSimulate(f"--html {path}: is a folder. Give the name of a file.")
    if not path.parent.is_dir():
        raise CannotSimulate(f"--html {path}: there is no folder {path.parent}. Make it first.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise CannotSimulate(f"--html {path}: may not be written.")


def write_page(path: Path, runs: Sequence[Run], asked: Asked) -> None:
    """The page with charts.

    Raises:
        CannotSimulate: the file cannot be written.
    """
    result = runs[0].result
    traces = ", ".join(t if shapes.is_shape(t) else Path(t).name for t in asked.traces)
    about = f"{traces} over {format_seconds(result.length_s)}{_beginning(result)}; "
    about += f"a replica starts in {asked.startup}; seed {asked.seed}. "
    if result.counted_from_s:
        about += f"The first {format_seconds(result.counted_from_s)} (grey) are for learning: drawn and not counted."
    try:
        path.write_text(page.page(runs, command=command_line(asked.seed), about=about), "utf-8")
    except OSError as error:
        raise CannotSimulate(f"cannot write {path}: {error.strerror}") from None
