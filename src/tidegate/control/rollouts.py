"""What operators may ask of a service's rollout, and what is answered when it makes no sense now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidegate.base.errors import ControlError
from tidegate.model.memory import PoolMemory, RolloutMemory
from tidegate.policy.rollout import BACK, FORWARD, previous
from tidegate.spec.resolve import PoolKey, PoolSpec

VERBS = ("pause", "resume", "promote", "undo", "retry")


def answer(
    verb: str, pools: Mapping[PoolKey, PoolMemory], known: Iterable[tuple[PoolKey, str]], declared: Iterable[PoolSpec]
) -> str:
    """What `verb` will do to the rollouts of these pools of one service, in a sentence.

    Raises:
        ControlError: nothing; the sentence says why.
    """
    if verb not in VERBS:
        raise ControlError(f"a rollout cannot {verb}. It can: {', '.join(VERBS)}")
    names = set(known)
    now = {p.key: p.revision for p in declared}
    told = []
    for key, pool in pools.items():
        said = _one(verb, pool.rollout, {revision for k, revision in names if k == key}, now.get(key, ""))
        told += [f"{key}: {said}"] if said else []
    if not told:
        raise ControlError(_nothing(verb))
    return "; ".join(told) + "."


def _one(verb: str, rollout: RolloutMemory, known: set[str], declared: str) -> str:
    forward, back = rollout.phase in FORWARD, rollout.phase in BACK
    if verb == "pause" and forward:
        return f"{rollout.target} goes no further than the batch under way"
    if verb == "resume" and forward:
        return f"{rollout.target} goes on"
    if verb == "promote" and (forward or back):
        return f"{rollout.target} replaces {rollout.stable} without being watched"
    if verb == "retry" and back:
        return f"{rollout.target} is tried again"
    if verb == "undo" and forward:
        return f"back to {rollout.stable}"
    source = previous(rollout)
    if verb == "undo" and not back and source in known and source != declared:
        return f"back to {source}"
    return ""


def _nothing(verb: str) -> str:
    match verb:
        case "retry":
            return "no rollout was rolled back, so there is nothing to try again."
        case "undo":
            return "no rollout is under way, and no revision before this one is known. Apply the old manifest instead."
        case _:
            return f"no rollout is under way, so there is nothing to {verb}."
