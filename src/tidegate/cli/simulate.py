"""What `tidegate simulate` does: plays the run that was asked for, and the same under other policies."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tidegate.cli.scenario import Asked, CannotSimulate, Read, scenario
from tidegate.sim import baselines, clairvoyant, engine, trace_files
from tidegate.sim.page import Run
from tidegate.sim.requests import Requests, ServiceTime
from tidegate.sim.scenario import Scenario
from tidegate.sim.single import Play
from tidegate.sim.trace import Trace
from tidegate.sim.world import World
from tidegate.spec.resolve import PoolKey, PoolSpec

OURS = "tidegate"
CLAIRVOYANT = "clairvoyant"
COMPARED = ("static", "hpa", "hpa-demand", "kpa", "cron-hpa", "rayserve", "skyserve", CLAIRVOYANT)
FINE_UP_TO_S = 2 * 86400.0
FINEST_S, FINEST_LONG_S = 2.0, 5.0  # the KPA looks every 2 s; a week of that would take many minutes
BOUND_SPENDS = 0.85  # of the allowed losses in the harness in which the bound is searched


def play_all(asked: Asked, baseline: str | None, compare: str | None, repeat: str) -> list[Run]:
    """Every run that was asked for, the one that it is about first."""
    names = _compared(compare)
    _check_names(baseline, names)
    read = functools.cache(trace_files.read)  # what comes through a pipe can be read only once
    made, notes = scenario(asked, asked.files, repeat, read)
    jobs: list[tuple[str, str, Scenario, str | None]] = [(OURS, "the policy that runs live", made, None)]
    if baseline is not None and Path(baseline).exists():
        other = _other_manifests(asked, baseline, repeat, read)
        jobs.append((Path(baseline).stem, "Tidegate with these manifests", other, None))
    elif baseline is not None and not names:
        jobs = [(baseline, baselines.title(baseline), made, baseline)]
    elif baseline is not None and baseline not in names:
        names = (baseline, *names)
    jobs += [(n, _title(n), made, n) for n in names if n != OURS]
    notes += tuple(_bounded(made, [policy for *_, policy in jobs if policy]))
    runs = []
    with _progress(jobs) as advance:
        for name, title, one, policy in jobs:
            told = _under(one, policy) if policy else one
            runs.append(Run(name, title, World(told).run(advance)))
    first = runs[0]
    runs[0] = replace(first, result=replace(first.result, warnings=(*notes, *first.result.warnings)))
    return runs


def _bounded(made: Scenario, policies: Iterable[str]) -> Iterator[str]:
    """Sentences on fixed numbers that the manifests do not allow."""
    for name in policies:
        count = name.removeprefix("static:")
        for pool in made.specs.pools if count != name else ():
            low, high = pool.scaling.minReplicas, pool.scaling.maxReplicas
            if pool.key in made.loads and not low <= int(count) <= high:
                yield f"{name}: {pool.key} may have {low} to {high} replicas, and is played with the nearest of them."


def _other_manifests(asked: Asked, file: str, repeat: str, read: Read) -> Scenario:
    try:
        return scenario(asked, [file], repeat, read)[0]
    except CannotSimulate as error:
        raise CannotSimulate(f"--baseline {file}: the same options do not suit these manifests: {error}") from None


def _compared(compare: str | None) -> tuple[str, ...]:
    if compare is None:
        return ()
    names = [n.strip() for n in compare.split(",")]
    asked = [one for n in names if n for one in (COMPARED if n == "all" else (n,))]
    return tuple(dict.fromkeys(asked))


def _check_names(baseline: str | None, compared: Sequence[str]) -> None:
    """Before anything is played."""
    for name in (*compared, *([baseline] if baseline is not None and not Path(baseline).exists() else [])):
        if name not in (OURS, CLAIRVOYANT) and not baselines.is_name(name):
            known = ", ".join((*baselines.NAMES, CLAIRVOYANT))
            file = ", and no such file" if name == baseline else ""
            raise CannotSimulate(f"no policy {name!r} to compare with{file}; there are {known} and static:N.")


def _title(name: str) -> str:
    return "knows the future: the bound" if name == CLAIRVOYANT else baselines.title(name)


def _under(made: Scenario, name: str) -> Scenario:
    """The same run under the policy `name`, asked as often as its original looks (down to some seconds)."""
    policies = _policies(made, name)
    often = min((p.period_s for p in policies.values()), default=made.longest_tick_s)
    finest = FINEST_S if made.length_s <= FINE_UP_TO_S else FINEST_LONG_S
    return replace(
        made,
        scale=policies,
        tick_s=min(made.longest_tick_s, max(often, finest)),
        drawn_s=made.bin_s,
    )


def _policies(made: Scenario, name: str) -> dict[PoolKey, baselines.Baseline]:
    """The policy `name` for every pool; pools without load keep their least number."""
    return {pool.key: _policy(made, pool, name) for pool in made.specs.pools}


def _policy(made: Scenario, pool: PoolSpec, name: str) -> baselines.Baseline:
    if pool.key not in made.loads:
        return baselines.baseline(f"static:{pool.scaling.minReplicas}", _nothing())
    trace, work = made.loads[pool.key], made.work[pool.key]
    measured = trace.between(made.measure_from_s, trace.length_s) if made.measure_from_s else trace
    before = trace.between(0.0, made.measure_from_s) if made.measure_from_s >= trace.bin_s else trace
    if name == CLAIRVOYANT:
        return _bound(made, pool, trace, work)
    return baselines.baseline(name, baselines.Case(measured, before, work.mean_s, pool.concurrency))


def _nothing() -> baselines.Case:
    empty = Trace("none", 60.0, (0.0,))
    return baselines.Case(empty, empty, 1.0, 1)


def _bound(made: Scenario, pool: PoolSpec, trace: Trace, work: ServiceTime) -> baselines.Baseline:
    queue = pool.service.queue
    patience_s = made.patience_s or pool.service.requestTimeoutSeconds
    startup = made.startup_of(pool.key)
    how = Play(
        until_s=trace.length_s,
        startup_s=startup.mean_s,
        startup_cv=startup.cv,
        tick_s=max(5.0, made.longest_tick_s),
        measure_from_s=made.measure_from_s,
        patience_s=min(patience_s, queue.maxWaitSeconds or pool.promise.within),
        initial=pool.scaling.minReplicas,
        epoch=made.epoch,
        seed=made.seed,
    )

    def requests() -> Requests:
        return Requests(trace.points(), work, made.seed)

    return clairvoyant.bound(pool, trace, work.mean_s, requests, how, spent=BOUND_SPENDS, stands=not made.cold).plan


@contextmanager
def _progress(jobs: Sequence[tuple[str, str, Scenario, str | None]]) -> Iterator[Callable[[float], None]]:
    """A bar on the standard error stream, for people."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("simulating {task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f}%"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    lengths = [one.length_s for _, _, one, _ in jobs]
    with bar:
        if not bar.disable and engine.must_compile_first():
            bar.console.print("Compiling the simulator, once for this version: about ten seconds ...")
        task = bar.add_task(jobs[0][0], total=sum(lengths))
        done, last = [0.0], [0.0]

        def advance(second: float) -> None:
            if second < last[0]:  # the next job began
                done[0] += last[0]
            last[0] = second
            at = sum(1 for i in range(len(lengths)) if sum(lengths[: i + 1]) <= done[0] + 1e-6)
            bar.update(task, completed=done[0] + second, description=jobs[min(at, len(jobs) - 1)][0])

        yield advance


def command_line(seed: int) -> str:
    """The command that repeats this run."""
    words = ["tidegate", *sys.argv[1:]] if len(sys.argv) > 1 else ["tidegate", "simulate"]
    seeded = any(w == "--seed" or w.startswith("--seed=") for w in words)
    return shlex.join(words if seeded else [*words, "--seed", str(seed)])
