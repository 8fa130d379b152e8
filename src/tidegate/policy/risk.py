"""Which margin above the expected load keeps the promise at the least cost, learned from what would have happened.

For each of a row of margins an imagined pool runs along: it orders what that margin asks for, waits the start-up time,
takes the arrivals that were counted, and lets a request go when the queue is longer than the promise allows. So at any
time we know what each margin would have lost and cost on this service's own traffic, although only one was in use. The
smallest margin whose losses stay within the promise is chosen. Before a service has shown its traffic, it is held to a
cautious margin: the pools begin with losses on the book that only quiet hours wear down.

Related: conformal risk control (Angelopoulos et al., 2022, arXiv:2208.02814) chooses a parameter the same way, the
smallest whose measured loss plus an allowance for few observations stays below the target.

The table is also what the user is told about his choices: "99.95% costs 1.4 times what 99.5% costs here".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.model.scaling import RiskMemory
from tidegate.policy.tracking import Outlook

# Margins in standard deviations of the forecast, on top of what the queue needs at a steady rate.
MARGINS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0)
# For traffic that jumps faster than replicas start: besides a margin, a floor that is a share of the recent peak.
FLOORS = (0.2, 0.35, 0.5, 0.7, 1.0)
FLOOR_MARGIN = 3.0
CANDIDATES = (*((m, 0.0) for m in MARGINS), *((FLOOR_MARGIN, f) for f in FLOORS))
CAUTIOUS = 6.0  # the margin before anything is known
TRUST_S = 10 * 3600.0  # how much traffic it takes to believe in less: e-folds of caution are counted in these
DOUBT = 5.0  # margins per factor ten of traffic seen
FADE_S = 14 * 86400.0
PEAK_FADE_S = 7 * 86400.0
RESERVE = 0.5  # share of the allowed losses that is planned with
NOISE_SHARE = 0.1  # spread of the load over a few service times beyond the forecast's, slots per root of busy slots
BROKEN_WEIGHT = 200.0  # a request lost beyond the promise weighs as much as serving 200


@dataclass(frozen=True, slots=True)
class Needs:
    """What turns a forecast into slots: mean service seconds and their variation, slots a replica, spare slots
    the steady queue needs, the promise (seconds from arrival to answer, share), start-up seconds."""

    mean_s: float
    cv: float
    concurrency: int
    spare: float
    within_s: float
    success: float
    startup_s: float


def slots(outlook: Outlook, margin: float, needs: Needs) -> float:
    """Slots for the higher of the rate now and the rate then, with a margin.

    12 busy slots expected, spread 0.9, margin 2, 0.95 spare slots for the queue: with the queue's own fluctuation the
    spread is sqrt(0.9^2 + 0.1^2 x 12) = 0.96, so 12 + sqrt((2 x 0.96)^2 + 0.95^2) = 14.1.
    """
    mean, variance = _moments(outlook, needs)
    return mean + math.sqrt(margin * margin * variance + needs.spare * needs.spare)


def _moments(outlook: Outlook, needs: Needs) -> tuple[float, float]:
    mean = max(outlook.now, outlook.then) * needs.mean_s
    spread = outlook.spread * needs.mean_s
    return mean, spread * spread + NOISE_SHARE * NOISE_SHARE * mean


def first_risk() -> RiskMemory:
    """Nothing seen yet: the cautious margin."""
    n = len(CANDIDATES)
    nothing, none = (0.0,) * n, (0,) * n
    empty: tuple[tuple[float, int], ...] = ()
    return RiskMemory(0.0, 0.0, 0.0, nothing, nothing, nothing, none, (empty,) * n, MARGINS.index(CAUTIOUS))


def advance(memory: RiskMemory, arrivals: float, at: float, dt: float, outlook: Outlook, needs: Needs) -> RiskMemory:
    """Let the imagined pools live through a bin of `dt` seconds that ends at `at`, then order for `outlook`."""
    keep = math.exp(-dt / FADE_S)
    fresh = memory.seconds == 0.0
    per_replica = needs.concurrency * dt / needs.mean_s
    lost, cost, backlog, ready, pending = [], [], [], [], []
    mean, variance = _moments(outlook, needs)
    spare2 = needs.spare * needs.spare
    peak = max(memory.peak * math.exp(-dt / PEAK_FADE_S), mean)
    before = at - dt
    for i, (margin, floor) in enumerate(CANDIDATES):
        serving, coming = memory.ready[i], memory.pending[i]
        if coming and coming[0][0] <= before:
            serving += sum(n for when, n in coming if when <= before)
            coming = tuple(c for c in coming if c[0] > before)
        queue, over = memory.backlog[i], 0.0
        capacity = serving * per_replica
        if queue > 0.0 or arrivals > capacity:
            queue, over = _overload(queue, max(0.0, queue + arrivals - capacity), arrivals, capacity / dt, needs)
        busy = mean + math.sqrt(margin * margin * variance + spare2)
        wanted = max(1, math.ceil(max(busy, floor * peak) / needs.concurrency - 1e-9))
        if fresh:
            serving, over, queue = wanted, 0.0, 0.0
        elif coming or wanted != serving:
            serving, coming = _order(serving, coming, wanted, at + needs.startup_s)
        lost.append(memory.lost[i] * keep + over)
        cost.append(memory.cost[i] * keep + wanted * dt)
        backlog.append(queue)
        ready.append(serving)
        pending.append(coming)
    offered, seconds = memory.offered * keep + arrivals, memory.seconds * keep + dt
    chosen = choose(lost, cost, offered, seconds, 1.0 - needs.success)
    return RiskMemory(
        offered, seconds, peak, tuple(lost), tuple(cost), tuple(backlog), tuple(ready), tuple(pending), chosen
    )


Coming = tuple[tuple[float, int], ...]


def _order(serving: int, coming: Coming, wanted: int, ready_at: float) -> tuple[int, Coming]:
    there = serving + sum(n for _, n in coming)
    if wanted > there:
        return serving, (*coming, (ready_at, wanted - there))
    drop, left = there - wanted, list(coming)
    while drop and left:  # the newest orders are given back first
        when, n = left.pop()
        kept = max(0, n - drop)
        drop -= n - kept
        if kept:
            left.append((when, kept))
    return serving - drop, tuple(left)


def choose(lost: Sequence[float], cost: Sequence[float], offered: float, seconds: float, allowed: float) -> int:
    """The smallest margin that keeps the promise, of those that enough traffic speaks for.

    Where none does, the margin or floor for which its cost and what it breaks weigh least together: 15 requests/s for a
    week are 9 million, and 900 of them (0.01%) beyond the allowance weigh as much as 2% of the cost.
    """
    least = CAUTIOUS - DOUBT * math.log10(1.0 + seconds / TRUST_S)
    budget = allowed * RESERVE * offered
    eligible = [i for i, margin in enumerate(MARGINS) if margin >= least - 1e-9]
    for i in eligible:
        if lost[i] <= budget:
            return i
    per_request = BROKEN_WEIGHT * max(cost[0], 1e-9) / max(offered, 1e-9)

    def burden(i: int) -> float:
        return cost[i] + per_request * (lost[i] - budget if lost[i] > budget else 0.0)

    best: int = min((*eligible, *range(len(MARGINS), len(CANDIDATES))), key=burden)
    return best


def _overload(before: float, queue: float, arrivals: float, rate: float, needs: Needs) -> tuple[float, float]:
    """The queue after a bin in which one stood, and the requests lost in it.

    In a queue served in order, a wait near the promise is worse than a few lost: every request is answered, and every
    answer is late. So the share lost rises with the wait, from none two service times before the promise to all half
    a service time before it; a queue longer than the promise is left by its clients.
    """
    most = rate * needs.within_s
    gone = max(0.0, queue - most)
    wait_s = 0.5 * (before + queue - gone) / max(rate, 1e-9)
    late = (wait_s - needs.within_s + 2.0 * needs.mean_s) / (1.5 * needs.mean_s)
    return queue - gone, gone + max(0.0, arrivals - gone) * min(1.0, max(0.0, late))
