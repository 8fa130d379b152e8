"""How long orders and upgrades take, read off one decision after the other. Nothing is counted twice.

An order is a rise of a pool's wanted number beyond what is ready: from so many to so many. It is done when as many are
ready as it asked for, and called off in so far as fewer are wanted before that; so the orders of a pool never overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tidegate.model.plan import PoolPlan, RolloutStep
from tidegate.spec.resolve import PoolKey


@dataclass(frozen=True, slots=True)
class Order:
    """Replicas `more_than` .. `up_to` of a pool, asked for at `at_s`; `done_s` is infinite until they are ready."""

    key: PoolKey
    at_s: float
    more_than: int
    up_to: int
    done_s: float = math.inf

    @property
    def replicas(self) -> int:
        return self.up_to - self.more_than

    @property
    def took_s(self) -> float:
        return self.done_s - self.at_s


@dataclass(slots=True)
class Orders:
    """Orders of all pools: those that are `done`, and those that are `open`, lowest first."""

    done: list[Order] = field(default_factory=list)
    open: dict[PoolKey, list[Order]] = field(default_factory=dict)
    wanted: dict[PoolKey, int] = field(default_factory=dict)

    def note(self, now_s: float, plans: Iterable[PoolPlan]) -> None:
        """Take in what one decision wants and what is ready."""
        for plan in plans:
            key, ready = plan.key, plan.ready
            waiting = [
                replace(o, up_to=min(o.up_to, plan.wanted)) for o in self.open.get(key, ()) if o.more_than < plan.wanted
            ]
            before = self.wanted.get(key, plan.wanted)
            if plan.wanted > max(before, ready):
                waiting.append(Order(key, now_s, max(before, ready), plan.wanted))
            self.wanted[key] = plan.wanted
            self.done += [replace(o, done_s=now_s) for o in waiting if ready >= o.up_to]
            self.open[key] = [o for o in waiting if ready < o.up_to]


@dataclass(slots=True)
class Upgrade:
    """Of one service, all its size classes: how many instances served when each class began, and when all was over."""

    instances: int = 0
    began_s: float = math.inf
    ended_s: float = math.nan
    outcome: str = "under way"
    running: set[PoolKey] = field(default_factory=set)

    @property
    def took_s(self) -> float:
        return self.ended_s - self.began_s


@dataclass(slots=True)
class Upgrades:
    """Upgrades by service."""

    of: dict[str, Upgrade] = field(default_factory=dict)

    def note(self, now_s: float, steps: Iterable[RolloutStep], plans: Iterable[PoolPlan]) -> None:
        """Take in the steps of one decision: from `stable` it begins, at `stable` or `rolled back` it has ended."""
        ready = {p.key: p.ready for p in plans}
        for step in steps:
            one = self.of.setdefault(step.key.service, Upgrade())
            if step.before == "stable" and step.after != "stable":
                one.began_s = min(one.began_s, now_s)
                one.instances += ready[step.key]
                one.running.add(step.key)
            elif step.after in ("stable", "rolled back"):
                one.running.discard(step.key)
                one.ended_s = now_s
                one.outcome = step.cause if step.after != "stable" else one.outcome
                if not one.running and one.outcome == "under way":
                    one.outcome = "done"
