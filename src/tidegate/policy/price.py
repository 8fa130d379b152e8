"""What a promise costs this service, from what the imagined pools of `risk` lost and cost on its own traffic.

For `tidegate explain` and the reasons of a pool that jumps faster than it starts: the user gets the figures to choose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tidegate.model.scaling import RiskMemory
from tidegate.policy.risk import CANDIDATES, Needs

LADDER = (0.9995, 0.999, 0.995, 0.99)
ENOUGH_S = 6 * 3600.0  # figures from less traffic than this are not worth telling


@dataclass(frozen=True, slots=True)
class Price:
    """The cheapest way to answer `success` of the requests in time, None where no candidate did.

    `times_busy` is replica time paid over replica time busy; `spare` the replicas that were not busy, on average;
    `floor` the replicas kept in any case; `best` the share that was reached.
    """

    success: float
    times_busy: float | None
    spare: float
    floor: int
    best: float


def prices(memory: RiskMemory, needs: Needs) -> tuple[Price, ...]:
    """The price of the promise and of lesser ones, dearest first; empty before six hours of traffic."""
    if memory.seconds < ENOUGH_S or memory.offered <= 0:
        return ()
    levels = sorted({needs.success, *(s for s in LADDER if s < needs.success)}, reverse=True)
    return tuple(_price(memory, needs, level) for level in levels)


def _price(memory: RiskMemory, needs: Needs, success: float) -> Price:
    able = [i for i, lost in enumerate(memory.lost[: len(CANDIDATES)]) if lost <= (1.0 - success) * memory.offered]
    busy_s = memory.offered * needs.mean_s / needs.concurrency
    best = max(range(len(CANDIDATES)), key=lambda i: -memory.lost[i])
    reached = 1.0 - memory.lost[best] / memory.offered
    if not able:
        return Price(success, None, 0.0, _floor(memory, needs, best), reached)
    cheapest = min(able, key=lambda i: memory.cost[i])
    paid_s = memory.cost[cheapest]
    return Price(success, paid_s / busy_s, (paid_s - busy_s) / memory.seconds, _floor(memory, needs, cheapest), reached)


def _floor(memory: RiskMemory, needs: Needs, index: int) -> int:
    return math.ceil(CANDIDATES[index][1] * memory.peak / needs.concurrency)


def sentence(found: tuple[Price, ...]) -> str:
    """The prices in words.

    "99.95% costs 4.1 times the busy replicas (18.6 spare on average, never less than 9 in all); 99.5% costs 1.9 times
    the busy replicas (5.4 spare on average)"
    """
    return "; ".join(_words(p) for p in found)


def _words(price: Price) -> str:
    share = f"{price.success * 100:.6g}%"
    if price.times_busy is None:
        return f"{share} was out of reach ({price.best:.2%} at best)"
    floor = f", never less than {price.floor} in all" if price.floor else ""
    return f"{share} costs {price.times_busy:.2g} times the busy replicas ({price.spare:.1f} spare on average{floor})"
