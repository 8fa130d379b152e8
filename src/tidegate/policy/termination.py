"""The end of replicas: what is not declared drains, what has drained is stopped, what is gone is forgotten."""

from __future__ import annotations

from dataclasses import replace

from tidegate.model.actions import Forget, Prepare, Stop
from tidegate.model.lifecycle import ReplicaState
from tidegate.model.memory import ReplicaMemory
from tidegate.policy import lifecycle, marks
from tidegate.policy.lifecycle import STATIC
from tidegate.policy.work import Work
from tidegate.spec.resolve import PoolSpec

DRAINING, GONE, READY = ReplicaState.DRAINING, ReplicaState.GONE, ReplicaState.READY


def remember_grace(work: Work) -> None:
    """Keep with every replica how long its service lets it take to end: it must hold when that is declared no more."""
    for key, names in work.names.items():
        spec = work.declared.get(key)
        if spec is None:
            continue
        grace_s = spec.service.terminationGracePeriodSeconds
        for name in names:
            memory = work.replicas[name]
            if memory.grace_s != grace_s:
                work.replicas[name] = replace(memory, grace_s=grace_s)


def retire_undeclared(work: Work) -> None:
    """Drain the replicas of services and pools that are no longer declared."""
    for key in [k for k in work.names if k not in work.pools]:
        for name, memory in work.mine(key):
            if memory.state is not GONE and memory.revision != STATIC:
                work.replicas[name] = lifecycle.retire(memory, "no longer declared", work.observed.at)


def stop_drained(work: Work) -> None:
    """Stop what has drained (the balancer acknowledged and nothing runs on it) or had its time; forget the gone."""
    for name, memory in list(work.replicas.items()):
        if memory.state is READY:
            continue
        if memory.state is GONE:
            if name in work.seen:
                work.actions.append(Forget(name, memory.cluster))
            del work.replicas[name]
        elif memory.state is DRAINING and memory.revision != STATIC:
            _stop(work, name, memory)
        elif memory.state is ReplicaState.PREPARING:
            work.actions.append(Prepare(name, memory.cluster))


def _stop(work: Work, name: str, memory: ReplicaMemory) -> None:
    at, grace_s = work.observed.at, memory.grace_s
    if memory.stop_sent_at is None and not _drained(work, name, memory) and at < memory.since + grace_s:
        work.wake.append(memory.since + grace_s)
        return
    if memory.stop_sent_at is None:
        work.marks.append(marks.told_to_stop(name, memory, grace_s, at))
        memory = work.replicas[name] = replace(memory, stop_sent_at=at)
    left_s = max(0.0, grace_s - (memory.stop_sent_at or at) + memory.since)
    work.actions.append(Stop(name, memory.cluster, left_s, memory.cause))


def _drained(work: Work, name: str, memory: ReplicaMemory) -> bool:
    """Whether no request is on it: never offered, drained and empty by the balancer's word, or gone from it."""
    if memory.ready_at is None or _at_once(memory, work.declared.get(memory.key)):
        return True
    gateway = work.observed.gateway
    if gateway is None:
        return False
    server = gateway.servers.get(name)
    return server is None or (server.draining and server.in_flight == 0)


def _at_once(memory: ReplicaMemory, spec: PoolSpec | None) -> bool:
    """Whether the remedy for a failed liveness is to restart without draining."""
    liveness = spec.service.probes.liveness if spec else None
    return memory.cause.startswith("liveness failed") and (liveness is None or liveness.remedy == "restart")
