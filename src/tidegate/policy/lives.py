"""Every replica takes one step of its life, and what it passed on the way is told. See `lifecycle`."""

from __future__ import annotations

import bisect
from dataclasses import replace
from zlib import crc32

from tidegate.model.lifecycle import ReplicaState
from tidegate.model.memory import ReplicaMemory
from tidegate.model.observed import ReplicaSeen
from tidegate.policy import lifecycle, marks
from tidegate.policy.lifecycle import STATIC
from tidegate.policy.work import Work

DRAINING, READY = ReplicaState.DRAINING, ReplicaState.READY

PHASES_KEPT = 20


def advance(work: Work) -> None:
    """Let every replica take one step; note start-up times and the places crashes leave."""
    for name, memory in work.replicas.items():
        if memory.state is READY and memory.phases_s and name in work.seen and work.seen[name].running:
            continue  # it has arrived, and nothing that is seen moves it
        visible = memory.cluster in work.observed.clusters
        spec = work.declared.get(memory.key)
        verify = spec is not None and spec.service.rollout.verify is not None and memory.revision != STATIC
        seen, at = work.seen.get(name), work.observed.at
        # Before it may be gone: a last look at how it was stopped.
        known = _noted(work, name, memory, seen) if memory.state is DRAINING else memory
        step = lifecycle.advance(known, seen, cluster_seen=visible, at=at, verify=verify)
        work.replicas[name] = _noted(work, name, step.memory, seen)
        work.leave(memory.key, step.vacancy)
        if memory.ready_at is None and step.memory.ready_at is not None:
            _measured(work, name, step.memory)
            work.refusals.pop(memory.cluster, None)


def _noted(work: Work, name: str, memory: ReplicaMemory, seen: ReplicaSeen | None) -> ReplicaMemory:
    """Tell what the replica has passed since the last look; keep the phases of a start that is complete."""
    if memory.phases_s and memory.state is READY:
        return memory
    after, passed = marks.noted(name, memory, seen, work.observed.gateway, work.observed.at)
    work.marks += passed
    pool = work.pools.get(memory.key)
    if after.phases_s != memory.phases_s and pool is not None:
        work.pools[memory.key] = replace(pool, phases_s=(*pool.phases_s, after.phases_s)[-PHASES_KEPT:])
    elif after.state is READY and after.ready_at == work.observed.at:
        work.wake.append(work.observed.at)  # one more look at once: it may be in the balancer by then
    return after


def _measured(work: Work, name: str, memory: ReplicaMemory) -> None:
    """Add its start-up time to the sample; in a full one it takes the place of any other, whichever its name gives."""
    pool = work.pools.get(memory.key)
    if pool is None or memory.ready_at is None or lifecycle.FOUND in memory.marks:
        return
    if not lifecycle.is_timed(name, len(work.names.get(memory.key, ()))):
        return
    times = sorted(pool.startups_s.get(memory.cluster, ()))
    if len(times) >= lifecycle.STARTUPS_KEPT:
        del times[(crc32(name.encode()) >> 16) % len(times)]
    bisect.insort(times, memory.ready_at - memory.created_at)
    work.pools[memory.key] = replace(pool, startups_s={**pool.startups_s, memory.cluster: tuple(times)})
