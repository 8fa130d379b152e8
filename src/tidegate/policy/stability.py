"""Stabilisation windows and rate policies, with the HPA's names and meaning.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior
Memory is kept as times, so a caller may come every second or every ten and gets the same limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tidegate.model.reasons import Reason
from tidegate.model.scaling import StabilityMemory
from tidegate.spec.scaling import Behavior, RatePolicy, Rules

Points = tuple[tuple[float, int], ...]


class Steadied(NamedTuple):
    """`wanted` after windows and rates, what to remember, why it differs, and when a limit ends by itself."""

    wanted: int
    memory: StabilityMemory
    reasons: tuple[Reason, ...] = ()
    look_again_at: float | None = None


def steady(
    memory: StabilityMemory, behavior: Behavior, *, at: float, current: int, proposed: int, down_s: float, up_s: float
) -> Steadied:
    """Hold `proposed` back where the windows or the rate policies say so.

    Args:
        memory: what the last call returned.
        behavior: the manifest's; its windows override `down_s` and `up_s`.
        at: now, epoch seconds.
        current: the number wanted up to now.
        proposed: the number wanted by demand, schedule and forecast.
        down_s: default scale-down window, seconds.
        up_s: default scale-up window, seconds.
    """
    down_s = _window(behavior.scaleDown, down_s)
    up_s = _window(behavior.scaleUp, up_s)
    highs = _extreme(memory.highs, at, down_s, proposed, lambda old: old <= proposed)
    lows = _extreme(memory.lows, at, up_s, proposed, lambda old: old >= proposed)
    held, reasons = _windowed(current, proposed, highs[0][1], lows[0][1], down_s, up_s)
    policies = (*behavior.scaleUp.policies, *behavior.scaleDown.policies)
    longest = max(p.periodSeconds for p in policies) if policies else 0.0
    recent = tuple(c for c in memory.changes if c[0] > at - longest) if memory.changes else ()
    wanted = _rated(behavior, recent, at, current, held)
    if wanted != held:
        text = f"rate policies allow {wanted} now, {held} wanted"
        reasons = (*reasons, Reason("rate limit", text, wanted, "behavior.policies"))
    if wanted != current and longest > 0:
        recent = (*recent, (at, wanted - current))
    wake = [highs[0][0] + down_s] if held > proposed else []
    wake += [lows[0][0] + up_s] if held < proposed else []
    wake += [recent[0][0] + longest] if wanted != held and recent else []
    return Steadied(wanted, StabilityMemory(highs, lows, recent), reasons, min(wake, default=None))


def _window(rules: Rules, default_s: float) -> float:
    return default_s if rules.stabilizationWindowSeconds is None else rules.stabilizationWindowSeconds


def _extreme(points: Points, at: float, window_s: float, value: int, beaten: Callable[[int], bool]) -> Points:
    """Keep the points of the window that may still become its extreme, oldest (most extreme) first."""
    kept = [p for p in points if p[0] > at - window_s]
    while kept and beaten(kept[-1][1]):
        kept.pop()
    return (*kept, (at, value))


def _windowed(
    current: int, proposed: int, high: int, low: int, down_s: float, up_s: float
) -> tuple[int, tuple[Reason, ...]]:
    if proposed < current and high > proposed:
        held = min(current, high)
        text = f"{proposed} wanted, but {high} were within the last {down_s:.0f} s: stay at {held}"
        return held, (Reason("stabilisation", text, held, "stabilizationWindowSeconds"),)
    if proposed > current and low < proposed:
        held = max(current, low)
        text = f"{proposed} wanted, but only {low} within the last {up_s:.0f} s: stay at {held}"
        return held, (Reason("stabilisation", text, held, "stabilizationWindowSeconds"),)
    return proposed, ()


def _rated(behavior: Behavior, recent: Points, at: float, current: int, held: int) -> int:
    if held > current:
        ceiling = _limit(behavior.scaleUp, recent, at, current, up=True)
        return held if ceiling is None else max(current, min(held, ceiling))
    if held < current:
        floor = _limit(behavior.scaleDown, recent, at, current, up=False)
        return held if floor is None else min(current, max(held, floor))
    return held


def _limit(rules: Rules, recent: Points, at: float, current: int, *, up: bool) -> int | None:
    """The furthest the policies let `wanted` go in one direction, None without policies.

    4 wanted, 2 of them added within the period, policy 3 pods a period: 4 - 2 + 3 = 5.
    """
    if rules.selectPolicy == "Disabled":
        return current
    if not rules.policies:
        return None
    reach = [_reach(p, recent, at, current, up=up) for p in rules.policies]
    furthest = (rules.selectPolicy == "Max") == up
    return max(reach) if furthest else min(reach)


def _reach(policy: RatePolicy, recent: Sequence[tuple[float, int]], at: float, current: int, *, up: bool) -> int:
    moved = sum(step for when, step in recent if when > at - policy.periodSeconds and (step > 0) == up)
    start = current - moved
    if policy.type == "Pods":
        return start + policy.value if up else start - policy.value
    share = policy.value / 100
    return math.ceil(start * (1 + share)) if up else math.ceil(start * (1 - share))
