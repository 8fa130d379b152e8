"""Decide once more what a recording holds: the same inputs must give the same output.

With other manifests, what they would have wanted of each pool, given the observations that were really made. The
replicas in those are the ones that really ran, so a replay says what would have been *asked for* at every instant; what
would have come of it, requests and cost, is what `tidegate simulate` is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from tidegate.control.decide import decide
from tidegate.model.memory import Memory, PoolMemory
from tidegate.model.plan import Tick
from tidegate.model.reasons import deciding
from tidegate.spec.resolve import PoolKey, Specs
from tidegate.store.tape import Decision, Recorded, Stretch, in_short, read

KEPT = 100  # differences that are told one by one


@dataclass(frozen=True, slots=True)
class Step:
    """One recorded tick, decided again. `gap` says what is wrong with the recording before it, "" when nothing is."""

    recorded: Recorded
    decided: Tick
    before: Memory
    gap: str = ""

    @property
    def again(self) -> Decision:
        return in_short(self.decided)


def replay(stretches: Iterable[Stretch], specs_of: Callable[[int], Specs]) -> Iterator[Step]:
    """Every tick of a recording, decided anew from the memory the recording begins with.

    Args:
        specs_of: the manifests of a revision.
    """
    memory: Memory | None = None
    for tick in read(stretches):
        gap = ""
        if tick.memory is not None:
            if tick.broken:
                gap = "ticks before this one were not recorded: the journal could not be written"
            elif memory is not None and memory != tick.memory and not tick.turned:
                gap = "the memory it went on with is not what came before (a forecast import while it stood?)"
            memory = tick.memory
        assert memory is not None  # `read` begins where the recording begins anew
        decided = decide(specs_of(tick.specs), tick.observed, memory, emptying=tick.emptying)
        yield Step(tick, decided, memory, gap)
        memory = decided.memory


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a decision came out otherwise (epoch seconds)."""

    at: float
    what: str


@dataclass(slots=True)
class Verdict:
    """What a replay found. `seconds` is the time it covers; the first `KEPT` of the `different` ticks are told."""

    ticks: int = 0
    since: float = 0.0
    until: float = 0.0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)
    gaps: list[Difference] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        return not self.different


def verify(steps: Iterable[Step]) -> Verdict:
    """Compare every decision with the one that was recorded."""
    found = Verdict()
    for step in steps:
        at = step.recorded.observed.at
        found.since = found.since or at
        found.until = at
        found.ticks += 1
        if step.gap:
            found.gaps.append(Difference(at, step.gap))
        what = _difference(step.recorded.decision, step.again)
        if what:
            found.different += 1
            if len(found.differences) < KEPT:
                found.differences.append(Difference(at, what))
    return found


def _difference(recorded: Decision, again: Decision) -> str:
    if recorded.digest == again.digest:
        return ""
    said = []
    for key in {**recorded.wanted, **again.wanted}:
        was, now = recorded.wanted.get(key), again.wanted.get(key)
        if was != now:
            said.append(f"{key}: {_wanted(was)} recorded, {_wanted(now)} now")
    if recorded.actions != again.actions:
        said.append(f"actions: {_actions(recorded)} recorded, {_actions(again)} now")
    return "; ".join(said) or "the same numbers and actions for other reasons"


def _wanted(pair: tuple[int, int] | None) -> str:
    if pair is None:
        return "nothing"
    return f"{pair[0]} wanted" + (f" ({pair[1]} pending)" if pair[1] else "")


def _actions(of: Decision) -> str:
    return ", ".join(of.actions) or "none"


# -- other manifests ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Otherwise:
    """One pool under other manifests: replica-seconds wanted then and now, and when the two differed.

    `changes` tell, from each instant on, how many were wanted then and would be now, and why; None: not declared.
    """

    key: PoolKey
    seconds: float = 0.0
    wanted_s_then: float = 0.0
    wanted_s_now: float = 0.0
    differed_s: float = 0.0
    most_then: int = 0
    most_now: int = 0
    changes: list[tuple[float, int | None, int | None, str]] = field(default_factory=list)


def otherwise(steps: Iterable[Step], specs: Specs) -> dict[PoolKey, Otherwise]:
    """What `specs` would have wanted at every tick; each pool lives with what it would have wanted before."""
    found: dict[PoolKey, Otherwise] = {}
    scales: dict[PoolKey, PoolMemory] = {}
    earlier: float | None = None
    for step in steps:
        seen = step.recorded.observed
        span_s = min(60.0, seen.at - earlier) if earlier is not None else 0.0
        earlier = seen.at
        if step.recorded.emptying:
            continue
        known = {**scales, **step.before.pools}
        pools = {k: replace(p, scale=scales[k].scale) if k in scales else p for k, p in known.items()}
        decided = decide(specs, seen, replace(step.before, pools=pools))
        scales = dict(decided.memory.pools)
        then = step.recorded.decision.wanted
        now = {p.key: p for p in decided.plan.pools}
        for key in {**then, **now}:
            plan = now.get(key)
            was, would = then[key][0] if key in then else None, plan.wanted if plan else None
            why = deciding(plan.reasons, plan.wanted) if plan else ""
            _add(found.setdefault(key, Otherwise(key)), seen.at, span_s, (was, would, why))
    return found


def _add(pool: Otherwise, at: float, span_s: float, what: tuple[int | None, int | None, str]) -> None:
    was, would, why = what
    if pool.changes:  # the span that ends now had what was wanted at its beginning
        _, before, would_before, _ = pool.changes[-1]
        pool.seconds += span_s
        pool.wanted_s_then += span_s * (before or 0)
        pool.wanted_s_now += span_s * (would_before or 0)
        pool.differed_s += span_s * (before != would_before)
    pool.most_then, pool.most_now = max(pool.most_then, was or 0), max(pool.most_now, would or 0)
    if not pool.changes or pool.changes[-1][1:3] != (was, would):
        pool.changes.append((at, was, would, why))
