"""Where a rollout is heading: what the manifest declares, what operators ask for."""

from __future__ import annotations

from dataclasses import replace

from tidegate.model.memory import RolloutMemory
from tidegate.policy.rollout import batches
from tidegate.policy.rollout.walk import ADDING, BACK, FORWARD, STABLE, Walk, previous


def declared(walk: Walk) -> None:
    """Begin, withdraw or aim anew when the manifest names another revision."""
    revision = walk.spec.revision
    if not walk.m.stable:
        walk.m = replace(walk.m, stable=_found(walk) or revision, since=walk.facts.at)
    heading_for = walk.m.stable if walk.m.phase is STABLE else walk.m.target
    if revision == heading_for:
        return
    if walk.m.phase in FORWARD:
        walk.record("withdrawn" if revision == walk.m.stable else "replaced", f"{revision} was declared")
    if revision == walk.m.stable:
        walk.move("withdrawn", f"{revision} is declared again")
        walk.m = replace(walk.m, target="", done=0.0, goal=0.0, paused=False, promoted=False)
        return
    _begin(walk, revision)


def _found(walk: Walk) -> str:
    """The revision of most ready replicas, when nothing is remembered (an older version wrote the memory)."""
    ready = [s.memory.revision for s in walk.facts.standing if s.memory.ready_at is not None]
    return max(ready, key=lambda r: (ready.count(r), r != walk.spec.revision), default="")


def _begin(walk: Walk, revision: str) -> None:
    source = walk.m.stable
    serving = any(s.memory.revision == source and s.memory.ready_at is not None for s in walk.facts.standing)
    fresh = RolloutMemory(stable=source, target=revision, heard_at=walk.m.heard_at, history=walk.m.history)
    walk.m = replace(fresh, phase=walk.m.phase, began_at=walk.facts.at, waves=walk.facts.waves)
    if not serving:
        walk.record("done", f"no replica of {source} served")
        walk.move("nothing to replace", f"no replica of {source} serves")
        walk.m = replace(walk.m, stable=revision, target="")
        return
    walk.move("new revision", f"{source} -> {revision}")
    batches.next_batch(walk)


def obey(walk: Walk) -> None:
    """Do what operators asked for since the last wish that was heard."""
    mine = [i for i in walk.facts.intents if i.subject == walk.spec.key.service and i.verb.endswith("-rollout")]
    for intent in sorted(mine, key=lambda i: i.at):
        if intent.at > walk.m.heard_at:
            _hear(walk, intent.verb.removesuffix("-rollout"))
            walk.m = replace(walk.m, heard_at=intent.at)


def _hear(walk: Walk, verb: str) -> None:
    forward, at = walk.m.phase in FORWARD, walk.facts.at
    match verb:
        case "pause" if forward:
            walk.m = replace(walk.m, paused=True, reason="paused by an operator")
        case "resume" if forward:
            _resume(walk, "")
        case "promote" if forward:
            walk.m = replace(walk.m, promoted=True)
            _resume(walk, "promoted by an operator")
        case "promote" | "retry" if walk.m.phase in BACK:
            _again(walk, promoted=verb == "promote")
        case "undo" if forward:
            walk.back("undone", "undone by an operator")
        case "undo" if walk.m.phase is STABLE and (source := previous(walk.m)):
            walk.m = replace(walk.m, stable=source, target=walk.spec.revision, began_at=at)
            walk.back("undone", "undone by an operator")


def _resume(walk: Walk, reason: str) -> None:
    walk.m = replace(walk.m, paused=False, progress_at=walk.facts.at, reason=reason)
    if walk.m.phase is ADDING and walk.m.goal <= walk.m.done:
        batches.next_batch(walk)


def _again(walk: Walk, *, promoted: bool) -> None:
    walk.vacancies = tuple(v for v in walk.vacancies if v.revision != walk.m.target)
    walk.m = replace(
        RolloutMemory(stable=walk.m.stable, target=walk.m.target, heard_at=walk.m.heard_at, history=walk.m.history),
        phase=walk.m.phase,
        promoted=promoted,
        began_at=walk.facts.at,
        waves=walk.facts.waves,
    )
    walk.move("retried", "promoted by an operator" if promoted else "tried again by an operator")
    batches.next_batch(walk)
