"""From batch to batch: new ones serve, are watched, are proven; how many more follow, in which wave or canary step."""

from __future__ import annotations

from dataclasses import replace

from tidegate.model.memory import Counted
from tidegate.policy.rollout import evidence
from tidegate.policy.rollout.walk import ADDING, FORWARD, GOING_BACK, Walk, surge_of, unavailable_of
from tidegate.spec.rollout import CanaryStep


def progress(walk: Walk) -> None:
    """From one phase to the next when it is time."""
    m, at = walk.m, walk.facts.at
    if m.phase is GOING_BACK:
        left = any(walk.is_new(s) for s in walk.facts.standing)
        serving = sum(s.ready and s.memory.revision == m.stable for s in walk.facts.standing)
        if not left and serving >= walk.facts.wanted:
            walk.move("back", m.reason)
            walk.say_when_it_was_back()
    if m.phase not in FORWARD:
        return
    if m.paused or not walk.facts.wanted:
        walk.m = replace(m, progress_at=at)
        return
    ready = walk.ready()
    if m.phase is ADDING:
        if ready > m.best:
            walk.m = m = replace(m, best=ready, progress_at=at)
        if ready >= walk.goal() and _offered(walk):
            walk.move("batch ready", f"{ready} of {walk.facts.wanted} new ones serve")
            walk.m = replace(walk.m, watch_new=m.new.asked, watch_old=m.old.asked)
    elif ready >= min(walk.goal(), m.best) and (m.promoted or _watched(walk)):  # what joined since is watched later
        _proven(walk)


def _offered(walk: Walk) -> bool:
    """Whether the balancer has confirmed the new replicas (blue-green: they are held until all are ready)."""
    gateway = walk.facts.gateway
    if gateway is None:
        return False
    new = [s.id for s in walk.facts.standing if walk.is_new(s) and s.ready]
    return walk.strategy == "blueGreen" or all(n in gateway.servers for n in new)


def _watched(walk: Walk) -> bool:
    """Long enough, and on enough requests; too few in the whole pool to judge by is no reason to wait."""
    elapsed_s = walk.facts.at - walk.m.since
    if elapsed_s < watch_s(walk):
        return False
    new = walk.m.new.asked - walk.m.watch_new
    enough = new >= evidence.ENOUGH and walk.m.new.asked >= evidence.COMPARED  # in all, to compare times by
    both = new + walk.m.old.asked - walk.m.watch_old
    idle = both < evidence.ENOUGH and walk.facts.gateway is not None
    return enough or idle or elapsed_s >= walk.how.progressDeadlineSeconds


def _proven(walk: Walk) -> None:
    """The batch is good: done, or the next one."""
    seen = walk.m.new.asked - walk.m.watch_new
    told = f"{seen} requests of the new revision watched"
    if walk.goal() >= walk.facts.wanted:
        walk.record("done", told)
        walk.move("all good", told)
        walk.m = replace(walk.m, stable=walk.m.target, target="", paused=False, promoted=False, done=0.0, goal=0.0)
        walk.m = replace(walk.m, new=Counted(), old=Counted())
        return
    step = _canary_step(walk)
    walk.m = replace(walk.m, done=min(walk.m.goal, walk.goal() / walk.facts.wanted))
    if walk.m.wave_ends:
        walk.move("wave good", f"{walk.wave_name()}: {told}")
    else:
        walk.move("batch good", told)
    if step is not None and step.manual and not walk.m.promoted:
        walk.m = replace(walk.m, paused=True, reason=f"at {step.weight:.4g} of the replicas; waits for resume")
    else:
        next_batch(walk)


def next_batch(walk: Walk) -> None:
    wanted, done = walk.facts.wanted, walk.done()
    surge = surge_of(walk.spec, walk.m, wanted)
    most = wanted if walk.strategy == "blueGreen" else surge + unavailable_of(walk.spec, wanted, surge)
    if walk.strategy == "rolling":
        most = min(most, walk.how.batch_of(wanted))
    goal = min(wanted, done + max(1, most))
    if walk.strategy == "canary" and not walk.m.promoted:
        goal = min(goal, next((n for n in _canary_counts(walk) if n > done), wanted))
    wave, most = _wave(walk, done)
    goal = min(goal, most)
    share = 1.0 if goal >= wanted else goal / wanted
    ends = goal == most < wanted
    fixed = goal if wave < len(walk.m.waves) - 1 else 0
    walk.m = replace(walk.m, goal=share, best=walk.ready(), progress_at=walk.facts.at)
    walk.m = replace(walk.m, wave=wave, wave_ends=ends, wave_most=fixed)


def _wave(walk: Walk, done: int) -> tuple[int, int]:
    """The wave that the next batch belongs to, and how many replicas may be new by its end.

    Old ones that stand in its clusters, less those that the batch before has made superfluous there.
    """
    m, wanted = walk.m, walk.facts.wanted
    old = [s.memory.cluster for s in walk.facts.standing if not s.stale and not walk.is_new(s)]
    superfluous = max(0, len(old) - (wanted - done))
    for wave in range(m.wave, len(m.waves) - 1):
        here = sum(name in m.waves[wave] for name in old)
        left = here - (superfluous if wave == m.wave else 0)
        if left > 0:
            return wave, min(wanted, done + left)
    return max(0, len(m.waves) - 1), wanted


def _canary_step(walk: Walk) -> CanaryStep | None:
    """The canary step that the batch under way completes."""
    if walk.strategy != "canary":
        return None
    goal = walk.goal()
    steps = zip(_canary_counts(walk), walk.how.canary.steps, strict=True)
    return next((step for count, step in steps if count == goal), None)


def watch_s(walk: Walk) -> float:
    step = _canary_step(walk)
    pause_s = walk.how.wavePauseSeconds if walk.m.wave_ends else 0.0
    return max(walk.how.watchSeconds, step.pause if step else 0.0, pause_s)


def _canary_counts(walk: Walk) -> list[int]:
    return [walk.count_of(step.weight) for step in walk.how.canary.steps]


def chosen(walk: Walk) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The headers of the only requests that new replicas get in this step; empty: they take part in all.

    Old ones are all still there then, so there must be room for the new ones beside them.
    """
    if walk.strategy != "canary" or walk.m.phase not in FORWARD or walk.m.promoted:
        return ()
    goal, steps = walk.goal(), zip(_canary_counts(walk), walk.how.canary.steps, strict=True)
    return next((step.only for count, step in steps if count >= goal), ())
