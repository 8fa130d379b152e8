"""Known results of queueing theory, to hold the engine against, and a run of independent batches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tidegate.sim.engine import Pool
from tidegate.sim.requests import Requests, ServiceTime

T_99_19 = 2.861  # Student's t, 99% two-sided, 19 degrees of freedom
BATCHES = 20


def erlang_c(slots: int, offered: float) -> float:
    """Probability of waiting in M/M/c (A. K. Erlang 1917), by the recursion of the loss formula."""
    loss = 1.0
    for n in range(1, slots + 1):
        loss = offered * loss / (n + offered * loss)
    return loss / (1.0 - (offered / slots) * (1.0 - loss))


def mmc_wait_s(slots: int, load: float) -> float:
    """Mean wait in M/M/c, in mean service times."""
    return erlang_c(slots, slots * load) / (slots * (1.0 - load))


def pollaczek_khinchine_s(load: float, cv: float) -> float:
    """Mean wait in M/G/1, in mean service times (Pollaczek 1930, Khinchine 1932)."""
    return load * (1.0 + cv * cv) / (2.0 * (1.0 - load))


def mdc_wait_s(slots: int, load: float) -> float:
    """Mean wait in M/D/c in service times, exact, by Crommelin's (1932) embedded chain solved numerically.

    The number in the system one service time later is what exceeded the slots plus a Poisson number of arrivals; the
    stationary distribution gives the mean queue, and Little's law the wait.
    """
    import numpy as np

    offered = slots * load
    size = int(offered + 40 * math.sqrt(offered) + 60 / (1 - load) + slots)
    arrivals = np.exp(np.arange(size) * math.log(offered) - offered - np.cumsum(np.log(np.maximum(1, np.arange(size)))))
    chain = np.zeros((size, size))
    for state in range(size):
        left = max(0, state - slots)
        chain[state, left:] = arrivals[: size - left]
    chain[:, -1] += 1.0 - chain.sum(axis=1)
    system = chain.T - np.eye(size)
    system[-1, :] = 1.0
    right = np.zeros(size)
    right[-1] = 1.0
    share = np.linalg.solve(system, right)
    queue = float(np.sum(np.maximum(0, np.arange(size) - slots) * share))
    return queue / offered


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with the half width of its 99% confidence interval."""

    mean: float
    half_width: float

    def agrees_with(self, value: float, within: float) -> bool:
        """True when the value is not further from the interval than `within` of itself."""
        return abs(self.mean - value) <= self.half_width + within * value


def mean_wait(slots: int, load: float, service: ServiceTime, requests: int, seed: int) -> Estimate:
    """The mean wait over batches of one long run, a tenth of it left out at the start."""
    waits, _ = batches(slots, load, service, requests, seed)
    return waits


def batches(slots: int, load: float, service: ServiceTime, requests: int, seed: int) -> tuple[Estimate, Estimate]:
    """Mean wait and share of requests that wait, each with its interval."""
    rate = slots * load / service.mean_s
    length = requests / rate / BATCHES
    warm = 0.1 * requests / rate
    pool = Pool(slots=1)
    for number in range(slots):
        pool.add(f"r{number}")
    source = Requests([(0.0, rate), (warm + BATCHES * length, rate)], service, seed)
    pool.advance(warm, source)
    pool.measure()
    means, shares = [], []
    for number in range(1, BATCHES + 1):
        pool.advance(warm + number * length, source)
        stats = pool.measure()
        means.append(stats.wait_s_sum / stats.arrivals)
        shares.append(stats.waited / stats.arrivals)
    return _estimate(means), _estimate(shares)


def _estimate(values: list[float]) -> Estimate:
    mean = math.fsum(values) / len(values)
    variance = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
    return Estimate(mean, T_99_19 * math.sqrt(variance / len(values)))
