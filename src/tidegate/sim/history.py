"""What a gateway would have measured before the simulation begins, for a policy to learn from."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from tidegate.model.observed import PoolLoad
from tidegate.sim.rates import mean_rates
from tidegate.sim.requests import ServiceTime
from tidegate.sim.trace import Trace

NORMAL_FROM = 500.0


def loads(
    before: Trace, work: ServiceTime, rng: random.Random, *, ends_at: float, every_s: float = 30.0
) -> Iterator[PoolLoad]:
    """Measurements of a pool that was always large enough, over `before`, which ends at `ends_at` (epoch seconds).

    Poisson counts and mean service times; nothing is simulated request by request.
    """
    square = work.mean_s**2 * (1 + work.cv**2)
    for index, rate in enumerate(mean_rates(before.points(), every_s, before.length_s)):
        arrivals = poisson(rng, rate * every_s)
        yield PoolLoad(
            at=ends_at - before.length_s + (index + 1) * every_s,
            interval_s=every_s,
            arrivals=arrivals,
            finished=arrivals,
            in_time=arrivals,
            in_flight=round(arrivals / every_s * work.mean_s),
            service_s_sum=arrivals * work.mean_s,
            service_s2_sum=arrivals * square,
        )


def poisson(rng: random.Random, mean: float) -> int:
    """A Poisson number (Knuth's product of uniforms); for large means the normal one, which is as good there."""
    if mean > NORMAL_FROM:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count
