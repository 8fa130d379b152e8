"""One look at one pool's rollout in hand: what is known, what is counted, how it goes from phase to phase.

Counts are kept as shares of what is wanted, so scaling goes on meanwhile. Phases walk the table `ROLLOUT_MOVES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tidegate.base.units import count_of
from tidegate.model.lifecycle import ROLLOUT_MOVES, RolloutPhase
from tidegate.model.memory import RolloutMemory, RolloutRecord, Vacancy
from tidegate.model.observed import GatewaySeen, Intent
from tidegate.model.plan import RolloutStep
from tidegate.policy.reconcile import Standing
from tidegate.policy.rollout.waves import Waves
from tidegate.spec.resolve import PoolSpec
from tidegate.spec.rollout import Rollout

HISTORY = 10
STABLE, ADDING, WATCHING = RolloutPhase.STABLE, RolloutPhase.ADDING, RolloutPhase.WATCHING
GOING_BACK, ROLLED_BACK = RolloutPhase.GOING_BACK, RolloutPhase.ROLLED_BACK
FORWARD = (ADDING, WATCHING)
BACK = (GOING_BACK, ROLLED_BACK)


class Facts(NamedTuple):
    """What one look at a pool showed.

    `standing` are its living replicas that do not drain, `leaving` the others with their revisions: they may have
    answered requests since the last look, and failed some as they died.
    """

    at: float
    wanted: int
    standing: Sequence[Standing]
    vacancies: tuple[Vacancy, ...] = ()
    gateway: GatewaySeen | None = None
    intents: tuple[Intent, ...] = ()
    waves: Waves = ()
    leaving: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Walk:
    """Mutable, and never seen outside of `rollout`; the modules beside this one change it in turn."""

    spec: PoolSpec
    facts: Facts
    m: RolloutMemory
    moves: list[RolloutStep] = field(default_factory=list)
    vacancies: tuple[Vacancy, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.vacancies = self.facts.vacancies

    @property
    def how(self) -> Rollout:
        return self.spec.service.rollout

    @property
    def strategy(self) -> str:
        return self.how.strategy

    def count_of(self, share: float) -> int:
        return min(self.facts.wanted, count_of(float(share), self.facts.wanted, up=True))

    def goal(self) -> int:
        return self._bounded(self.count_of(self.m.goal))

    def done(self) -> int:
        return self._bounded(self.count_of(self.m.done))

    def _bounded(self, count: int) -> int:
        """What a scale-up adds in a wave but the last is of the old revision: it may stand anywhere."""
        return min(count, self.m.wave_most) if self.m.wave_most else count

    def is_new(self, s: Standing) -> bool:
        return s.memory.revision == self.m.target

    def ready(self) -> int:
        return sum(s.ready and not s.stale and self.is_new(s) for s in self.facts.standing)

    def wave_name(self) -> str:
        m = self.m
        return f"wave {m.wave + 1} of {len(m.waves)} ({', '.join(m.waves[m.wave])})"

    def move(self, cause: str, reason: str) -> None:
        before = self.m.phase
        after = ROLLOUT_MOVES[before][cause]
        self.m = replace(self.m, phase=after, since=self.facts.at, reason=reason)
        said = reason if cause in reason else f"{cause}: {reason}"
        target = self.m.target or self.m.stable
        self.moves.append(RolloutStep(self.spec.key, before, after, said, target, self.facts.at))

    def record(self, outcome: str, reason: str) -> None:
        m = self.m
        record = RolloutRecord(m.stable, m.target, m.began_at, self.facts.at, outcome, reason)
        self.m = replace(m, history=(*m.history, record)[-HISTORY:])

    def say_when_it_was_back(self) -> None:
        """An upgrade that was done when it was undone has no other duration than that of going back."""
        *before, last = self.m.history
        if last.began_at == last.ended_at:
            self.m = replace(self.m, history=(*before, replace(last, ended_at=self.facts.at)))

    def back(self, cause: str, reason: str) -> None:
        self.m = replace(self.m, paused=False, promoted=False, done=0.0, goal=0.0)
        self.move(cause, reason)
        self.record("rolled back", reason)


def at_rest(spec: PoolSpec, memory: RolloutMemory, intents: Sequence[Intent]) -> bool:
    """Whether what is declared serves and nobody wants anything else: there is nothing to walk through."""
    return memory.phase is STABLE and memory.stable == spec.revision and not intents


def surge_of(spec: PoolSpec, memory: RolloutMemory, wanted: int) -> int:
    return 0 if is_crowded(memory, wanted) else spec.service.rollout.surge_of(wanted)


def unavailable_of(spec: PoolSpec, wanted: int, surge: int) -> int:
    """At least one when nothing may surge, as in a Deployment whose two shares both come to zero."""
    allowed = spec.service.rollout.unavailable_of(wanted)
    return min(wanted, max(allowed, 1)) if surge == 0 else allowed


def previous(memory: RolloutMemory) -> str:
    """The revision that served before the present one; "" when it is not known."""
    for record in reversed(memory.history):
        if record.outcome == "done" and record.target == memory.stable:
            return record.source
    return ""


def is_crowded(memory: RolloutMemory, wanted: int) -> bool:
    """Whether old replicas go first, for want of room; asked anew when more are wanted: those may fit elsewhere."""
    return memory.crowded and wanted <= memory.crowded_at


def may_crowd(spec: PoolSpec, memory: RolloutMemory, wanted: int) -> bool:
    """Whether a rollout that finds no room to surge may let an old replica go first instead."""
    crowded = is_crowded(memory, wanted)
    return memory.phase in FORWARD and not crowded and spec.service.rollout.strategy != "blueGreen"
