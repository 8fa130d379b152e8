"""Keep what happened: events in memory for who is looking now, rows in the journal for good.

A journal that cannot be written (disk full, database gone) is said once and costs no traffic: the loop goes on, and
what was kept in memory is still shown.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.control.status import total
from tidegate.model.memory import Memory
from tidegate.model.observed import Observed, PoolLoad
from tidegate.model.plan import PoolPlan, Tick
from tidegate.spec.resolve import PoolKey, Specs
from tidegate.web.ports import Change, Event

KEPT = 2000
LOAD_EVERY_S = 10.0


@dataclass(slots=True)
class Recorder:
    """The memory of the running system for people and reports."""

    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT))
    count: int = 0
    _said: dict[PoolKey, tuple[int, int, str]] = field(default_factory=dict)
    _faults: dict[str, str] = field(default_factory=dict)
    _loads: dict[PoolKey, list[PoolLoad]] = field(default_factory=dict)
    _loads_at: float = -math.inf

    # -- writing -------------------------------------------------------------------------------------------------

    def tick(self, observed: Observed, decided: Tick, faults: Mapping[str, str]) -> None:
        """What changed in this tick: decisions, transitions, what cannot be seen any more, loads now and then."""
        at = observed.at
        for plan in decided.plan.pools:
            self._decision(at, plan)
        for t in decided.transitions:
            self._event(Event(at, "transition", t.replica, f"{t.before or 'new'} -> {t.after}: {t.cause}"))
        for what, why in faults.items():
            if self._faults.get(what) != why:
                self.fault(at, what, f"cannot be seen: {why}")
        self._faults = dict(faults)
        self._keep_loads(observed)

    def _decision(self, at: float, plan: PoolPlan) -> None:
        why = plan.reasons[0].text if plan.reasons else ""
        before = self._said.get(plan.key)
        if before is not None and before[:2] == (plan.wanted, plan.pending):
            return
        self._said[plan.key] = (plan.wanted, plan.pending, why)
        came = f"{before[0]} -> {plan.wanted}" if before else str(plan.wanted)
        pending = f", {plan.pending} of them pending" if plan.pending else ""
        self._event(Event(at, "decision", str(plan.key), f"replicas wanted {came}{pending}: {why}"))

    def _keep_loads(self, observed: Observed) -> None:
        for key, load in observed.loads.items():
            self._loads.setdefault(key, []).append(load)
        if observed.at - self._loads_at >= LOAD_EVERY_S:
            kept = {key: total(loads) for key, loads in self._loads.items()}
            self._loads.clear()
            self._loads_at = observed.at
            self._rows(observed.at, kept)

    def _rows(self, at: float, loads: Mapping[PoolKey, PoolLoad]) -> None:
        """Write the loads of the last seconds."""

    def remember(self, memory: Memory) -> None:
        """Write what the policies remember, together with the rows that belong to it."""

    def applied(self, at: float, specs: Specs, changes: tuple[Change, ...]) -> None:
        """Write the declared manifests and say what changed."""
        for c in changes:
            if c.verb != "same":
                detail = f": {'; '.join(c.fields)}" if c.fields else ""
                self.operator(at, c.name, f"{c.verb} {c.kind} {c.name}{detail}")

    def operator(self, at: float, subject: str, text: str) -> None:
        self._event(Event(at, "operator", subject, text))

    def fault(self, at: float, subject: str, text: str) -> None:
        self._event(Event(at, "fault", subject, text))

    def _event(self, event: Event) -> None:
        self.events.append(event)
        self.count += 1

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
