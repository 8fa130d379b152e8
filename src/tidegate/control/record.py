"""Keep what happened: events in memory for who is looking now, rows in the journal for good.

A journal that cannot be written (disk full, database gone) is said once and costs no traffic: the loop goes on, and
what is kept in memory is still shown. Rows and the policies' memory they lead to are written in one transaction,
before the actions they describe are begun.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.base.errors import StoreError
from tidegate.control.status import total
from tidegate.model.actions import Action, Publish
from tidegate.model.journal import Entry, Kind
from tidegate.model.memory import Memory
from tidegate.model.observed import Observed, PoolLoad
from tidegate.model.plan import Ejection, Mark, PoolPlan, RolloutStep, Tick, Transition
from tidegate.model.reasons import deciding
from tidegate.spec.resolve import PoolKey, Specs
from tidegate.store.codec import plain
from tidegate.store.journal import Journal
from tidegate.store.tape import Tape
from tidegate.web.ports import Change, Event

PREVIEW = "preview"  # as `policy.scaling` marks the reason
KEPT = 2000  # events held in memory
RECALLED_S = 86400.0  # after a restart those of the last day are read back
LOAD_EVERY_S = 10.0
MEMORY_EVERY_S = 5.0  # when nothing happened; what happened is written at once, with the memory it leads to


@dataclass(slots=True)
class Recorder:
    """What the running system remembers for people, reports and its own next start.

    `revision` is that of the manifests in force.
    """

    journal: Journal
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT))
    count: int = 0
    fault_said: str = ""
    revision: int = 0
    tape: Tape = field(default_factory=Tape)
    _entries: list[Entry] = field(default_factory=list)
    _said: dict[PoolKey, PoolPlan] = field(default_factory=dict)
    _previews: dict[PoolKey, tuple[int, int]] = field(default_factory=dict)
    _faults: dict[str, str] = field(default_factory=dict)
    _loads: dict[PoolKey, list[PoolLoad]] = field(default_factory=dict)
    _loads_at: float = -math.inf
    _memory_at: float = -math.inf

    # -- writing -------------------------------------------------------------------------------------------------

    def tick(
        self, observed: Observed, decided: Tick, before: Memory, faults: Mapping[str, str], *, emptying: bool = False
    ) -> None:
        """What changed in this tick: decisions, transitions, what cannot be seen any more, loads now and then.

        Beside it the whole tick is recorded for a replay; `before` is the memory it began with.
        """
        at = observed.at
        self.tape.add(observed, decided, before, self.revision, emptying=emptying)
        for plan in decided.plan.pools:
            self._decision(at, plan)
            self._preview(at, plan)
        steps: list[Transition | Mark] = [*decided.transitions, *decided.marks]
        for one in sorted(steps, key=_in_time):
            if isinstance(one, Mark):
                self._mark(one)
            else:
                self._transition(one)
        for step in decided.rollouts:
            self._rollout(step)
        for ejection in decided.ejections:
            self._ejection(ejection)
        for action in decided.actions:
            if not isinstance(action, Publish):
                self._action(at, action)
        for what, why in faults.items():
            if self._faults.get(what) != why:
                self.fault(at, what, f"cannot be seen: {why}")
        self._faults = dict(faults)
        self._measured(observed)

    def remember(self, memory: Memory, at: float) -> None:
        """Write the rows gathered since the last call and the memory they lead to, all or nothing."""
        due = bool(self._entries) or at - self._memory_at >= MEMORY_EVERY_S
        if not due:
            return
        try:
            self.journal.append(self._entries, memory, at=at, recorded=self.tape.waiting())
        except StoreError as error:
            self._unwritten(at, error)
            return
        self._entries.clear()
        self.tape.written()
        self._memory_at = at
        self.fault_said = ""

    def applied(self, at: float, specs: Specs, changes: tuple[Change, ...]) -> None:
        """Write the declared manifests and say what changed.

        Raises:
            StoreError: they cannot be written; nothing was changed.
        """
        changed = [c for c in changes if c.verb != "same"]
        entries = [Entry(at, Kind.SPECS, c.name, data=plain(c)) for c in changed]
        self.revision = self.journal.save_specs(
            (*specs.clusters, *specs.services, *specs.tenants), at=at, entries=entries
        )
        for c in changed:
            detail = f": {'; '.join(c.fields)}" if c.fields else ""
            self._event(Event(at, "operator", c.name, f"{c.verb} {c.kind} {c.name}{detail}"))

    def operator(self, at: float, subject: str, text: str) -> None:
        """Somebody asked for something."""
        self._entries.append(Entry(at, Kind.OPERATOR, data={"subject": subject, "text": text}))
        self._event(Event(at, "operator", subject, text))

    def taught(self, at: float, subject: str, text: str, memory: Memory) -> None:
        """A forecast was taught: written at once, and the recording begins anew with what is known now."""
        self.operator(at, subject, text)
        self.tape.turn()
        self.remember(memory, at)

    def fault(self, at: float, subject: str, text: str) -> None:
        """Something could not be seen or done."""
        self._entries.append(Entry(at, Kind.FAULT, data={"subject": subject, "text": text}))
        self._event(Event(at, "fault", subject, text))

    def _decision(self, at: float, plan: PoolPlan) -> None:
        before = self._said.get(plan.key)
        if before is not None and (before.wanted, before.pending) == (plan.wanted, plan.pending):
            return
        self._said[plan.key] = plan
        why = deciding(plan.reasons, plan.wanted)
        came = f"{before.wanted} -> {plan.wanted}" if before else str(plan.wanted)
        pending = f", {plan.pending} of them pending" if plan.pending else ""
        self._entries.append(Entry(at, Kind.DECISION, plan.key.service, plan.key.pool, data=plain(plan)))
        self._event(Event(at, "decision", str(plan.key), f"replicas wanted {came}{pending}: {why}"))

    def _preview(self, at: float, plan: PoolPlan) -> None:
        """What a forecast in preview would have wanted, whenever that changes."""
        told = next((r.wanted for r in plan.reasons if r.bound == PREVIEW and r.wanted is not None), plan.wanted)
        would, before = max(plan.wanted, told), self._previews.get(plan.key)
        now = (plan.wanted, would) if would > plan.wanted else None
        if now == before:
            return
        if now is None:
            del self._previews[plan.key]
            text = f"forecast preview: no more than the {plan.wanted} wanted"
        else:
            self._previews[plan.key] = now
            text = f"forecast preview: would want {would} instead of {plan.wanted}"
        data = {"wanted": plan.wanted, "would": would}
        self._entries.append(Entry(at, Kind.PREVIEW, plan.key.service, plan.key.pool, data=data))
        self._event(Event(at, "decision", str(plan.key), text))

    def _transition(self, t: Transition) -> None:
        self._entries.append(Entry(t.at, Kind.TRANSITION, t.key.service, t.key.pool, t.replica, plain(t)))
        self._event(Event(t.at, "transition", t.replica, f"{t.before or 'new'} -> {t.after}: {t.cause}"))

    def _mark(self, m: Mark) -> None:
        self._entries.append(Entry(m.at, Kind.PHASE, m.key.service, m.key.pool, m.replica, plain(m)))
        self._event(Event(m.at, "phase", m.replica or str(m.key), m.text))

    def _rollout(self, s: RolloutStep) -> None:
        self._entries.append(Entry(s.at, Kind.ROLLOUT, s.key.service, s.key.pool, data=plain(s)))
        self._event(Event(s.at, "rollout", str(s.key), f"{s.target}: {s.before} -> {s.after}: {s.cause}"))

    def _ejection(self, e: Ejection) -> None:
        self._entries.append(Entry(e.at, Kind.EJECTION, e.key.service, e.key.pool, e.replica, plain(e)))
        gets = {"out": "gets no requests", "less": "gets fewer requests", "in": "gets its share of requests again"}
        self._event(Event(e.at, "ejection", e.replica, f"{gets[e.after]}: {e.cause}"))

    def _action(self, at: float, action: Action) -> None:
        data = {"verb": type(action).__name__.lower(), "result": "", **plain(action)}
        key = getattr(action, "key", None)
        service, pool = (key.service, key.pool) if key else ("", "")
        self._entries.append(Entry(at, Kind.ACTION, service, pool, getattr(action, "replica", ""), data))

    def _measured(self, observed: Observed) -> None:
        """Loads added up over ten seconds, with what the clusters have and use."""
        for key, load in observed.loads.items():
            self._loads.setdefault(key, []).append(load)
        if observed.at - self._loads_at < LOAD_EVERY_S:
            return
        for key, loads in self._loads.items():
            self._entries.append(Entry(observed.at, Kind.LOAD, key.service, key.pool, data=plain(total(loads))))
        for name, seen in observed.clusters.items():
            self._entries.append(Entry(observed.at, Kind.CAPACITY, data={"cluster": name, **plain(seen)}))
        self._loads.clear()
        self._loads_at = observed.at

    def _unwritten(self, at: float, error: StoreError) -> None:
        """Say once that the journal cannot be written; keep the newest rows for when it can."""
        del self._entries[:-KEPT]
        if self.fault_said != str(error):
            self.fault_said = str(error)
            self._event(Event(at, "fault", "journal", str(error)))

    def _event(self, event: Event) -> None:
        self.events.append(event)
        self.count += 1

    def recall(self, at: float) -> None:
        """Take back the events that an earlier control process wrote down; none when they cannot be read."""
        kinds = (Kind.TRANSITION, Kind.PHASE, Kind.ROLLOUT, Kind.OPERATOR, Kind.FAULT)
        with contextlib.suppress(StoreError):
            found = [event_of(e) for e in self.journal.read(kind=kinds, since=at - RECALLED_S, limit=KEPT // 2)]
            earlier = [e for e in found if e is not None]
            self.events.extendleft(reversed(earlier))
            self.count += len(earlier)

    # -- reading -------------------------------------------------------------------------------------------------

    def since(self, at: float) -> tuple[Event, ...]:
        """Events after `at`, oldest first."""
        return tuple(e for e in self.events if e.at > at)

    def newer(self, count: int) -> tuple[Event, ...]:
        """Events since `count` of them had been recorded."""
        fresh = min(self.count - count, len(self.events))
        return tuple(self.events)[len(self.events) - fresh :] if fresh > 0 else ()

    def about(self, service: str, most: int = 20) -> tuple[Event, ...]:
        """The last events of a service: its pools' decisions, its replicas' lives, operators' doings."""
        mine = [e for e in self.events if e.subject == service or e.subject.startswith((f"{service}/", f"{service}-"))]
        return tuple(mine[-most:])


def _in_time(one: Transition | Mark) -> tuple[float, int]:
    """In the order in which it happened: what was done to a replica before its end comes before that."""
    if isinstance(one, Mark):
        return (one.at, 1)
    return (one.at, 2 if one.after == "gone" else 0)


def event_of(entry: Entry) -> Event | None:
    """The event that a row of the journal was once told as; None for rows that are no events."""
    data = entry.data
    subject = entry.replica or (f"{entry.service}/{entry.pool}" if entry.service else "")
    match entry.kind:
        case Kind.TRANSITION:
            text = f"{data.get('before') or 'new'} -> {data.get('after')}: {data.get('cause')}"
        case Kind.PHASE:
            text = str(data.get("text", ""))
        case Kind.ROLLOUT:
            text = f"{data.get('target')}: {data.get('before')} -> {data.get('after')}: {data.get('cause')}"
        case Kind.OPERATOR | Kind.FAULT:
            subject, text = str(data.get("subject", subject)), str(data.get("text", ""))
        case _:
            return None
    return Event(entry.at, entry.kind, subject, text)
