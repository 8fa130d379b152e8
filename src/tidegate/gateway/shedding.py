"""How many may wait when the promise cannot be kept for its share of them: as many as give the most answers in time.

Pure. While a service is overloaded and so slow that some of its answers alone take longer than the promise, every place
in the queue costs some that would have been in time, and too few leave slots idle between two arrivals. Worked example:
16 slots, 0.3 s a request (exponential), a promise of 1 s, 2.4 times what can be served: 96.4% of the service times keep
the promise. With 16 places all of the capacity is used, and 90.9% of the answers are in time; with 3 places it is 99.7%
and 96.0%, which is the most useful; with one 98.4% and 96.4%.
"""

from __future__ import annotations

import math
from statistics import NormalDist

# With more slots than these an idle one is a small share, and one request behind the other is soon served.
_MOST_SLOTS = 256
_NEARLY = 0.5


def share_within(mean_s: float, deviation_s: float, limit_s: float) -> float:
    """The share of service times up to `limit_s` if they follow a gamma distribution.

    Wilson and Hilferty's approximation (1931): the cube root of such a variable is nearly normal.
    """
    if limit_s <= 0:
        return 0.0
    if deviation_s <= 0:
        return float(mean_s <= limit_s)
    ninth = (deviation_s / mean_s) ** 2 / 9
    return NormalDist().cdf(((limit_s / mean_s) ** (1 / 3) - (1 - ninth)) / math.sqrt(ninth))


def most_useful(slots: int, mean_s: float, deviation_s: float, within_s: float, pressure: float) -> int:
    """The places in the queue, 1 to one a slot, with which the most are answered in time.

    By a queue with `slots` servers to which `pressure` times as many come as can be served, by chance: n wait for
    a share of the time in proportion to pressure^n. Who finds k before him waits (k + 1) mean / slots.
    """
    counted = min(slots, _MOST_SLOTS)
    blocked = 1.0  # Erlang's B: the share of the time in which all slots are busy, were nobody to wait
    for n in range(1, counted + 1):
        blocked = pressure * counted * blocked / (n + pressure * counted * blocked)
    at_once = (1 - blocked) * share_within(mean_s, deviation_s, within_s)
    best, most = 1, -1.0
    total, useful, weight = 1.0, at_once, blocked
    for places in range(1, counted + 1):
        # One more place: who comes while the others are taken gets in and waits for as many services.
        useful += weight * share_within(mean_s, deviation_s, within_s - places * mean_s / slots)
        weight *= pressure
        total += weight
        if useful / total > most:
            best, most = places, useful / total
        if useful < _NEARLY * most * total:  # it only becomes less
            break
    return best
