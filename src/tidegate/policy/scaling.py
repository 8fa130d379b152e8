"""How many replicas a pool wants: demand, then bounds, then stability; every step says why."""

from __future__ import annotations

import math
from dataclasses import replace

from tidegate.model.observed import PoolLoad
from tidegate.model.reasons import Reason
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.policy.stability import steady
from tidegate.spec.resolve import PoolSpec

STALE_S = 60.0  # a load older than this says nothing about now
BUSY_SHARE = 0.8  # share of slots in use that is aimed at
TOLERANCE = 0.1  # the HPA's: a change of less than 10% is none
DOWN_WINDOW_S = 60.0


def scale(inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
    """Decide for one pool; called at any interval, with the memory that the last call returned."""
    limits = inp.spec.scaling
    there = inp.ready + len(inp.starting_ages_s)
    current = there if memory.wanted is None else memory.wanted
    load = inp.load
    if load is None or inp.at - load.at > STALE_S:
        wanted = _clamp(current, inp.spec)
        age = "nothing was measured" if load is None else f"the last measurement is {inp.at - load.at:.0f} s old"
        return ScaleResult(
            wanted, replace(memory, wanted=wanted), (Reason("demand", f"{age}: not below {wanted}", wanted),)
        )
    busy = load.arrivals + load.in_flight + load.queued > 0
    busy_at = inp.at if busy or memory.busy_at is None else memory.busy_at
    proposed, reasons = _demanded(load, inp.spec, current)
    if proposed == 0 and inp.at - busy_at < limits.scaleToZeroAfterSeconds:
        proposed = min(1, current)
    bounded = _clamp(proposed, inp.spec)
    if bounded != proposed:
        bound = "minReplicas" if bounded > proposed else "maxReplicas"
        reasons = (*reasons, Reason("bounds", f"{proposed} wanted, {bound} is {bounded}", bounded, bound))
    held = steady(
        memory.stability, limits.behavior, at=inp.at, current=current, proposed=bounded, down_s=DOWN_WINDOW_S, up_s=0.0
    )
    wanted = _clamp(held.wanted, inp.spec)
    kept = ScaleMemory(wanted=wanted, busy_at=busy_at, load_at=load.at, stability=held.memory)
    wake = held.look_again_at
    if wanted > limits.minReplicas and not busy:
        idle_end = busy_at + limits.scaleToZeroAfterSeconds
        wake = min(w for w in (wake, idle_end) if w is not None)
    return ScaleResult(wanted, kept, (*reasons, *held.reasons), wake if wake is None or wake > inp.at else None)


def _demanded(load: PoolLoad, spec: PoolSpec, current: int) -> tuple[int, tuple[Reason, ...]]:
    demand = load.in_flight + load.queued
    share = spec.scaling.target.inFlight if spec.scaling.target and spec.scaling.target.inFlight else BUSY_SHARE
    slots = demand / share
    proposed = math.ceil(slots / spec.concurrency - 1e-9)
    held = current * spec.concurrency
    text = f"{load.in_flight} in flight + {load.queued} queued at {share:.0%} of the slots = {slots:.1f} slots"
    if proposed < current and slots > held * (1 - TOLERANCE):
        proposed, text = current, f"{text}, within {TOLERANCE:.0%} of the {held} there are"
    return proposed, (Reason("demand", f"{text}: {proposed} replicas of {spec.concurrency}", proposed),)


def _clamp(count: int, spec: PoolSpec) -> int:
    return max(spec.scaling.minReplicas, min(count, spec.scaling.maxReplicas))
