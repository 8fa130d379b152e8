"""What policies cost and keep on recorded traces, against the plan of one who knows the future.

    python benchmarks/policy/run.py --traces DIR [--policies tidegate,hpa,kpa] [--startups 20,120,300] [--quick]
        [--queues gateway,plain] [--seeds 1]

A cell is a trace, a start-up time and a policy; cells run one after the other (or in `--processes`), each tells its
result when it is done. With `--results FILE` every finished cell is kept there: a run that was stopped goes on where it
was, and only cells named by `--again` (a policy, by comma) are played anew. Writes a table to the terminal, and a block
of Markdown with `--markdown`. With `--seeds N` each cell is played N times, with other arrivals and other bins, and
told as one (`pooled`); the bound is that of the first seed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import cases
import pooled
import tables

from tidegate.base.streams import stream
from tidegate.policy.scaling import learn, scale
from tidegate.sim import baselines, clairvoyant, history
from tidegate.sim.requests import Requests
from tidegate.sim.single import Outcome, Play, Scale, play

BOUND = "clairvoyant"
OURS = "tidegate"
GATEWAY, PLAIN = "gateway", "plain"
QUICK_S = 2 * cases.DAY_S
TICK_S = 5.0
HISTORY_S = 7 * cases.DAY_S  # how much of what lies before the window the policy learns from
DEFAULT_TRACES = (Path("../shared/traces/open"), Path("shared/traces/open"), Path("examples/traces"))


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a trace, a start-up time, a policy."""

    folder: str
    entry: cases.Entry
    startup_s: float
    policy: str
    seed: int
    length_s: float | None
    queue: str = PLAIN

    @property
    def key(self) -> str:
        part = f"{self.length_s:g}" if self.length_s else "whole"
        queue = "" if self.queue == PLAIN else f" {self.queue}"
        return f"{self.entry.name} {self.startup_s:g} {self.policy} {self.seed} {part}{queue}"


@dataclass(frozen=True, slots=True)
class Row:
    """What a run gave."""

    trace: str
    kind: str
    startup_s: float
    policy: str
    success: float
    replica_hours: float
    utilization: float
    starts: int
    broken_s: float
    wait_p95_s: float
    requests: int
    seconds: float
    queue: str = PLAIN


def run(job: Job) -> tuple[Job, Row]:
    """Play one job."""
    began = time.perf_counter()
    case = cases.load(Path(job.folder), job.entry)
    if job.length_s is not None and case.window.length_s > job.length_s:
        case = replace(case, window=case.window.between(0.0, job.length_s))
    how, spec = setting(case, job), case.spec(job.seed)
    if job.policy == BOUND:
        # A plan changes only between its stretches, so looking more often changes nothing.
        slow = replace(how, tick_s=clairvoyant.STRETCH_S)
        outcome = clairvoyant.bound(
            spec, case.window, case.service.time.mean_s, lambda: requests(case, job), slow
        ).outcome
    else:
        policy, how = policy_of(case, job, how)
        memory = None
        if job.policy == OURS and case.before is not None:
            past = case.before.between(max(0.0, case.before.length_s - HISTORY_S), case.before.length_s)
            rng = stream(job.seed, "history")
            before = history.loads(past, case.service.time, rng, ends_at=case.epoch, every_s=2 * TICK_S)
            memory = learn(spec, before, job.startup_s)
        outcome = play(spec, requests(case, job), policy, how, memory=memory, keep_points=False)
    return job, row_of(job, outcome, time.perf_counter() - began)


def setting(case: cases.Case, job: Job) -> Play:
    first = case.window.between(0.0, max(600.0, case.window.bin_s)).mean_rps
    initial = math.ceil(first * case.service.time.mean_s / case.service.slots / 0.7)
    return Play(
        until_s=case.window.length_s,
        startup_s=job.startup_s,
        tick_s=TICK_S,
        measure_from_s=min(cases.WARM_UP_S, case.window.length_s / 4),
        patience_s=case.service.patience_s,
        initial=max(1, initial),
        epoch=case.epoch,
        seed=job.seed,
        plain_queue=job.queue == PLAIN,
    )


def requests(case: cases.Case, job: Job) -> Requests:
    return Requests(case.window.points(), case.service.time, job.seed)


def policy_of(case: cases.Case, job: Job, how: Play) -> tuple[Scale, Play]:
    """The policy by name, asked as often as its original evaluates."""
    if job.policy == OURS:
        return scale, how
    about = baselines.Case(case.window, case.before or case.window, case.service.time.mean_s, case.service.slots)
    made = baselines.baseline(job.policy, about)
    return made, replace(how, tick_s=made.period_s)


def row_of(job: Job, outcome: Outcome, seconds: float) -> Row:
    return Row(
        trace=job.entry.name,
        kind=job.entry.kind,
        startup_s=job.startup_s,
        policy=job.policy,
        success=outcome.success,
        replica_hours=outcome.replica_hours,
        utilization=outcome.utilization,
        starts=outcome.starts,
        broken_s=outcome.broken_s,
        wait_p95_s=outcome.waits.quantile_s(0.95),
        requests=outcome.arrivals,
        seconds=seconds,
        queue=job.queue,
    )


def main() -> int:
    args = arguments()
    folder = trace_folder(args.traces)
    jobs = list(all_jobs(args, folder))
    again = set(args.again.split(","))
    known = {key: row for key, row in read(args.results).items() if row.policy not in again}
    todo = [j for j in jobs if j.key not in known]
    for number, (job, row) in enumerate(played(todo, args.processes), 1):
        known[job.key] = row
        write(args.results, known)
        print(
            f"[{number}/{len(todo)}] {row.trace} {row.startup_s:g} s {row.policy} ({row.queue}, seed {job.seed}): "
            f"{row.replica_hours:.1f} h, {row.utilization:.1%} busy, {row.success:.3%} in time ({row.seconds:.0f} s)",
            file=sys.stderr,
            flush=True,
        )
    rows = pooled.rows([asdict(known[j.key]) for j in jobs])
    print(tables.text(rows, BOUND))
    if args.markdown:
        args.markdown.write_text(tables.markdown(rows, BOUND))
    return 0


def played(todo: list[Job], processes: int) -> Iterator[tuple[Job, Row]]:
    """The rows as they are done."""
    if processes == 1:
        yield from map(run, todo)
        return
    with ProcessPoolExecutor(max_workers=processes) as pool:
        for done in as_completed([pool.submit(run, j) for j in todo]):
            yield done.result()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, help="folder of the traces (default: ../shared/traces/open)")
    parser.add_argument("--policies", default=f"{OURS},static,hpa,hpa-demand,kpa,cron-hpa,rayserve,skyserve")
    parser.add_argument("--queues", default=f"{GATEWAY},{PLAIN}", help="the gateway's, which refuses, and a plain one")
    parser.add_argument("--startups", default="20,120,300", help="start-up times in seconds")
    parser.add_argument("--only", default="", help="names of traces, by comma")
    parser.add_argument("--quick", action="store_true", help="two days of each trace, start-up 120 s, tidegate and hpa")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds each cell is played with")
    parser.add_argument("--results", type=Path, help="file (JSON) that keeps finished cells between runs")
    parser.add_argument("--again", default="", help="policies to play anew although their cells are kept")
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"--seeds {args.seeds}: at least one is played")
    if args.quick:
        args.startups = "120" if args.startups == parser.get_default("startups") else args.startups
        args.policies = f"{OURS},hpa" if args.policies == parser.get_default("policies") else args.policies
    return args


def trace_folder(given: Path | None) -> Path:
    """The folder of the traces, and a sentence on what is not in it."""
    folder = given or next((f for f in DEFAULT_TRACES if f.is_dir()), DEFAULT_TRACES[0])
    missing = [e.name for e in cases.ENTRIES if cases.find(folder, e.name) is None]
    if len(missing) == len(cases.ENTRIES):
        sys.exit(f"{folder}: none of the traces is there ({', '.join(missing)}). Give their folder with --traces.")
    if missing:
        print(f"{folder}: without {', '.join(missing)}", file=sys.stderr)
    return folder


def all_jobs(args: argparse.Namespace, folder: Path) -> Iterable[Job]:
    only = set(filter(None, args.only.split(",")))
    for entry in cases.ENTRIES:
        if cases.find(folder, entry.name) is None or (only and entry.name not in only):
            continue
        for startup in args.startups.split(","):
            length = QUICK_S if args.quick else None
            # The bound refuses next to nobody: on two traces its cost was 0.1% lower with the gateway's queue.
            yield Job(str(folder), entry, float(startup), BOUND, args.seed, length, PLAIN)
            for policy in filter(None, args.policies.split(",")):
                for queue in args.queues.split(","):
                    for seed in range(args.seed, args.seed + args.seeds):
                        yield Job(str(folder), entry, float(startup), policy, seed, length, queue)


def read(path: Path | None) -> dict[str, Row]:
    if path is None or not path.is_file():
        return {}
    return {key: Row(**value) for key, value in json.loads(path.read_text()).items()}


def write(path: Path | None, known: dict[str, Row]) -> None:
    """Written beside and moved into place, so that a run may be stopped at any instant."""
    if path is not None:
        new = path.with_suffix(".new")
        new.write_text(json.dumps({key: asdict(row) for key, row in known.items()}, indent=1))
        new.replace(path)


if __name__ == "__main__":
    sys.exit(main())
