"""Upgrades: from the revision that serves to the one that is declared, a proven batch at a time, or back.

A batch: new replicas are started within the surge, probed and verified, offered to the balancer, and watched beside the
old ones; only then as many old ones are drained, and the next batch begins. Until the very end there are enough old
replicas to carry everything but what was proven, so going back is letting the new ones go. Phases walk the table
`ROLLOUT_MOVES`; counts are kept as shares of what is wanted, so scaling goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tidegate.base.units import count_of
from tidegate.model.lifecycle import ROLLOUT_MOVES, RolloutPhase
from tidegate.model.memory import Counted, RolloutMemory, RolloutRecord, Vacancy
from tidegate.model.observed import GatewaySeen, Intent
from tidegate.model.plan import RolloutStep
from tidegate.model.reasons import Reason
from tidegate.policy import evidence
from tidegate.policy.reconcile import Split, Standing
from tidegate.policy.waves import Waves, clusters_of
from tidegate.spec.resolve import PoolSpec
from tidegate.spec.service import CanaryStep, Rollout

CRASHES = 3  # of the same place in a row: a crash loop
HISTORY = 10
STABLE, ADDING, WATCHING = RolloutPhase.STABLE, RolloutPhase.ADDING, RolloutPhase.WATCHING
GOING_BACK, ROLLED_BACK = RolloutPhase.GOING_BACK, RolloutPhase.ROLLED_BACK
FORWARD = (ADDING, WATCHING)
BACK = (GOING_BACK, ROLLED_BACK)


class Facts(NamedTuple):
    """What one look at a pool showed; `standing` are its living replicas that do not drain."""

    at: float
    wanted: int
    standing: Sequence[Standing]
    vacancies: tuple[Vacancy, ...] = ()
    gateway: GatewaySeen | None = None
    intents: tuple[Intent, ...] = ()
    waves: Waves = ()


class Step(NamedTuple):
    """What follows for a pool.

    `standing` has those of revisions that are not wanted marked stale. `held` replicas get no new requests though they
    are ready. `moves` are the phases it went through. New ones may be started in `clusters` now, best
    first (None: anywhere); old ones of `leaving` go first, in that order. `canaries` get all requests with the headers
    `only` and no others.
    """

    memory: RolloutMemory
    split: Split
    standing: tuple[Standing, ...]
    vacancies: tuple[Vacancy, ...]
    held: frozenset[str] = frozenset()
    moves: tuple[RolloutStep, ...] = ()
    reasons: tuple[Reason, ...] = ()
    look_again_at: float | None = None
    clusters: tuple[str, ...] | None = None
    leaving: tuple[str, ...] = ()
    canaries: frozenset[str] = frozenset()
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def under_way(self) -> bool:
        return self.memory.phase in (ADDING, WATCHING, GOING_BACK)


def advance(spec: PoolSpec, memory: RolloutMemory, facts: Facts) -> Step:
    """One look at one pool's rollout."""
    walk = _Walk(spec, facts, memory)
    walk.declared()
    walk.obey()
    walk.count()
    walk.judge()
    walk.progress()
    return walk.step()


@dataclass(slots=True)
class _Walk:
    """One look in hand; mutable, and never seen outside."""

    spec: PoolSpec
    facts: Facts
    m: RolloutMemory
    moves: list[RolloutStep] = field(default_factory=list)
    vacancies: tuple[Vacancy, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.vacancies = self.facts.vacancies

    # -- what is declared, what operators want -------------------------------------------------------------------

    def declared(self) -> None:
        """Begin, withdraw or aim anew when the manifest names another revision."""
        revision = self.spec.revision
        if not self.m.stable:
            self.m = replace(self.m, stable=self._found() or revision, since=self.facts.at)
        heading_for = self.m.stable if self.m.phase is STABLE else self.m.target
        if revision == heading_for:
            return
        if self.m.phase in FORWARD:
            self._record("withdrawn" if revision == self.m.stable else "replaced", f"{revision} was declared")
        if revision == self.m.stable:
            self._move("withdrawn", f"{revision} is declared again")
            self.m = replace(self.m, target="", done=0.0, goal=0.0, paused=False, promoted=False)
            return
        self._begin(revision)

    def _found(self) -> str:
        """The revision of most ready replicas, when nothing is remembered (an older version wrote the memory)."""
        ready = [s.memory.revision for s in self.facts.standing if s.memory.ready_at is not None]
        return max(ready, key=lambda r: (ready.count(r), r != self.spec.revision), default="")

    def _begin(self, revision: str) -> None:
        source = self.m.stable
        serving = any(s.memory.revision == source and s.memory.ready_at is not None for s in self.facts.standing)
        fresh = RolloutMemory(stable=source, target=revision, heard_at=self.m.heard_at, history=self.m.history)
        self.m = replace(fresh, phase=self.m.phase, began_at=self.facts.at, waves=self.facts.waves)
        if not serving:
            self._record("done", f"no replica of {source} served")
            self._move("nothing to replace", f"no replica of {source} serves")
            self.m = replace(self.m, stable=revision, target="")
            return
        self._move("new revision", f"{source} -> {revision}")
        self._next_batch()

    def obey(self) -> None:
        """Do what operators asked for since the last wish that was heard."""
        mine = [i for i in self.facts.intents if i.subject == self.spec.key.service and i.verb.endswith("-rollout")]
        for intent in sorted(mine, key=lambda i: i.at):
            if intent.at > self.m.heard_at:
                self._hear(intent.verb.removesuffix("-rollout"))
                self.m = replace(self.m, heard_at=intent.at)

    def _hear(self, verb: str) -> None:
        forward, at = self.m.phase in FORWARD, self.facts.at
        match verb:
            case "pause" if forward:
                self.m = replace(self.m, paused=True, reason="paused by an operator")
            case "resume" if forward:
                self._resume("")
            case "promote" if forward:
                self.m = replace(self.m, promoted=True)
                self._resume("promoted by an operator")
            case "promote" | "retry" if self.m.phase in BACK:
                self._again(promoted=verb == "promote")
            case "undo" if forward:
                self._back("undone", "undone by an operator")
            case "undo" if self.m.phase is STABLE and (source := previous(self.m)):
                self.m = replace(self.m, stable=source, target=self.spec.revision, began_at=at)
                self._back("undone", f"undone by an operator: back to {source}")

    def _resume(self, reason: str) -> None:
        self.m = replace(self.m, paused=False, progress_at=self.facts.at, reason=reason)
        if self.m.phase is ADDING and self.m.goal <= self.m.done:
            self._next_batch()

    def _again(self, *, promoted: bool) -> None:
        self.vacancies = tuple(v for v in self.vacancies if v.revision != self.m.target)
        self.m = replace(
            RolloutMemory(stable=self.m.stable, target=self.m.target, heard_at=self.m.heard_at, history=self.m.history),
            phase=self.m.phase,
            promoted=promoted,
            began_at=self.facts.at,
            waves=self.facts.waves,
        )
        self._move("retried", "promoted by an operator" if promoted else "tried again by an operator")
        self._next_batch()

    # -- evidence ------------------------------------------------------------------------------------------------

    def count(self) -> None:
        """Add up what both revisions answered while the new one served (blue-green: the old one before the switch)."""
        gateway = self.facts.gateway
        if gateway is None or self.m.phase not in FORWARD:
            return
        seen = [(self._is_new(s), gateway.servers[s.id]) for s in self.facts.standing if s.id in gateway.servers]
        side_by_side = any(new and not server.draining for new, server in seen) or self._strategy == "blueGreen"
        if side_by_side:
            new = evidence.counted(self.m.new, (server for is_new, server in seen if is_new))
            old = evidence.counted(self.m.old, (server for is_new, server in seen if not is_new))
            self.m = replace(self.m, new=new, old=old)

    def judge(self) -> None:
        """Go back when the new revision has shown itself bad, or does not get anywhere."""
        if self.m.phase not in FORWARD:
            return
        crashed = [v for v in self.vacancies if v.revision == self.m.target]
        unverified = next((v.cause for v in crashed if v.cause.startswith("verify failed")), "")
        looping = max(crashed, key=lambda v: v.restarts, default=None)
        limit_s = self._rollout.progressDeadlineSeconds
        held = self.m.paused or self.facts.wanted == 0
        late = self.m.phase is ADDING and not held and self.facts.at - self.m.progress_at >= limit_s
        if unverified:
            self._back("failed", unverified)
        elif looping is not None and looping.restarts >= CRASHES:
            self._back("failed", f"crash loop, {looping.restarts} times in a row: {looping.cause}")
        elif late:
            last = f"; last: {looping.cause}" if looping else ""
            self._back("failed", f"no progress for {limit_s:g} s: {self._ready()} of {self._goal()} ready{last}")
        elif not self.m.promoted:
            verdict = evidence.against(self.m.new, self.m.old, self._rollout.rollbackOn)
            if verdict:
                self._back("failed", verdict)

    def _back(self, cause: str, reason: str) -> None:
        self.m = replace(self.m, paused=False, promoted=False, done=0.0, goal=0.0)
        self._move(cause, reason)
        self._record("rolled back", reason)

    # -- forward -------------------------------------------------------------------------------------------------

    def progress(self) -> None:
        """From one phase to the next when it is time."""
        m, at = self.m, self.facts.at
        if m.phase is GOING_BACK:
            left = any(self._is_new(s) for s in self.facts.standing)
            serving = sum(s.ready and s.memory.revision == m.stable for s in self.facts.standing)
            if not left and serving >= self.facts.wanted:
                self._move("back", m.reason)
        if m.phase not in FORWARD:
            return
        if m.paused or not self.facts.wanted:
            self.m = replace(m, progress_at=at)
            return
        ready = self._ready()
        if m.phase is ADDING:
            if ready > m.best:
                self.m = m = replace(m, best=ready, progress_at=at)
            if ready >= self._goal() and self._offered():
                self._move("batch ready", f"{ready} of {self.facts.wanted} new ones serve")
                self.m = replace(self.m, watch_new=m.new.asked, watch_old=m.old.asked)
        elif ready >= self._goal() and (m.promoted or self._watched()):
            self._proven()

    def _offered(self) -> bool:
        """Whether the balancer has confirmed the new replicas (blue-green: they are held until all are ready)."""
        gateway = self.facts.gateway
        if gateway is None:
            return False
        new = [s.id for s in self.facts.standing if self._is_new(s) and s.ready]
        return self._strategy == "blueGreen" or all(n in gateway.servers for n in new)

    def _watched(self) -> bool:
        """Long enough, and on enough requests; too few in the whole pool to judge by is no reason to wait."""
        elapsed_s = self.facts.at - self.m.since
        if elapsed_s < self._watch_s():
            return False
        new = self.m.new.asked - self.m.watch_new
        enough = new >= evidence.ENOUGH and self.m.new.asked >= evidence.COMPARED  # in all, to compare times by
        both = new + self.m.old.asked - self.m.watch_old
        idle = both < evidence.ENOUGH and self.facts.gateway is not None
        return enough or idle or elapsed_s >= self._rollout.progressDeadlineSeconds

    def _proven(self) -> None:
        """The batch is good: done, or the next one."""
        seen = self.m.new.asked - self.m.watch_new
        told = f"{seen} requests of the new revision watched"
        if self._goal() >= self.facts.wanted:
            self._record("done", told)
            self._move("all good", told)
            self.m = replace(self.m, stable=self.m.target, target="", paused=False, promoted=False, done=0.0, goal=0.0)
            self.m = replace(self.m, new=Counted(), old=Counted())
            return
        step = self._canary_step()
        self.m = replace(self.m, done=min(self.m.goal, self._goal() / self.facts.wanted))
        if self.m.wave_ends:
            self._move("wave good", f"{self._wave_name()}: {told}")
        else:
            self._move("batch good", told)
        if step is not None and step.manual and not self.m.promoted:
            self.m = replace(self.m, paused=True, reason=f"at {step.weight:.4g} of the replicas; waits for resume")
        else:
            self._next_batch()

    def _next_batch(self) -> None:
        wanted, done = self.facts.wanted, self._done()
        most = wanted if self._strategy == "blueGreen" else (surge := self._surge()) + self._unavailable(surge)
        if self._strategy == "rolling":
            most = min(most, self._rollout.batch_of(wanted))
        goal = min(wanted, done + max(1, most))
        if self._strategy == "canary" and not self.m.promoted:
            goal = min(goal, next((n for n in self._canary_counts() if n > done), wanted))
        wave, most = self._wave(done)
        goal = min(goal, most)
        share = 1.0 if goal >= wanted else goal / wanted
        ends = goal == most < wanted
        fixed = goal if wave < len(self.m.waves) - 1 else 0
        self.m = replace(self.m, goal=share, best=self._ready(), progress_at=self.facts.at)
        self.m = replace(self.m, wave=wave, wave_ends=ends, wave_most=fixed)

    def _wave(self, done: int) -> tuple[int, int]:
        """The wave that the next batch belongs to, and how many replicas may be new by its end.

        Old ones that stand in its clusters, less those that the batch before has made superfluous there.
        """
        m, wanted = self.m, self.facts.wanted
        old = [s.memory.cluster for s in self.facts.standing if not s.stale and not self._is_new(s)]
        superfluous = max(0, len(old) - (wanted - done))
        for wave in range(m.wave, len(m.waves) - 1):
            here = sum(name in m.waves[wave] for name in old)
            left = here - (superfluous if wave == m.wave else 0)
            if left > 0:
                return wave, min(wanted, done + left)
        return max(0, len(m.waves) - 1), wanted

    def _wave_name(self) -> str:
        m = self.m
        return f"wave {m.wave + 1} of {len(m.waves)} ({', '.join(m.waves[m.wave])})"

    def _canary_counts(self) -> list[int]:
        return [self._of(step.weight) for step in self._rollout.canary.steps]

    def _canary_step(self) -> CanaryStep | None:
        """The canary step that the batch under way completes."""
        if self._strategy != "canary":
            return None
        goal = self._goal()
        steps = zip(self._canary_counts(), self._rollout.canary.steps, strict=True)
        return next((step for count, step in steps if count == goal), None)

    def _chosen(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The headers of the only requests that new replicas get in this step; empty: they take part in all.

        Old ones are all still there then, so there must be room for the new ones beside them.
        """
        if self._strategy != "canary" or self.m.phase not in FORWARD or self.m.promoted:
            return ()
        goal, steps = self._goal(), zip(self._canary_counts(), self._rollout.canary.steps, strict=True)
        return next((step.only for count, step in steps if count >= goal), ())

    def _watch_s(self) -> float:
        step = self._canary_step()
        pause_s = self._rollout.wavePauseSeconds if self.m.wave_ends else 0.0
        return max(self._rollout.watchSeconds, step.pause if step else 0.0, pause_s)

    # -- counts --------------------------------------------------------------------------------------------------

    @property
    def _rollout(self) -> Rollout:
        return self.spec.service.rollout

    @property
    def _strategy(self) -> str:
        return self._rollout.strategy

    def _of(self, share: float) -> int:
        return min(self.facts.wanted, count_of(float(share), self.facts.wanted, up=True))

    def _goal(self) -> int:
        return self._bounded(self._of(self.m.goal))

    def _done(self) -> int:
        return self._bounded(self._of(self.m.done))

    def _bounded(self, count: int) -> int:
        """What a scale-up adds in a wave but the last is of the old revision: it may stand anywhere."""
        return min(count, self.m.wave_most) if self.m.wave_most else count

    def _is_new(self, s: Standing) -> bool:
        return s.memory.revision == self.m.target

    def _ready(self) -> int:
        return sum(s.ready and not s.stale and self._is_new(s) for s in self.facts.standing)

    def _surge(self) -> int:
        return 0 if is_crowded(self.m, self.facts.wanted) else self._rollout.surge_of(self.facts.wanted)

    def _unavailable(self, surge: int) -> int:
        """At least one when nothing may surge, as in a Deployment whose two shares both come to zero."""
        wanted = self.facts.wanted
        allowed = self._rollout.unavailable_of(wanted)
        return min(wanted, max(allowed, 1)) if surge == 0 else allowed

    # -- the answer ----------------------------------------------------------------------------------------------

    def step(self) -> Step:
        m, forward = self.m, self.m.phase in FORWARD
        main = m.target if forward else m.stable
        standing = tuple(
            s if forward or s.stale or s.memory.revision == main else s._replace(stale=True)
            for s in self.facts.standing
        )
        vacancies = self.vacancies
        if m.phase in BACK:
            vacancies = tuple(v for v in vacancies if v.revision != m.target)
        return Step(
            memory=m,
            split=self._split(main, forward),
            standing=standing,
            vacancies=vacancies,
            held=self._held(),
            moves=tuple(self.moves),
            reasons=self._reasons(),
            look_again_at=self._wake(),
            clusters=clusters_of(m.waves, m.wave) if forward and m.wave < len(m.waves) - 1 else None,
            canaries=frozenset(s.id for s in self.facts.standing if self._is_new(s)) if self._chosen() else frozenset(),
            only=self._chosen(),
            leaving=tuple(name for wave in m.waves[: m.wave + 1] for name in wave) if forward else (),
        )

    def _split(self, main: str, forward: bool) -> Split:
        wanted, surge = self.facts.wanted, self._surge()
        unavailable = self._unavailable(surge)
        why = "rolled back" if self.m.phase in BACK else "replaced"
        if not forward:
            room = wanted + max(1, surge) if wanted else 0
            return Split(main, wanted, self.m.target or main, 0, room, wanted - unavailable, why)
        if self._strategy == "blueGreen":
            return Split(main, wanted, self.m.stable, wanted, 2 * wanted, wanted, why)
        goal, done = self._goal(), self._done()
        others = wanted if self._chosen() else max(0, wanted - done - max(0, goal - done - surge))
        return Split(main, goal, self.m.stable, others, wanted + surge, wanted - unavailable, why)

    def _held(self) -> frozenset[str]:
        """Blue-green: the new ones until all are ready; the old ones once they are."""
        if self._strategy != "blueGreen" or self.m.phase not in FORWARD:
            return frozenset()
        new = self.m.phase is ADDING
        return frozenset(s.id for s in self.facts.standing if self._is_new(s) is new)

    def _reasons(self) -> tuple[Reason, ...]:
        m = self.m
        if m.phase is STABLE:
            return ()
        if m.phase in BACK:
            return (Reason("rollout", f"{m.target} {m.phase}: {m.reason}; {m.stable} serves"),)
        what = f"{m.stable} -> {m.target}: {self._ready()} of {self.facts.wanted} ready"
        now = f"paused: {m.reason}" if m.paused else f"{m.phase} up to {self._goal()}"
        now = f"{self._wave_name()}, {now}" if m.waves else now
        return (Reason("rollout", f"{what}, {now}"),)

    def _wake(self) -> float | None:
        if self.moves and self.m.phase is not ROLLED_BACK:
            return self.facts.at
        if self.m.phase is WATCHING and not self.m.paused:
            due = self.m.since + self._watch_s()
            return due if due > self.facts.at else None
        return None

    def _move(self, cause: str, reason: str) -> None:
        before = self.m.phase
        after = ROLLOUT_MOVES[before][cause]
        self.m = replace(self.m, phase=after, since=self.facts.at, reason=reason)
        said = reason if cause in reason else f"{cause}: {reason}"
        target = self.m.target or self.m.stable
        self.moves.append(RolloutStep(self.spec.key, before, after, said, target, self.facts.at))

    def _record(self, outcome: str, reason: str) -> None:
        m = self.m
        record = RolloutRecord(m.stable, m.target, m.began_at, self.facts.at, outcome, reason)
        self.m = replace(m, history=(*m.history, record)[-HISTORY:])


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
