"""From a promise to slots: the smallest number for which the waiting-time tail of one queue keeps it.

The pool is one queue in front of `c` slots (M/G/c). Erlang C gives the share of requests that wait at all; among those,
the wait is close to exponential with the mean of M/M/c times (1 + cv^2)/2, the correction of Allen and Cunneen. The
answer must come within `within`, so the wait may take what the service leaves: the tail is averaged over a lognormal
service time at 24 equally likely points.

Worked example: 12 busy slots, service 0.8 s with cv 0.5, "99.95% within 5 s": 13 slots. Of all requests 67% wait, of
those exp(-(13 - 12) x 4.2 s / (0.8 s x 0.625)) = 0.02% longer than the 4.2 s that are left. With a waiting room of five
service times a pool of any size needs only about one slot more than are busy; within 1 s it would need 25.

Sources: Erlang (1917); Allen, Probability, Statistics and Queueing Theory (1990), 5.3; Kimura, Approximations for
multi-server queues, Queueing Systems 17 (1994); Garnett, Mandelbaum and Reiman, Designing a call center with impatient
customers, M&SOM 4 (2002), for Erlang A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

POINTS = tuple(NormalDist().inv_cdf((i + 0.5) / 24) for i in range(24))
SLOTS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Staffing:
    """`slots` for the offered load; `kept` is False when no number of slots keeps the promise.

    `reachable` is the share that is answered in time with slots without end.
    """

    slots: int
    kept: bool
    reachable: float


def erlang_b(slots: int, offered: float) -> float:
    """The share of requests lost when there is no queue; `offered` is the load in busy slots."""
    blocked = 1.0
    for c in range(1, slots + 1):
        blocked = offered * blocked / (c + offered * blocked)
    return blocked


def erlang_c(slots: int, offered: float) -> float:
    """The share of requests that wait at all (1 when the load is not below the slots)."""
    if offered >= slots:
        return 1.0
    return _waits(slots, offered, erlang_b(slots, offered))


def _waits(slots: int, offered: float, blocked: float) -> float:
    return slots * blocked / (slots - offered * (1.0 - blocked))


def late_share(slots: int, offered: float, mean_s: float, cv: float, within_s: float) -> float:
    """The share of requests not answered within `within_s`: waited too long, or served too long."""
    left = _left_over(mean_s, cv, within_s)
    return _late(erlang_c(slots, offered), slots - offered, mean_s, cv, left)


@lru_cache(maxsize=4096)
def _left_over(mean_s: float, cv: float, within_s: float) -> tuple[float, ...]:
    """What the service time leaves of `within_s` for waiting, 24 equally likely cases; negative: none."""
    sigma = math.sqrt(math.log(1.0 + cv * cv))
    mu = math.log(mean_s) - sigma * sigma / 2
    return tuple(within_s - math.exp(mu + sigma * z) for z in POINTS)


def too_long(mean_s: float, cv: float, within_s: float) -> float:
    """The share of requests whose service alone takes longer than `within_s` (lognormal times): lost anyhow."""
    sigma = math.sqrt(math.log(1.0 + cv * cv))
    if sigma == 0.0:
        return 1.0 if mean_s > within_s else 0.0
    mu = math.log(mean_s) - sigma * sigma / 2
    return 0.5 * math.erfc((math.log(within_s) - mu) / (sigma * math.sqrt(2.0)))


def _late(waits: float, spare: float, mean_s: float, cv: float, left: tuple[float, ...]) -> float:
    if spare <= 0:
        return 1.0
    rate = spare / (mean_s * (1.0 + cv * cv) / 2.0)
    return waits * sum(math.exp(-rate * x) if x > 0 else 1.0 for x in left) / len(left)


def staff(offered: float, mean_s: float, cv: float, within_s: float, success: float) -> Staffing:
    """The smallest number of slots that keeps the promise at a steady load.

    Args:
        offered: load in busy slots (requests/s x mean service seconds), >= 0.
        mean_s: mean service time, seconds, > 0.
        cv: its coefficient of variation.
        within_s: the promise's time from arrival to answer, seconds.
        success: the promise's share.

    Where service alone takes too long too often, `kept` is False and the slots are those that keep waiting out of it:
    at most a tenth of `1 - success` is lost by waiting longer than one mean service time.
    """
    return _staff(offered, mean_s, cv, within_s, success)


def _rounded(value: float) -> float:
    """Round up to steps of 2%, so that few tables are computed; 12.1 becomes 12.21."""
    if value <= 0.0:
        return 0.0
    return math.exp(math.ceil(math.log(value) * 50.0 - 1e-9) / 50.0)


@lru_cache(maxsize=16384)
def _staff(offered: float, mean_s: float, cv: float, within_s: float, success: float) -> Staffing:
    lost = too_long(mean_s, cv, within_s)
    kept = lost < 1.0 - success
    if offered <= 0.0:
        return Staffing(0, kept, 1.0 - lost)
    allowed = _allowed(mean_s, cv, within_s, success)
    left = _room(mean_s, cv, within_s, kept)
    slots = max(1, math.floor(offered) + 1)
    blocked = erlang_b(slots, offered)
    while slots < SLOTS_MAX and _late(_waits(slots, offered, blocked), slots - offered, mean_s, cv, left) > allowed:
        slots += 1
        blocked = offered * blocked / (slots + offered * blocked)
    return Staffing(slots, kept, 1.0 - lost)


def _allowed(mean_s: float, cv: float, within_s: float, success: float) -> float:
    """The share that may be late by waiting: what the promise leaves after those served too long, a tenth at least."""
    lost = too_long(mean_s, cv, within_s)
    return max(1.0 - success - (lost if lost < 1.0 - success else 0.0), (1.0 - success) / 10.0)


def _room(mean_s: float, cv: float, within_s: float, kept: bool) -> tuple[float, ...]:
    """The time there is for waiting, by service time; never nothing, or no number of slots would be enough."""
    left = _left_over(mean_s, cv, within_s if kept else 2.0 * mean_s * (1.0 + cv))
    return tuple(max(x, 0.02 * mean_s) for x in left)


def margin(offered: float, mean_s: float, cv: float, within_s: float, success: float) -> float:
    """How many slots above the busy ones the promise needs at this load (not rounded to whole slots).

    The tail falls by the factor exp(-1 / scale) with each spare slot, so between whole slots it is interpolated.
    """
    return _margin(_rounded(offered), _rounded(mean_s), round(cv, 1), within_s, success)


@lru_cache(maxsize=16384)
def _margin(offered: float, mean_s: float, cv: float, within_s: float, success: float) -> float:
    if offered <= 0.0:
        return 0.0
    whole = _staff(offered, mean_s, cv, within_s, success)
    spare = whole.slots - offered
    below = max(0.0, spare - 1.0)
    left = _room(mean_s, cv, within_s, whole.kept)
    worse = _late(erlang_c(whole.slots - 1, offered), below, mean_s, cv, left)
    better = _late(erlang_c(whole.slots, offered), spare, mean_s, cv, left)
    allowed = _allowed(mean_s, cv, within_s, success)
    share = math.log(worse / allowed) / max(1e-9, math.log(worse / better)) if worse > allowed else 0.0
    return below + (spare - below) * min(1.0, share)
