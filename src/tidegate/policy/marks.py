"""How far a replica is within its state: when it passed what on its way into the balancer and out of it.

Going up: its process runs, startup, prepare, verify and readiness have passed, the balancer has it. Going down: the
balancer gives it no new requests, its last request has ended, it was told to stop, preStop, SIGTERM, SIGKILL.
Nothing is decided by these; they are what people, reports and the journal are told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from tidegate.model.lifecycle import PHASES, ReplicaState
from tidegate.model.memory import ReplicaMemory
from tidegate.model.observed import GatewaySeen, ReplicaSeen, Verdict
from tidegate.model.plan import Mark
from tidegate.policy.lifecycle import FOUND

READY, DRAINING = ReplicaState.READY, ReplicaState.DRAINING
SAID = {
    "acknowledged": "the balancer gives it no new requests",
    "idle": "its last request has ended",
    "preStop": "preStop begins",
    "SIGTERM": "SIGTERM sent",
    "SIGKILL": "SIGKILL sent: terminationGracePeriodSeconds are over",
}


def noted(
    name: str, memory: ReplicaMemory, seen: ReplicaSeen | None, gateway: GatewaySeen | None, at: float
) -> tuple[ReplicaMemory, tuple[Mark, ...]]:
    """What it passed since the last look."""
    if memory.state is DRAINING:
        return _down(name, memory, seen, gateway, at)
    if memory.phases_s or seen is None or FOUND in memory.marks:
        return memory, ()
    return _up(name, memory, seen, gateway, at)


def told_to_stop(name: str, memory: ReplicaMemory, grace_s: float, at: float) -> Mark:
    """The moment a replica is told to stop, and why now."""
    waited_s = at - memory.since
    if memory.ready_at is None:
        why = "it never served"
    elif "idle" in memory.marks:
        why = "no request is on it"
    else:
        why = "without waiting for its requests" if waited_s < grace_s else "its time is over, requests or not"
    return Mark(name, memory.key, "told to stop", f"told to stop after {waited_s:.2f} s: {why}", at)


def _up(
    name: str, memory: ReplicaMemory, seen: ReplicaSeen, gateway: GatewaySeen | None, at: float
) -> tuple[ReplicaMemory, tuple[Mark, ...]]:
    server = gateway.servers.get(name) if gateway else None
    passed = (
        seen.address is not None,
        seen.startup is Verdict.PASS,
        seen.prepared is Verdict.PASS,
        seen.verify is Verdict.PASS,
        memory.ready_at is not None,
        memory.state is READY and server is not None and not server.draining,
    )
    marks = dict(memory.marks)
    for phase, done in zip(PHASES, passed, strict=True):
        if not (done or (phase == "verify" and memory.ready_at is not None)):  # where there is no verify none is told
            break
        marks.setdefault(phase, at)
    if marks == memory.marks:
        return memory, ()
    if PHASES[-1] not in marks:
        return replace(memory, marks=marks), ()
    times = [memory.created_at, *(marks[p] for p in PHASES)]
    phases_s = tuple(round(max(0.0, b - a), 3) for a, b in pairwise(times))
    text = f"serves after {at - memory.created_at:.2f} s: {phases_text(phases_s)}"
    return replace(memory, marks={}, phases_s=phases_s), (Mark(name, memory.key, "serves", text, at, phases_s),)


def phases_text(phases_s: Iterable[float]) -> str:
    """The phases that took time, in words."""
    told = [f"{phase} {took:.2f} s" for phase, took in zip(PHASES, phases_s, strict=False) if took >= 0.005]
    return ", ".join(told) or "each phase below 5 ms"


def _down(
    name: str, memory: ReplicaMemory, seen: ReplicaSeen | None, gateway: GatewaySeen | None, at: float
) -> tuple[ReplicaMemory, tuple[Mark, ...]]:
    passed: list[tuple[str, float]] = []
    if gateway is not None and memory.ready_at is not None and memory.stop_sent_at is None:
        server = gateway.servers.get(name)
        if server is None or server.draining:
            passed.append(("acknowledged", at))
            if server is None or server.in_flight == 0:
                passed.append(("idle", at))
    passed += seen.ending if seen is not None else ()
    fresh = [(what, when) for what, when in passed if what not in memory.marks]
    if not fresh:
        return memory, ()
    told = (
        Mark(
            name,
            memory.key,
            what,
            f"{SAID.get(what, what)}, {max(0.0, when - memory.since):.2f} s after the mark",
            when,
        )
        for what, when in fresh
    )
    return replace(memory, marks={**memory.marks, **dict(fresh)}), tuple(told)
