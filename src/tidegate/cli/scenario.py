"""From the options of `tidegate simulate`, manifests and traces to a run of the simulator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tidegate.base.errors import TidegateError, UnitError
from tidegate.base.units import format_seconds, parse_ratio
from tidegate.cli import past_load
from tidegate.cli.loads import aligned, cut, is_number, seconds
from tidegate.cli.past_load import Past
from tidegate.sim import faults, shapes, trace_files
from tidegate.sim.requests import ServiceTime
from tidegate.sim.scenario import Scenario, Startup
from tidegate.sim.trace import Trace
from tidegate.spec.load import load
from tidegate.spec.resolve import DEFAULT_POOL, PoolKey, Specs

GUESSED_PART = 0.25  # of the promise is taken for the mean service time when none is given
DEFAULT_CV = 0.5
LEAD_SHARE, LEAD_S = 0.05, 1800.0  # not counted at the beginning, unless told otherwise
LONGEST_WORK_S = 86400.0  # more for a request is another unit, or another column
MOST_CV = 100.0

Read = Callable[[str], Trace]


@dataclass(frozen=True, slots=True)
class Asked:
    """The options, as text."""

    files: tuple[str, ...]
    traces: tuple[str, ...]
    service_times: tuple[str, ...] = ()
    startup: str = "30s,0.2"
    shares: tuple[str, ...] = ()
    scale: float = 1.0
    begin: str | None = None
    until: str | None = None
    measure_from: str | None = None
    patience: str | None = None
    faults: Path | None = None
    tick: str | None = None
    seed: int = 1
    cold: bool = False
    state: Path = Path(".tidegate")


class CannotSimulate(TidegateError):
    """What was asked for does not make a run."""


def scenario(
    asked: Asked, files: Sequence[str], repeat: str, read: Read = trace_files.read
) -> tuple[Scenario, tuple[str, ...]]:
    """The run that was asked for, and sentences on what was assumed.

    Raises:
        TidegateError: manifests, traces or options cannot be used.
    """
    loaded = load(files)
    specs = loaded.specs
    keys = [p.key for p in specs.pools]
    past = past_load.measured(keys, asked.state) if past_load.is_journal(asked.traces) else {}
    loads, told = _past_loads(asked, past) if past else _loads(asked, specs, read)
    told += tuple(_fixed_hosts(specs, loads))
    work, notes = _work(asked, specs, loads, {key: one.work for key, one in past.items()})
    made = Scenario(
        specs=specs,
        loads=loads,
        work=work,
        startup=_startup(asked.startup),
        faults=faults.read(asked.faults) if asked.faults else (),
        patience_s=_above_0(asked.patience, "--patience"),
        seed=asked.seed,
        cold=asked.cold,
        tick_s=_above_0(asked.tick, "--tick"),
        repeat=repeat,
    )
    lead_s = min(LEAD_S, LEAD_SHARE * made.length_s)
    made = replace(made, measure_from_s=_measure_from_s(asked.measure_from, lead_s, made.length_s))
    _check_faults(made, {c.name for c in specs.clusters}, {k.service for k in keys})
    return made, (*told, *notes, *_vain_faults(made))


def _vain_faults(made: Scenario) -> Iterator[str]:
    """Sentences on faults that will not do what they say."""
    tested = {s.name for s in made.specs.services if s.spec.rollout.verify is not None}
    for fault in made.faults:
        if fault.at >= made.length_s:
            yield (
                f"--faults: {fault.kind} at {format_seconds(fault.at)} comes after the end of the run, which is "
                f"{format_seconds(made.length_s)} long."
            )
        elif fault.where.bad == "verify" and fault.where.service not in tested:
            yield (
                f"--faults: {fault.where.service} has no rollout.verify, which `bad: verify` is to fail: the upgrade "
                f"at {format_seconds(fault.at)} goes through."
            )


def _above_0(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    if (value := seconds(text, option)) <= 0:
        raise CannotSimulate(f"{option} is {text}; give a time above 0.")
    return value


def _measure_from_s(text: str | None, usual_s: float, length_s: float) -> float:
    value = usual_s if text is None else seconds(text, "--measure-from")
    if value >= length_s:
        raise CannotSimulate(f"--measure-from is {text}, but the run ends before that. Give less.")
    return value


def _fixed_hosts(specs: Specs, loads: Mapping[PoolKey, Trace]) -> Iterator[str]:
    """A sentence on each cluster of fixed hosts, which has no place in a made-up world.

    Raises:
        CannotSimulate: a service may run nowhere else.
    """
    fixed = {c.name for c in specs.clusters if c.spec.runtime == "static"}
    for pool in specs.pools:
        where = set(pool.placement.clusters or (c.name for c in specs.clusters))
        if pool.key in loads and where and where <= fixed:
            raise CannotSimulate(
                f"{pool.key} may run only in {', '.join(sorted(where))}, and fixed hosts (runtime: static) are not "
                "simulated. Give it a local or kubernetes cluster in a copy of the manifest."
            )
    for name in sorted(fixed):
        yield f"cluster {name}: fixed hosts (runtime: static) are not simulated; it is as if it were not there."


def _check_faults(made: Scenario, clusters: set[str], services: set[str]) -> None:
    for fault in made.faults:
        where = fault.where
        for kind, name, known in (("cluster", where.cluster, clusters), ("service", where.service, services)):
            if name is not None and name not in known:
                raise CannotSimulate(f"--faults: no {kind} {name!r}; there are {', '.join(sorted(known))}.")


def _loads(asked: Asked, specs: Specs, read: Read) -> tuple[dict[PoolKey, Trace], tuple[str, ...]]:
    named, notes = aligned(_traces(asked, [s.name for s in specs.services], read))
    named = {service: cut(trace, asked.begin, asked.until, asked.scale) for service, trace in named.items()}
    longest_s = max(t.length_s for t in named.values())
    for service, trace in named.items():
        notes += tuple(f"{service}: {note}" for note in trace.notes)
        if trace.length_s < longest_s - trace.bin_s:
            notes += (
                f"{service}: its trace ends after {format_seconds(trace.length_s)}, the run after "
                f"{format_seconds(longest_s)}; from then on nobody asks for it.",
            )
    shares = _shares(asked.shares, specs)
    loads: dict[PoolKey, Trace] = {}
    for pool in specs.pools:
        trace_of = named.get(pool.key.service)
        if trace_of is not None and (part := shares[pool.key]) > 0:
            loads[pool.key] = trace_of.scaled(part) if part != 1 else trace_of
    return loads, notes


def _past_loads(asked: Asked, past: Mapping[PoolKey, Past]) -> tuple[dict[PoolKey, Trace], tuple[str, ...]]:
    if asked.shares:
        raise CannotSimulate("--share does not go with --trace journal, which knows what each pool was asked.")
    loads = {key: cut(one.trace, asked.begin, asked.until, asked.scale) for key, one in past.items()}
    loads = {key: trace for key, trace in loads.items() if any(trace.rates)}
    if not loads:
        raise CannotSimulate("--from and --until: nothing was asked in this time.")
    return loads, tuple(f"{key}: {note}" for key, trace in loads.items() for note in trace.notes)


def _traces(asked: Asked, services: Sequence[str], read: Read) -> dict[str, Trace]:
    """By service; shapes begin when the logs beside them do."""
    named: dict[str, Trace] = {}
    made_up: set[str] = set()
    for text in asked.traces:
        service, what = _named(text, services)
        if service is None and len(services) > 1 and not past_load.is_journal([what]):
            raise CannotSimulate(f"--trace {text}: which service? There are {', '.join(services)}: SERVICE=FILE.")
        service = service or services[0]
        if past_load.is_journal([what]):
            raise CannotSimulate("--trace journal goes alone: it is the load of every service that was measured here.")
        trace = read(what)
        if service in named:
            raise CannotSimulate(f"--trace {text}: {service} has a trace already. Add them up in one file.")
        named[service] = trace
        if shapes.is_shape(what):
            made_up.add(service)
    if not named:
        raise CannotSimulate("no --trace. Give a file, or a shape such as --trace sine:mean=20,length=1d.")
    if any(t.start is not None for service, t in named.items() if service not in made_up):
        named |= {service: replace(named[service], start=None) for service in made_up}
    return named


def _shares(given: Sequence[str], specs: Specs) -> dict[PoolKey, float]:
    """Of the requests of its service, by pool; the default pool has what the others leave."""
    told = dict(_share(text, specs) for text in given)
    shares = dict.fromkeys((p.key for p in specs.pools), 0.0) | told
    for service in {k.service for k in shares}:
        taken = math.fsum(v for k, v in told.items() if k.service == service)
        default = PoolKey(service, DEFAULT_POOL)
        if taken > 1 + 1e-9 or (default in told and taken < 1 - 1e-9):
            raise CannotSimulate(
                f"--share: the pools of {service} get {taken:.4g} of its requests together; that must be 1. "
                f"Leave {default} out, it gets the rest."
            )
        shares[default] = told.get(default, max(0.0, 1 - taken))
    return shares


def _named(text: str, names: Sequence[str]) -> tuple[str | None, str]:
    """`NAME=REST` when NAME is one of `names`, else (None, text); shapes and paths may hold `=` themselves."""
    before, sign, after = text.partition("=")
    return (before, after) if sign and before in names else (None, text)


def _share(text: str, specs: Specs) -> tuple[PoolKey, float]:
    keys = {str(p.key): p.key for p in specs.pools}
    name, part = _named(text, list(keys))
    if name is None:
        raise CannotSimulate(f"--share {text}: expected SERVICE/POOL=SHARE; pools are {', '.join(keys)}.")
    return keys[name], parse_ratio(part)


def _work(
    asked: Asked, specs: Specs, loads: Mapping[PoolKey, Trace], known: Mapping[PoolKey, ServiceTime]
) -> tuple[dict[PoolKey, ServiceTime], tuple[str, ...]]:
    names = [*(str(p.key) for p in specs.pools), *(s.name for s in specs.services)]
    given = dict(_named(text, names) for text in asked.service_times)
    work, notes = {}, []
    for pool in specs.pools:
        if pool.key not in loads:
            continue
        text = given.get(str(pool.key)) or given.get(pool.key.service) or given.get(None)
        if text is None and pool.key in known:
            work[pool.key] = known[pool.key]
            continue
        if text is None:
            mean_s = GUESSED_PART * pool.promise.within
            notes.append(
                f"{pool.key}: no --service-time; {format_seconds(mean_s)} (a quarter of the promise) is assumed. "
                "Give the measured mean and variation: every number here depends on it."
            )
            text = f"{mean_s}"
        work[pool.key] = service_time(text)
    return work, tuple(notes)


def service_time(text: str) -> ServiceTime:
    """`MEAN[,CV]`, or a file of measured seconds.

    Raises:
        TidegateError: it is neither.
    """
    path = Path(text)
    is_file = path.exists() and not path.is_dir()  # a pipe is one, too
    if is_file:
        made = _measured(path)
    else:
        made = ServiceTime(*_mean_and_cv(text, DEFAULT_CV, "--service-time", "800ms,0.5, or a file of seconds"))
    if made.mean_s <= 0:
        raise CannotSimulate(f"--service-time {text}: a request takes some time; give a mean above 0.")
    if made.mean_s > LONGEST_WORK_S:
        raise CannotSimulate(
            f"--service-time {text}: a mean of {format_seconds(made.mean_s)} a request. Check the unit (seconds)"
            + (" and the column (the first with a number counts)." if is_file else ".")
        )
    return made


def _mean_and_cv(text: str, usual_cv: float, option: str, example: str) -> tuple[float, float]:
    mean, _, cv = text.partition(",")
    try:
        mean_s = seconds(mean)
    except UnitError:
        raise CannotSimulate(f"{option} {text}: expected MEAN[,CV] such as {example}.") from None
    if cv and not (is_number(cv) and 0 <= float(cv) <= MOST_CV):
        raise CannotSimulate(
            f"{option} {text}: CV is {cv}, expected a number from 0 to {MOST_CV:g} in MEAN[,CV]: the standard "
            "deviation over the mean."
        )
    return mean_s, float(cv) if cv else usual_cv


def _measured(path: Path) -> ServiceTime:
    """Seconds, one a line; a header and comments are skipped, of several columns the first that is a number counts."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotSimulate(f"--service-time {path}: cannot be read as text ({error}).") from None
    rows = [line.split(",") for line in lines if line.strip() and not line.startswith("#")]
    seconds = [next((float(c) for c in row if is_number(c)), None) for row in rows]
    known = [s for s in seconds if s is not None]
    if not known or not all(0 <= s < math.inf for s in known):
        raise CannotSimulate(f"--service-time {path}: expected finite seconds >= 0, one a line.")
    return ServiceTime.empirical(known)


def _startup(text: str) -> Startup:
    return Startup(*_mean_and_cv(text, Startup().cv, "--startup", "120s,0.2"))
