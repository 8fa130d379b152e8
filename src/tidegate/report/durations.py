"""How long scaling out, starting and upgrading took, from decisions and the lives of replicas."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from tidegate.model.journal import Entry, Kind
from tidegate.model.lifecycle import PHASES
from tidegate.report.lives import Life, is_start, ready_steps


@dataclass(frozen=True, slots=True)
class Spread:
    """Durations in seconds by rank; None where there is none. `open` of them had not ended when the window did."""

    count: int = 0
    p50_s: float | None = None
    p95_s: float | None = None
    longest_s: float | None = None
    open: int = 0


@dataclass(frozen=True, slots=True)
class Durations:
    """What was waited for: None when it had not ended."""

    ended_s: tuple[float, ...] = ()
    open: int = 0

    def __add__(self, other: Durations) -> Durations:
        return Durations(self.ended_s + other.ended_s, self.open + other.open)

    def spread(self) -> Spread:
        """Nearest-rank quantiles: p95 is the smallest duration that at least 95% do not exceed."""
        if not self.ended_s:
            return Spread(open=self.open)
        ordered = sorted(self.ended_s)
        p50, p95 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
        return Spread(len(ordered), p50, p95, ordered[-1], self.open)


@dataclass(frozen=True, slots=True)
class Phases:
    """Starts that are complete: seconds of each of `PHASES`."""

    took_s: tuple[tuple[float, ...], ...] = ()

    def __add__(self, other: Phases) -> Phases:
        return Phases(self.took_s + other.took_s)

    def p95_s(self) -> dict[str, float]:
        """Of each phase by nearest rank, in order; empty when no start was measured."""
        columns = zip(*self.took_s, strict=True)
        named = dict(zip(PHASES, columns, strict=False))
        return {name: sorted(took)[math.ceil(0.95 * len(took)) - 1] for name, took in named.items()}


def phases(entries: Sequence[Entry], since: float, until: float) -> Phases:
    """The phases of the starts that ended in the window."""
    told = (e.data.get("phases_s") for e in entries if e.kind == Kind.PHASE and since <= e.at < until)
    return Phases(tuple(tuple(float(s) for s in took) for took in told if took and len(took) == len(PHASES)))


def scale_outs(decisions: Sequence[Entry], of: Sequence[Life], since: float, until: float) -> Durations:
    """From each decision that raises the wanted number until that many replicas are ready.

    A decision that a later one lowers below its number before that is not counted: nobody waited for it any more.
    """
    steps = ready_steps(of)
    times = [at for at, _ in steps]
    ended, still_open = [], 0
    for i, (before, now) in enumerate(pairwise(decisions), start=1):
        wanted = _wanted(now)
        if wanted <= _wanted(before) or not since <= now.at < until:
            continue
        later = islice(decisions, i + 1, None)
        lowered_at = next((d.at for d in later if _wanted(d) < wanted), math.inf)
        reached_at = _reached(steps, bisect_right(times, now.at), wanted, now.at)
        if reached_at <= min(lowered_at, until):
            ended.append(reached_at - now.at)
        elif lowered_at > until:
            still_open += 1
    return Durations(tuple(ended), still_open)


def start_ups(of: Sequence[Life], since: float, until: float) -> Durations:
    """From asking for a replica until it is ready for the first time; those that ended before are not counted."""
    born = [life for life in of if since <= life.begun_at < until]
    ready = [(life.begun_at, life.ready_at) for life in born if life.ready_at is not None and life.ready_at <= until]
    waiting = [life for life in born if life.ready_at is None or life.ready_at > until]
    still_open = sum(life.gone_at is None or life.gone_at > until for life in waiting)
    return Durations(tuple(ready_at - begun_at for begun_at, ready_at in ready), still_open)


def upgrades(
    decisions: Sequence[Entry], starts: Sequence[Entry], of: Sequence[Life], since: float, until: float
) -> Durations:
    """From the first sign of a new revision until every replica that was there before it is gone.

    A revision that another one replaces before that has no end of its own: the later one is counted.
    """
    signs = [(e.at, str(e.data["revision"])) for e in (*decisions, *starts) if e.data.get("revision")]
    signs.sort(key=lambda sign: sign[0])
    seen: set[str] = set()
    begun = []
    for at, revision in signs:
        if revision not in seen and seen and since <= at < until:
            begun.append(at)
        seen.add(revision)
    ended, still_open = [], 0
    for at, following in pairwise([*begun, math.inf]):
        old = [life for life in of if life.begun_at < at and (life.gone_at is None or life.gone_at > at)]
        if not old:
            continue
        over_at = max(math.inf if life.gone_at is None else life.gone_at for life in old)
        if over_at <= min(until, following):
            ended.append(over_at - at)
        elif following > until:
            still_open += 1
    return Durations(tuple(ended), still_open)


def decisions_of(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries that say what was wanted."""
    return tuple(e for e in entries if e.kind == Kind.DECISION and "wanted" in e.data)


def starts_of(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The actions that started replicas."""
    return tuple(e for e in entries if is_start(e))


def _wanted(decision: Entry) -> int:
    return int(decision.data["wanted"])


def _reached(steps: Sequence[tuple[float, int]], first: int, wanted: int, at: float) -> float:
    """When `wanted` were ready, not before `at`; infinity: never. `steps[first]` is the next after `at`."""
    if first and steps[first - 1][1] >= wanted:
        return at
    return next((step_at for step_at, ready in islice(steps, first, None) if ready >= wanted), math.inf)
