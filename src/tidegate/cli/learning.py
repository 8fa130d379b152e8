"""What `tidegate forecast import` and `tidegate schedule suggest` do: read traffic, let the policy learn from it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tidegate.base.errors import TidegateError, TraceError
from tidegate.base.units import format_seconds
from tidegate.cli.client import Client
from tidegate.cli.loads import seconds
from tidegate.cli.output import warn
from tidegate.cli.report import NothingRecorded, open_journal
from tidegate.cli.scenario import service_time
from tidegate.model.journal import Entry, Kind
from tidegate.model.memory import Memory, PoolMemory
from tidegate.policy import suggest as policy
from tidegate.policy.lesson import taught
from tidegate.policy.lifecycle import STARTUP_GUESS_S, startup_p95_s
from tidegate.policy.scaling import learn
from tidegate.sim import history, trace_files
from tidegate.sim.requests import ServiceTime
from tidegate.sim.trace import Trace
from tidegate.spec.load import together
from tidegate.spec.resolve import PoolKey, PoolSpec
from tidegate.store.codec import encode
from tidegate.store.journal import Journal

WEEKS_S = 28 * 86400.0  # the forecast forgets what is older
LEAST_S = 86400.0
EVERY_S = 30.0


class CannotLearn(TidegateError):
    """The service, the trace and what is known of the service do not make a lesson."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was learned, for JSON: seconds of traffic, mean requests/s, half hours of the week now known."""

    service: str
    pool: str
    seconds: float
    mean_per_s: float
    half_hours_known: int
    text: str


# -- forecast import ---------------------------------------------------------------------------------------------------


def imported(service: str, pool: str, what: str, work: str | None, startup: str | None, state: Path) -> Imported:
    """Learn from a trace, and hand it to the running system or to the journal that the next start reads.

    Raises:
        TidegateError: the trace, the service or what is known of it cannot be used; the message says what to do.
    """
    trace = _dated(what)
    if trace.length_s < LEAST_S:
        raise CannotLearn(
            f"{trace.name}: {format_seconds(trace.length_s)} long; the forecast learns the shape of a day and a week. "
            "Give at least a day, better two weeks."
        )
    if trace.length_s > WEEKS_S:
        trace = trace.between(trace.length_s - WEEKS_S, trace.length_s)
    key = PoolKey(service, pool)
    with open_journal(state) as journal:
        spec = _spec(journal, key)
        memory = journal.load_memory() or Memory()
        known = memory.pools.get(key, PoolMemory())
        measured = _work(key, known, work)
        startup_s = seconds(startup, "--startup") if startup else startup_p95_s(known.startups_s, STARTUP_GUESS_S)
        assert trace.start is not None
        ends_at = trace.start + trace.length_s
        every_s = max(EVERY_S, min(trace.bin_s, 300.0))
        loads = history.loads(trace, measured, random.Random(1), ends_at=ends_at, every_s=every_s)
        lesson = learn(spec, loads, startup_s)
        client = Client(state)
        text = f"forecast import: {format_seconds(trace.length_s)} of {trace.name}"
        if client.running():
            client.learn(service, pool, encode(lesson), text)
        else:
            pools = {**memory.pools, key: replace(known, scale=taught(known.scale, lesson))}
            at = _newest(journal)
            entry = Entry(at, Kind.OPERATOR, data={"subject": service, "text": text})
            journal.append([entry], replace(memory, pools=pools), at=at)
    halves = sum(v >= 0 for v in taught(known.scale, lesson).season.shape)
    said = (
        f"{key} learned from {format_seconds(trace.length_s)} of {trace.name}, {trace.mean_rps:.3g} requests/s on "
        f"average: {halves} of 336 half hours of the week are known now"
    )
    return Imported(service, pool, trace.length_s, trace.mean_rps, halves, said)


def _newest(journal: Journal) -> float:
    last = journal.read(limit=1)
    return last[0].at if last else 0.0


def _dated(what: str) -> Trace:
    found = trace_files.read(what)
    warn(found.notes)
    if found.start is None:
        raise TraceError(f"{what}: its start is not known; add a line `# start=2024-05-01T00:00:00Z`.")
    return found


def _spec(journal: Journal, key: PoolKey) -> PoolSpec:
    stored = journal.load_specs()
    pools = together(stored.manifests).specs.pools if stored else ()
    for spec in pools:
        if spec.key == key:
            return spec
    there = ", ".join(str(p.key) for p in pools) or "none"
    raise CannotLearn(f"no pool {key} is declared. There are: {there}. `tidegate up` or `apply` declares one.")


def _work(key: PoolKey, known: PoolMemory, given: str | None) -> ServiceTime:
    if given is not None:
        return service_time(given)
    counted = known.scale.demand
    if counted.served < 1:
        raise CannotLearn(f"{key}: its service time was not measured here yet. Give --service-time MEAN[,CV].")
    mean = counted.service_s_sum / counted.served
    square = counted.service_s2_sum / counted.served
    return ServiceTime(mean, max(0.0, square / mean**2 - 1) ** 0.5)


# -- schedule suggest --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Busy:
    """(epoch second, busy slots) of one pool, how many busy slots a replica is meant to carry, and its maxReplicas."""

    pool: str
    load: list[tuple[float, float]]
    slots_per_replica: float
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Suggested:
    """Windows for one pool; `why_none` when there are none, `beyond` when the manifest does not allow them."""

    pool: str
    windows: tuple[policy.Proposal, ...]
    why_none: str = ""
    beyond: str = ""


def suggested(of: list[Busy], time_zone: str) -> tuple[Suggested, ...]:
    """Windows for each pool.

    Raises:
        TraceError: there is no such time zone.
    """
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TraceError(f"--time-zone {time_zone}: no such IANA time zone; write one such as Europe/Berlin.") from None
    return tuple(_suggested(one, time_zone) for one in of)


def _suggested(one: Busy, time_zone: str) -> Suggested:
    windows = policy.suggest(one.load, time_zone, one.slots_per_replica)
    days = (one.load[-1][0] - one.load[0][0]) / 86400 if one.load else 0.0
    if windows:
        needed = max(w.replicas for w in windows)
        over = one.most is not None and needed > one.most
        beyond = f"the windows need up to {needed} replicas, maxReplicas is {one.most}. Raise it there." if over else ""
        return Suggested(one.pool, windows, beyond=beyond)
    if days < policy.ENOUGH_DAYS - 1:
        return Suggested(one.pool, (), f"only {days:.1f} days were seen; a week is needed")
    return Suggested(one.pool, (), "no half hour of the week regularly needs half as much again as the median one")


def from_trace(
    service: str, pool: str, what: str, work: str | None, concurrency: int | None, busy: float, state: Path
) -> list[Busy]:
    """The load a trace makes; what is not given is as declared and measured here.

    Raises:
        TidegateError: the trace cannot be used, or something is neither given nor known here.
    """
    found = _dated(what)
    assert found.start is not None
    key = PoolKey(service, pool)
    spec, known = _known(key, state)
    if spec is None and (work is None or concurrency is None):
        raise CannotLearn(f"{key} is not declared here. Give --service-time and --concurrency.")
    service_s = _work(key, known, work).mean_s
    slots = concurrency or (spec.concurrency if spec is not None else 1)
    step_s = min(found.bin_s, policy.HALF_HOUR_S)
    load = [
        (found.start + i * found.bin_s + (j + 0.5) * step_s, rate * service_s)
        for i, rate in enumerate(found.rates)
        for j in range(max(1, int(found.bin_s / step_s)))
    ]
    return [Busy(pool, load, slots * busy, spec.scaling.maxReplicas if spec is not None else None)]


def _known(key: PoolKey, state: Path) -> tuple[PoolSpec | None, PoolMemory]:
    """What is declared and was measured of a pool here; nothing where nothing ever ran."""
    try:
        with open_journal(state) as journal:
            stored = journal.load_specs()
            pools = together(stored.manifests).specs.pools if stored else ()
            memory = journal.load_memory() or Memory()
    except NothingRecorded:
        return None, PoolMemory()
    return next((p for p in pools if p.key == key), None), memory.pools.get(key, PoolMemory())


def from_journal(service: str, state: Path, busy: float) -> list[Busy]:
    """The load that was measured: requests that came, times the pool's mean service time, in stretches of five minutes.

    Raises:
        NothingRecorded: nothing was measured of this service.
    """
    with open_journal(state) as journal:
        stored = journal.load_specs()
        pools = [p for p in together(stored.manifests).specs.pools if p.key.service == service] if stored else []
        entries: dict[str, list[Entry]] = {p.key.pool: [] for p in pools}
        for entry in journal.scan(kind=Kind.LOAD, service=service):
            entries.setdefault(entry.pool, []).append(entry)
    found = [
        Busy(p.key.pool, list(_stretches(entries[p.key.pool])), p.concurrency * busy, p.scaling.maxReplicas)
        for p in pools
    ]
    found = [one for one in found if one.load]
    if not found:
        raise NothingRecorded(
            f"the journal holds no traffic of {service}. Give --trace FILE, or let `tidegate up` serve it for a week."
        )
    return found


def _stretches(entries: list[Entry], length_s: float = 300.0) -> Iterator[tuple[float, float]]:
    finished = sum(e.data.get("finished", 0) for e in entries)
    if not finished:
        return
    mean_s = sum(e.data.get("service_s_sum", 0.0) for e in entries) / finished
    arrivals = covered_s = 0.0
    for entry in entries:
        arrivals += entry.data.get("arrivals", 0)
        covered_s += entry.data.get("interval_s", 0.0)
        if covered_s >= length_s:
            parts = int(covered_s // length_s)
            for part in range(parts):
                yield entry.at - covered_s * (1 - (part + 0.5) / parts), arrivals / covered_s * mean_s
            arrivals = covered_s = 0.0


def yaml_lines(of: Suggested, time_zone: str) -> list[str]:
    """The windows as they stand under `scaling:`."""
    lines = ["schedules:"]
    for w in of.windows:
        days = ", ".join(w.days)
        lines.append(
            f'  - {{days: [{days}], from: "{w.from_}", to: "{w.to}", timeZone: {time_zone}, minReplicas: {w.replicas}}}'
        )
    return lines
