"""What `tidegate report` does: reads the journal, simulates the static fleet, prints tables."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tidegate.base.errors import TidegateError, UnitError
from tidegate.base.units import parse_seconds
from tidegate.cli.output import clean
from tidegate.control.settings import Settings
from tidegate.model.journal import Entry, Kind
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.report.measure import report as compute
from tidegate.report.render import period
from tidegate.report.table import columns, headline, rows, title, verdict
from tidegate.report.values import Case, Measured, Other, Report, Starts, Window
from tidegate.sim import baselines, single
from tidegate.sim.baselines.fixed import Static
from tidegate.sim.rates import mean_rates
from tidegate.sim.requests import Requests, ServiceTime
from tidegate.sim.trace import Trace
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolSpec, Specs
from tidegate.spec.service import MediaService
from tidegate.store.journal import Journal

PLAIN_REQUESTS = 300_000
"""Up to this many are simulated without compiling: a few seconds."""
MOST_REQUESTS = 50_000_000
SEED = 1
STARTUP_S = 30.0
_LIVES = (Kind.TRANSITION, Kind.ACTION, Kind.DECISION, Kind.PREVIEW)
_ISO = re.compile(r"\d{4}-\d\d-\d\d")
_EPOCH = re.compile(r"\d{9,11}(\.\d+)?")


ALL = ("hpa", "hpa-demand", "kpa", "cron-hpa", "rayserve", "skyserve")  # the static fleet has a column anyway


def policies(text: str | None) -> tuple[str, ...]:
    """The names of `--against`, each once.

    Raises:
        CannotReport: there is no such policy.
    """
    named = [n.strip() for n in (text or "").split(",") if n.strip()]
    names = tuple(dict.fromkeys(one for n in named for one in (ALL if n == "all" else (n,))))
    for name in names:
        if not baselines.is_name(name):
            known = ", ".join(baselines.NAMES)
            raise CannotReport(f"--against: no policy {name!r}; there are {known}, static:N and all.")
    return names


class CannotReport(TidegateError):
    """What was asked for does not make a report."""


class NothingRecorded(TidegateError):
    """The journal has nothing to report on."""


class CannotWrite(TidegateError):
    """The file a report was to be written to cannot be."""


def collect(
    journal: Journal,
    *,
    since: float | None,
    until: float | None,
    service: str | None,
    simulate: Callable[[PoolSpec, Case], float | None],
    against: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """The report of a journal: from `since` (its first entry) until `until` (its last one), epoch seconds.

    `tell` is told what takes its time.

    Raises:
        NothingRecorded: no manifests or no entries, no such service.
        StoreError: the journal cannot be read.
    """
    stored = journal.load_specs()
    if stored is None:
        raise NothingRecorded("the journal holds no manifests yet. `tidegate up` writes it.")
    services = [m for m in stored.manifests if isinstance(m, MediaService) and service in (None, m.name)]
    clusters = [m for m in stored.manifests if isinstance(m, Cluster)]
    if not services:
        raise NothingRecorded(
            f"the journal knows no service called {service}." if service else "no service is declared."
        )
    kinds = (*_LIVES, Kind.LOAD)
    first = next(journal.scan(kind=kinds, service=service), None)
    newest = journal.read(kind=kinds, service=service, until=until, limit=1)
    if first is None or not newest:
        raise NothingRecorded("nothing was recorded in this window.")
    window = Window(first.at if since is None else max(since, first.at), newest[-1].at)
    if window.seconds <= 0:
        raise NothingRecorded(
            f"nothing was recorded after {datetime.fromtimestamp(window.since, UTC):%Y-%m-%d %H:%M:%S} UTC."
        )
    # The window ends with its last entry, which `until` of the journal would leave out.
    past_end = window.until + 1e-3
    tell("reading the journal")
    entries: list[Entry] = list(journal.scan(kind=_LIVES, service=service, until=past_end))
    entries += journal.scan(kind=(Kind.LOAD, Kind.PHASE), service=service, since=window.since, until=past_end)

    def play(spec: PoolSpec, case: Case, starts: Starts, price_per_h: float | None) -> tuple[Other, ...]:
        found = []
        for name in against:
            tell(f"playing {spec.key} under {name}")
            found.append(played(name, spec, case, starts, price_per_h))
        return tuple(other for other in found if other is not None)

    return compute(entries, Specs.of(services, clusters), window, simulate, play)


def played(name: str, spec: PoolSpec, case: Case, starts: Starts, price_per_h: float | None) -> Other | None:
    """What the baseline `name` of the simulator would have done with the arrivals of a journal.

    Every request is simulated, with the measured service and start-up times (30 s when none was measured), from as many
    replicas as the first minutes need; an idle pool keeps minReplicas. None when there are too many requests to play.

    Raises:
        TidegateError: there is no such baseline.
    """
    if not case.requests:
        hours = spec.scaling.minReplicas * case.seconds / 3600
        cost = None if price_per_h is None else hours * price_per_h
        return Other(name, hours, hours * case.slots, cost, 0.0 if hours else None, None)
    bin_s = max(10.0, case.seconds / 100_000)
    rates = mean_rates(case.rate, bin_s, case.seconds)
    trace = Trace("journal", bin_s, tuple(rates))
    policy = baselines.baseline(name, baselines.Case(trace, trace, case.service_s_mean, case.slots))
    first = math.ceil(max(rates[: int(300 / bin_s)]) * case.service_s_mean / case.slots / 0.7)
    if isinstance(policy, Static):
        first = policy.stands(0.0)
    scaling = spec.scaling
    how = single.Play(
        until_s=case.seconds,
        startup_s=starts.mean_s if starts.mean_s is not None else STARTUP_S,
        startup_cv=starts.cv,
        initial=max(scaling.minReplicas, min(scaling.maxReplicas, first)),
    )
    seen = _play(spec, case, policy, how)
    if seen is None:
        return None
    return Other(
        name=name,
        replica_h=seen.replica_hours,
        slot_h=seen.replica_hours * case.slots,
        cost=None if price_per_h is None else seen.replica_hours * price_per_h,
        utilisation=seen.utilization,
        success=seen.success,
    )


def simulated(spec: PoolSpec, case: Case) -> float | None:
    """Play the measured arrival rate through a fleet of constant size; the share answered within the promise."""
    if not case.rate:
        return None

    def always(_: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        return ScaleResult(case.replicas, memory, ())

    seen = _play(spec, case, always, single.Play(until_s=case.seconds, startup_s=0.0, initial=case.replicas))
    return seen.success if seen is not None else None


def _play(spec: PoolSpec, case: Case, scale: single.Scale, how: single.Play) -> single.Outcome | None:
    """Every request of a journal behind the gateway; service times are lognormal with the measured mean and variation.

    None when there are too many requests to play.
    """
    compiled = case.requests > PLAIN_REQUESTS
    requests = Requests(case.rate, ServiceTime(case.service_s_mean, case.service_cv), SEED, compile=compiled)
    if case.requests > MOST_REQUESTS or (compiled and not requests.compiled):
        return None
    patience_s = max(spec.service.queue.maxWaitSeconds or 0.0, spec.promise.within)
    told = replace(how, patience_s=patience_s, seed=SEED, compile=compiled)
    return single.play(spec, requests, scale, told, keep_points=False)


@contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """A line on the standard error stream that says what is being done, for people."""
    err = Console(stderr=True)
    if not err.is_terminal:
        yield lambda _: None
        return
    with err.status("") as line:
        yield lambda text: line.update(f"{clean(text)} ...")


def moment(text: str, now: float) -> float:
    """A time as people give it: "24h" ago, an ISO date and time (UTC unless it says otherwise), epoch seconds.

    Raises:
        UnitError: it is neither.
    """
    if _EPOCH.fullmatch(text):
        return float(text)
    if not _ISO.match(text):
        return now - parse_seconds(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UnitError(f'got {text!r}, expected a duration such as "24h" or a time such as 2026-10-01T18:00') from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def show(report: Report, console: Console) -> None:
    """The tables for people."""
    console.print(f"[bold]{headline(report)}[/]\n[dim]{period(report)}[/]", highlight=False)
    pools = report.pools if len(report.pools) == 1 else (*report.pools, report.total)
    for measured in pools:
        console.print(_table(measured))


def _table(of: Measured) -> Table:
    word = verdict(of)
    colour = "red" if word == "promise broken" else "green"
    heading = title(of) + (f"  [{colour}]{word}[/]" if word else "")
    table = Table(title=heading, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("", style="dim")
    for i, head in enumerate(columns(of)):
        table.add_column(head, style="dim" if i else "")
    for row in rows(of):
        table.add_row(row.name, row.measured, row.static, *row.others)
    return table


def open_journal(state: Path) -> Journal:
    """The journal of a state folder, or of the database that TIDEGATE_DATABASE names.

    Raises:
        NothingRecorded: there is none; looking does not make one.
    """
    settings = Settings.from_env(os.environ, state=state)
    if not settings.database and not (settings.state / "journal.db").exists():
        raise NothingRecorded(
            f"no journal in {settings.state}. `tidegate up` writes one; --state names another folder."
        )
    return Journal(settings.database_url)
