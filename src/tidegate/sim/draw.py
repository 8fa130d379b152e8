"""Random arrivals and service times, in the same source for the compiled and the plain path.

The generator is MRG32k3a (P. L'Ecuyer, "Good parameters and implementations for combined multiple recursive random
number generators", Operations Research 47, 1999): integers below 2^53 only, so plain Python and compiled code draw
exactly the same numbers. Period 2^191; a uniform has 32 bits, so the smallest is 2.3e-10.

Called by `requests`; knows nothing of pools or replicas.
"""

from __future__ import annotations

import math
from typing import Any, Final

M1: Final = 4294967087
M2: Final = 4294944443
STEP: Final = 1.0 / (M1 + 1.0)

# Kinds of service time.
FIXED: Final = 0
EXPONENTIAL: Final = 1
LOGNORMAL: Final = 2
EMPIRICAL: Final = 3

# Rows of the `carry` of arrivals: the next arrival and the segment of the rate it lies in.
NEXT: Final = 0
SEGMENT: Final = 1


def uniform(rng: Any) -> float:
    """A number in (0, 1); `rng` is the six words of state."""
    first = (1403580 * rng[1] - 810728 * rng[0]) % M1
    rng[0] = rng[1]
    rng[1] = rng[2]
    rng[2] = first
    second = (527612 * rng[5] - 1370589 * rng[3]) % M2
    rng[3] = rng[4]
    rng[4] = rng[5]
    rng[5] = second
    word = (first - second) % M1
    if word == 0:
        word = M1
    return float(word * STEP)


def normal(rng: Any) -> float:
    """A standard normal number (Box and Muller 1958, one of the pair)."""
    radius = math.sqrt(-2.0 * math.log(uniform(rng)))
    return radius * math.cos(2.0 * math.pi * uniform(rng))


def quantile(table: Any, share: float) -> float:
    """The value of an empirical distribution at `share`; `table` holds equally spaced quantiles, first to last."""
    place = share * (len(table) - 1)
    low = int(place)
    if low >= len(table) - 1:
        return float(table[len(table) - 1])
    return float(table[low] + (table[low + 1] - table[low]) * (place - low))


def fill_works(rng: Any, out: Any, count: int, kind: int, first: float, second: float, table: Any) -> None:
    """Write `count` service times in seconds to `out`.

    `first` and `second`: the mean (fixed, exponential), or mean and standard deviation of the logarithm (lognormal).
    """
    for index in range(count):
        if kind == LOGNORMAL:
            out[index] = math.exp(first + second * normal(rng))
        elif kind == EXPONENTIAL:
            out[index] = -first * math.log(uniform(rng))
        elif kind == EMPIRICAL:
            out[index] = quantile(table, uniform(rng))
        else:
            out[index] = first


def next_arrival(rng: Any, carry: Any, times: Any, rates: Any) -> None:
    """Move `carry` to the next arrival of a Poisson process whose rate is linear between the points (times, rates).

    A unit-exponential amount of expected requests lies between two arrivals; it is used up segment by segment, and in
    the last one the quadratic is solved. After the last point nothing arrives: the next arrival is at infinity.
    """
    left = -math.log(uniform(rng))
    now = carry[NEXT]
    segment = int(carry[SEGMENT])
    while segment < len(times) - 1:
        start, stop = times[segment], times[segment + 1]
        if stop > start:
            slope = (rates[segment + 1] - rates[segment]) / (stop - start)
            rate = rates[segment] + slope * (now - start)
            mass = 0.5 * (rate + rates[segment + 1]) * (stop - now)
            if left < mass:
                inside = max(0.0, rate * rate + 2.0 * slope * left)
                carry[NEXT] = now + 2.0 * left / (rate + math.sqrt(inside))
                carry[SEGMENT] = segment
                return
            left -= mass
        now = stop
        segment += 1
    carry[NEXT] = math.inf
    carry[SEGMENT] = segment


def fill_arrivals(rng: Any, carry: Any, times: Any, rates: Any, out: Any) -> int:
    """Write the next arrivals to `out` until it is full or the rate has ended; return how many."""
    count = 0
    while count < len(out) and carry[NEXT] < math.inf:
        out[count] = carry[NEXT]
        count += 1
        next_arrival(rng, carry, times, rates)
    return count


INNER_LOOPS: Final = ("uniform", "normal", "quantile", "fill_works", "next_arrival", "fill_arrivals")
