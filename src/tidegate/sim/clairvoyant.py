"""The bound to measure policies against: a plan by one who knows the future rate.

It orders exactly a start-up time ahead and keeps, in every stretch of time, the slots that the known rate keeps busy
plus a margin, the same number everywhere; the margin is the least for which the whole run keeps the promise. (The tail
of the wait falls with exp(-(slots - busy slots) x time), so an equal margin loses about equally at every load.) A
replica is kept through a valley shorter than a start-up time: ordering it again would cost more.

Not a proof of the optimum: a plan with the margin in just the right places could be a little cheaper.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tidegate.sim.baselines.fixed import Planned
from tidegate.sim.rates import mean_rates
from tidegate.sim.requests import Requests
from tidegate.sim.single import Outcome, Play, play
from tidegate.sim.trace import Trace
from tidegate.spec.resolve import PoolSpec

STRETCH_S = 30.0
LOW, HIGH = -4.0, 12.0
MARGIN_STEP = 0.04


@dataclass(frozen=True, slots=True)
class Bound:
    """The cheapest plan found, its margin in slots and what it gave; `reached` is False when even the largest fails."""

    plan: Planned
    margin: float
    outcome: Outcome
    reached: bool


def plan_for(
    trace: Trace, mean_service_s: float, spec: PoolSpec, startup_s: float, margin: float, epoch: float = 0.0
) -> Planned:
    """What to want at each instant, with `margin` slots more than the known rate keeps busy."""
    step = max(1, round(STRETCH_S / trace.bin_s)) * trace.bin_s if trace.bin_s < STRETCH_S else STRETCH_S
    rates = mean_rates(trace.points(), step, trace.length_s)
    low, high = spec.scaling.minReplicas, spec.scaling.maxReplicas
    needed = [min(high, max(low, math.ceil((r * mean_service_s + margin) / spec.concurrency - 1e-9))) for r in rates]
    ahead = math.ceil(startup_s / step) + 1
    wanted = _max_ahead(needed, ahead)
    times, counts = [epoch], [wanted[0]]
    for index in range(1, len(wanted)):
        if wanted[index] != counts[-1]:
            times.append(epoch + index * step)
            counts.append(wanted[index])
    return Planned(tuple(times), tuple(counts))


def bound(
    spec: PoolSpec,
    trace: Trace,
    mean_service_s: float,
    requests: Callable[[], Requests],
    how: Play,
    *,
    spent: float = 1.0,
    stands: bool = False,
) -> Bound:
    """Search the margin; `requests` makes the same requests anew for every run.

    `spent` is the share of the allowed losses that the plan may use: less than all where it is then played in another
    world, in which chance falls otherwise. With `stands`, what the plan begins with is there at second 0, instead of
    `how.initial`.
    """
    least = 1.0 - spent * (1.0 - spec.promise.success)

    def run(margin: float) -> Bound:
        plan = plan_for(trace, mean_service_s, spec, how.startup_s, margin, how.epoch)
        begins = replace(how, initial=plan.counts[0]) if stands else how
        outcome = play(spec, requests(), plan, begins, keep_points=False)
        return Bound(plan, margin, outcome, outcome.success >= least)

    low, high = LOW, HIGH
    best = run(high)
    if not best.reached:
        return best
    while high - low > MARGIN_STEP:
        middle = (low + high) / 2
        tried = run(middle)
        if tried.reached:
            best, high = tried, middle
        else:
            low = middle
    return best


def _max_ahead(values: Sequence[int], ahead: int) -> list[int]:
    """For each place the largest value from there to `ahead` places further."""
    out = [0] * len(values)
    window: deque[int] = deque()
    for index in range(len(values) - 1, -1, -1):
        while window and values[window[-1]] <= values[index]:
            window.pop()
        window.append(index)
        while window[0] > index + ahead:
            window.popleft()
        out[index] = values[window[0]]
    return out
