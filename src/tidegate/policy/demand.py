"""What is asked of a pool: arrivals counted in bins of ten seconds, service times, and what waits.

Samples of any length are spread over the bins they cover, so a caller may look every second or every half minute. A bin
that was measured for less than half of its time counts as not measured: the belief about the rate then only grows older
(and less sure), it does not fall.

What a bin teaches is worked out when it ends. Bins of different pools end in different seconds, so that a fleet spreads
that work over ten ticks.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tidegate.model.observed import PoolLoad
from tidegate.model.scaling import DemandMemory
from tidegate.policy import tracking
from tidegate.spec.resolve import PoolKey

BIN_S = 10.0
GAP_BINS = 30  # a longer gap than this is passed over in one step
SERVED_MAX = 5000.0  # requests that the service time is averaged over: known to 0.7% at a cv of 0.5
KNOWN = 20.0  # requests after which the service time is what was measured
PRIOR_SERVED = 3.0  # weight of the guess before anything was served, requests
PRIOR_SHARE = 0.25  # that guess: a quarter of the promised time
PRIOR_CV = 1.0
SURPRISE, SURPRISE_WAITING = 3.0, 1.0  # standard deviations (see `surprised`)


class Service(NamedTuple):
    """Mean service time (seconds) and its coefficient of variation; `known` once 20 requests were measured."""

    mean_s: float
    cv: float
    known: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """`arrivals` requests in `covered_s` measured seconds of the bin that ends at `end`; a `gap` was not measured."""

    end: float
    seconds: float
    arrivals: float
    covered_s: float

    @property
    def rate(self) -> float | None:
        """Requests/s, None when less than half of the bin was measured."""
        return self.arrivals / self.covered_s if self.covered_s >= 0.5 * self.seconds else None


def service(memory: DemandMemory, within_s: float) -> Service:
    """Mean and variation of the service time, with a guess from the promise while little was measured."""
    guess = PRIOR_SHARE * within_s
    prior = PRIOR_SERVED * max(0.0, 1.0 - memory.served / KNOWN)
    n = memory.served + prior
    mean = (memory.service_s_sum + prior * guess) / n
    second = (memory.service_s2_sum + prior * guess * guess * (1.0 + PRIOR_CV * PRIOR_CV)) / n
    mean = max(mean, 1e-4)
    return Service(mean, math.sqrt(max(0.0, second / (mean * mean) - 1.0)), memory.served >= KNOWN)


def phase_s(key: PoolKey) -> int:
    """Whole seconds after a round ten at which bins of a pool begin: the same in every process, so not by `hash`."""
    return zlib.crc32(str(key).encode()) % int(BIN_S)


def take_in(memory: DemandMemory, load: PoolLoad, key: PoolKey) -> tuple[DemandMemory, tuple[Bin, ...]]:
    """Add a load of pool `key` that was not seen before; returns the bins it completes, oldest first.

    Bins that have begun go on as they are, whatever the phase of the pool: a memory of an earlier version, a new name.
    """
    served, service_s, service_s2 = _served(memory, load)
    start = load.at - max(load.interval_s, 1e-6)
    bin_at = memory.bin_at
    if bin_at is None:
        phase = phase_s(key)
        bin_at = math.floor((start - phase) / BIN_S) * BIN_S + phase
    start = max(start, bin_at)
    per_s = load.arrivals / max(load.at - start, 1e-6)
    arrivals, covered = memory.arrivals, memory.covered_s
    done: list[Bin] = []
    for end, length in _bins(bin_at, start, load.at):
        begin = end - length
        part = max(0.0, min(end, load.at) - max(begin, start))
        arrivals, covered = arrivals + per_s * part, covered + part
        if end > load.at:
            break
        done.append(Bin(end, length, arrivals, covered))
        arrivals = covered = 0.0
        bin_at = end
    kept = DemandMemory(bin_at, arrivals, covered, served, service_s, service_s2, memory.bank)
    return kept, tuple(done)


def _bins(bin_at: float, start: float, until: float) -> Iterator[tuple[float, float]]:
    """(end, length) of the bins from `bin_at` to past `until`; what lies before `start` by many bins comes as one."""
    missing = math.floor((start - bin_at) / BIN_S)
    if missing > GAP_BINS:
        yield bin_at + missing * BIN_S, missing * BIN_S
        bin_at += missing * BIN_S
    while bin_at <= until:
        bin_at += BIN_S
        yield bin_at, BIN_S


def _served(memory: DemandMemory, load: PoolLoad) -> tuple[float, float, float]:
    """Requests served, and the sums of their service times and of the squares, with those of `load`."""
    if not load.finished:
        return memory.served, memory.service_s_sum, memory.service_s2_sum
    keep = min(1.0, SERVED_MAX / (memory.served + load.finished))
    return (
        (memory.served + load.finished) * keep,
        (memory.service_s_sum + load.service_s_sum) * keep,
        (memory.service_s2_sum + load.service_s2_sum) * keep,
    )


def learn(memory: DemandMemory, done: Bin, unit: float) -> DemandMemory:
    """Let the filters live through a bin; `unit` is the rate that keeps one slot busy."""
    if not memory.bank:
        return memory if done.rate is None else replace(memory, bank=tracking.first_beliefs(done.rate))
    bank = tracking.advance(memory.bank, done.rate, done.seconds, unit)
    return DemandMemory(
        memory.bin_at,
        memory.arrivals,
        memory.covered_s,
        memory.served,
        memory.service_s_sum,
        memory.service_s2_sum,
        bank,
    )


def surprised(memory: DemandMemory, unit: float, *, waiting: bool = False) -> DemandMemory | None:
    """What to believe when the open bin alone says that more comes than was expected; None when it does not.

    A step from 15 to 45 requests/s is seen after one second: 45 came where 15 + 3 x sqrt(15) + 3 = 30 would have been
    no surprise. When more waits than should (`waiting`), one deviation instead of three is enough: that is seen twice.
    Nothing of it is kept: when the bin is complete it is taken in as every other one.
    """
    if memory.covered_s < 0.5:
        return None
    rate = memory.arrivals / memory.covered_s
    if not memory.bank:
        return replace(memory, bank=tracking.first_beliefs(rate)) if memory.arrivals else None
    expected = tracking.rate_now(memory.bank) * memory.covered_s
    deviations = SURPRISE_WAITING if waiting else SURPRISE
    if memory.arrivals <= expected + deviations * (math.sqrt(expected) + 1.0):
        return None
    return replace(memory, bank=tracking.advance(memory.bank, rate, memory.covered_s, unit))
