"""How answers are printed: lines and lists for people, JSON for programs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from tidegate.base.errors import UnitError
from tidegate.base.units import format_seconds
from tidegate.model.reasons import deciding

if TYPE_CHECKING:
    from rich.console import Console

    from tidegate.model.plan import ClusterWeight
    from tidegate.web.ports import Diff, Event, Explanation, Preview

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_VERBS = {"add": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red"), "same": ("=", None)}
# A table that goes to a file or a pipe is not folded at some window's width.
PIPE_WIDTH = 220
_MOST_SAID = 5  # replicas of a pool whose latest failure `explain` tells


def print_json(value: Any) -> None:
    """A dataclass as one line of JSON."""
    from pydantic import TypeAdapter

    typer.echo(TypeAdapter(type(value)).dump_json(value).decode())


def warn(warnings: Iterable[str]) -> None:
    """Warnings go to the standard error stream, so that they never mix with an answer."""
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


def clean(text: str) -> str:
    """Text from elsewhere without control characters, so that it cannot drive the terminal."""
    return _CONTROL.sub(" ", text)


def console() -> Console:
    """Where tables are printed."""
    from rich.console import Console

    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def print_diff(diff: Diff) -> None:
    """What changes, one line each; what stays the same only as a count."""
    for change in diff.changes:
        sign, color = _VERBS.get(change.verb, ("?", None))
        if change.verb != "same":
            detail = f": {'; '.join(change.fields)}" if change.fields else ""
            typer.secho(clean(f"{sign} {change.kind} {change.name}{detail}"), fg=color)
    same = sum(change.verb == "same" for change in diff.changes)
    if same:
        typer.echo(f"= {same} unchanged")
    if not diff.changes:
        typer.echo("Nothing is declared.")
    for note in diff.notes:
        typer.echo(f"  {clean(note)}")


def print_preview(preview: Preview) -> None:
    """A dry run: what changes, what each pool would want and why, what would be done first."""
    print_diff(preview.diff)
    if preview.pools:
        typer.echo("\nReplicas wanted")
    for pool in preview.pools:
        came = "" if pool.wanted_now in (None, pool.wanted) else f"{pool.wanted_now} -> "
        pending = f", {pool.pending} of them pending" if pool.pending else ""
        why = f"  ({clean(deciding(pool.reasons, pool.wanted))})" if pool.reasons else ""
        typer.echo(f"  {pool.service}/{pool.pool}: {came}{pool.wanted}{pending}{why}")
    if preview.actions:
        typer.echo("\nFirst steps")
    for action in preview.actions:
        typer.echo(f"  {clean(action)}")


def print_explanation(explanation: Explanation) -> None:
    """Every reason of every pool, and what led here."""
    for pool in explanation.pools:
        states = [f"{pool.ready} ready", f"{pool.starting} starting", f"{pool.draining} draining"]
        states += [f"{pool.pending} pending"] if pool.pending else []
        typer.secho(f"{pool.service}/{pool.pool}: {pool.wanted} wanted ({', '.join(states)})", bold=True)
        width = max((len(r.topic) for r in pool.reasons), default=0)
        for reason in pool.reasons:
            bound = f" [limit: {reason.bound}]" if reason.bound else ""
            typer.echo(f"  {clean(reason.topic):<{width}}  {clean(reason.text)}{clean(bound)}")
        if not pool.reasons:
            typer.echo("  no decision yet")
        for w in pool.weights if len(pool.weights) > 1 else ():
            typer.echo(f"  weight  {clean(weight_line(w))}")
        if pool.phases:
            *phases, whole = pool.phases
            told = ", ".join(f"{p.name} {format_seconds(p.p95_s)}" for p in phases if p.p95_s >= 0.005)
            typer.echo(f"  start-up  p95 of the last {whole.count}: {format_seconds(whole.p95_s)} ({told})")
        for r in [r for r in pool.replicas if r.detail][:_MOST_SAID]:
            typer.echo(clean(f"  {r.id}  {r.state}, {format_seconds(max(0.0, r.age_s))} old: {r.detail}"))
    if explanation.history:
        typer.echo("\nWhat led here")
    for event in explanation.history:
        typer.echo(f"  {event_line(event)}")


def weight_line(w: ClusterWeight) -> str:
    """A cluster's share of a pool's requests and the three parts it is made of."""
    speed = "" if w.service_s is None else f", {1000 * w.service_s:.0f} ms an answer without the way"
    away = f", {1000 * w.distance_s:.0f} ms away" if w.distance_s else ""
    parts = f"{w.slots} slots, near for {w.near:.0%} of the calls, health {w.health:.0%}"
    return f"{w.cluster} {w.weight:.1%}: {parts}{speed}{away}"


def event_line(event: Event) -> str:
    """One event: local time, what kind, about what, the sentence."""
    when = datetime.fromtimestamp(event.at).strftime("%Y-%m-%d %H:%M:%S")
    return f"{when}  {clean(event.kind):<10}  {clean(event.subject)}  {clean(event.text)}"


def since_when(text: str, now: float) -> float:
    """Epoch seconds from "10m" (that long before `now`) or from epoch seconds.

    Raises:
        UnitError: it is neither.
    """
    from tidegate.base.units import parse_seconds

    try:
        return float(text) if re.fullmatch(r"\d{9,11}(\.\d+)?", text) else max(0.0, now - parse_seconds(text))
    except UnitError:
        message = f'--since: got "{text}", expected a duration such as "10m" or epoch seconds such as 1764000000.'
        raise UnitError(message) from None


def percent(share: float) -> str:
    """Rounded down, so that nothing below a promise reads as if it kept it.

    >>> percent(0.99949999)
    '99.949%'
    """
    return f"{int(share * 100_000 + 1e-9) / 1000:.3f}%"


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Ctrl-C is the usual end of following something, and so is a reader that closes the pipe (`| head`)."""
    try:
        yield
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Python flushes once more at exit and would complain again; the reader is gone, so nobody is to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
