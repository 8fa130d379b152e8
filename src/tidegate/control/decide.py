"""One decision of the running system, the same in the loop and in a replay of its recording."""

from __future__ import annotations

from dataclasses import replace

from tidegate.model.actions import Publish
from tidegate.model.memory import Memory
from tidegate.model.observed import Observed
from tidegate.model.plan import Tick
from tidegate.policy.tick import tick
from tidegate.spec.resolve import Specs


def decide(specs: Specs, observed: Observed, memory: Memory, *, emptying: bool = False) -> Tick:
    """`policy.tick`, or, while everything is being stopped, the same with nothing declared.

    Then the proxy is gone, so there is no routing to publish, and what was learned of the pools is kept for the next
    start.
    """
    if not emptying:
        return tick(specs, observed, memory)
    decided = tick(replace(specs, services=(), pools=()), observed, memory)
    actions = tuple(a for a in decided.actions if not isinstance(a, Publish))
    return replace(decided, actions=actions, memory=replace(decided.memory, pools=memory.pools))
