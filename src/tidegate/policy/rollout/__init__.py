"""Upgrades: from the revision that serves to the one that is declared, a proven batch at a time, or back.

A batch: new replicas are started within the surge, probed and verified, offered to the balancer, and watched beside the
old ones; only then as many old ones are drained, and the next batch begins. Until the very end there are enough old
replicas to carry everything but what was proven, so going back is letting the new ones go. Phases walk the table
`ROLLOUT_MOVES`; counts are kept as shares of what is wanted, so scaling goes on meanwhile.
"""

from __future__ import annotations

from tidegate.model.memory import RolloutMemory
from tidegate.policy.rollout import aims, answer, batches, judgement
from tidegate.policy.rollout.answer import Step
from tidegate.policy.rollout.walk import BACK, FORWARD, Facts, Walk, at_rest, may_crowd, previous
from tidegate.spec.resolve import PoolSpec

__all__ = ["BACK", "FORWARD", "Facts", "Step", "advance", "at_rest", "may_crowd", "previous"]


def advance(spec: PoolSpec, memory: RolloutMemory, facts: Facts) -> Step:
    """One look at one pool's rollout."""
    if at_rest(spec, memory, facts.intents):
        return answer.rest(spec, memory, facts)
    walk = Walk(spec, facts, memory)
    aims.declared(walk)
    aims.obey(walk)
    judgement.count(walk)
    judgement.judge(walk)
    batches.progress(walk)
    return answer.step(walk)
