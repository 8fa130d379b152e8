"""What `tidegate replay` does: reads the recording, decides again, tells the outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import typer

from tidegate.base.units import format_seconds
from tidegate.cli.report import NothingRecorded
from tidegate.control.replay import Difference, Otherwise, Step, otherwise, replay, verify
from tidegate.spec.load import load, together
from tidegate.spec.resolve import Specs
from tidegate.store.journal import Journal

SHOWN = 10
CHANGES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Verified:
    """For JSON: what a replay of the same manifests found; times in epoch seconds."""

    identical: bool
    ticks: int
    since: float
    until: float
    different: int
    differences: tuple[Difference, ...]
    gaps: tuple[Difference, ...]
    recorded_bytes: int


@dataclass(frozen=True, slots=True)
class Change:
    """From `at` (epoch seconds) on: replicas wanted then and now; None where the pool is not declared."""

    at: float
    then: int | None
    now: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Compared:
    """For JSON: one pool under other manifests."""

    service: str
    pool: str
    seconds: float
    wanted_mean_then: float
    wanted_mean_now: float
    most_then: int
    most_now: int
    differed_share: float
    changes: tuple[Change, ...]


def verified(journal: Journal, since: float | None, until: float | None) -> Verified:
    """Compare every decision with the recorded one.

    Raises:
        NothingRecorded: nothing is recorded in this time.
        StoreError: the journal cannot be read, or the manifests in force then are not kept any more.
    """
    found = verify(_steps(journal, since, until))
    if not found.ticks:
        raise NothingRecorded(_nothing(since, until))
    return Verified(
        found.identical, found.ticks, found.since, found.until, found.different,
        tuple(found.differences), tuple(found.gaps), journal.recording_size()[1],
    )  # fmt: skip


def compared(journal: Journal, files: Sequence[str], since: float | None, until: float | None) -> tuple[Compared, ...]:
    """What other manifests would have wanted; `verified` says what it raises."""
    found = otherwise(_steps(journal, since, until), load(files).specs)
    if not found:
        raise NothingRecorded(_nothing(since, until))
    return tuple(_compared(pool) for pool in found.values())


def _compared(of: Otherwise) -> Compared:
    seconds = of.seconds or 1.0
    return Compared(
        of.key.service,
        of.key.pool,
        of.seconds,
        of.wanted_s_then / seconds,
        of.wanted_s_now / seconds,
        of.most_then,
        of.most_now,
        of.differed_s / seconds,
        tuple(Change(*change) for change in of.changes),
    )


def _steps(journal: Journal, since: float | None, until: float | None) -> Iterator[Step]:
    @cache
    def specs_of(revision: int) -> Specs:
        stored = journal.load_specs(revision)
        if stored is None:
            raise NothingRecorded(
                f"the manifests of that time (revision {revision}) are not kept any more. Replay a later part: --since."
            )
        return together(stored.manifests).specs

    for step in replay(journal.recording(since=since, until=until), specs_of):
        at = step.recorded.observed.at
        if until is not None and at >= until:
            return
        if since is None or at >= since:
            yield step


def _nothing(since: float | None, until: float | None) -> str:
    if since is None and until is None:
        return "no decision is recorded yet. `tidegate up` records every one."
    return "no decision is recorded in this time. Leave --since and --until out to see what there is."


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def show_verified(found: Verified) -> None:
    """For people."""
    length, kib = format_seconds(round(found.until - found.since)), found.recorded_bytes / 1024
    typer.echo(
        f"{found.ticks} decisions from {_when(found.since)} to {_when(found.until)} UTC ({length}); "
        f"the recording takes {kib:.0f} KiB"
    )
    for gap in found.gaps[:SHOWN]:
        typer.echo(f"{_when(gap.at)}  gap: {gap.what}")
    if found.identical:
        typer.echo("all of them came out the same")
        return
    typer.echo(f"{found.different} came out otherwise:")
    for one in found.differences[:SHOWN]:
        typer.echo(f"{_when(one.at)}  {one.what}")
    if found.different > SHOWN:
        typer.echo(f"... and {found.different - SHOWN} more; --json tells the first {len(found.differences)}")


def show_compared(pools: Sequence[Compared]) -> None:
    """For people."""
    for p in pools:
        typer.echo(
            f"{p.service}/{p.pool}: {p.wanted_mean_now:.2f} replicas wanted on average instead of "
            f"{p.wanted_mean_then:.2f}, at most {p.most_now} instead of {p.most_then}; "
            f"different in {p.differed_share:.0%} of {format_seconds(round(p.seconds))}"
        )
        told = [c for c in p.changes if c.then != c.now]
        for c in told[:CHANGES_SHOWN]:
            typer.echo(f"  {_when(c.at)}  {_number(c.then)} -> {_number(c.now)}  {c.why}")
        if len(told) > CHANGES_SHOWN:
            typer.echo(f"  ... {len(told) - CHANGES_SHOWN} more; --json tells all")
    typer.echo(
        "The observations are those that were really made, with the replicas that really ran; "
        "for requests and cost under other manifests: tidegate simulate"
    )


def _number(wanted: int | None) -> str:
    return "not declared" if wanted is None else str(wanted)
