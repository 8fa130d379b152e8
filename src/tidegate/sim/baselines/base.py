"""What the baselines share: the memory of windows of measurements, and the bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from tidegate.model.observed import PoolLoad
from tidegate.model.reasons import Reason
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.sim.engine import IntervalStats
from tidegate.spec.resolve import PoolSpec


class Baseline(Protocol):
    """A scaling policy to compare with."""

    @property
    def period_s(self) -> float:
        """How often the original evaluates, seconds."""

    def __call__(self, inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        """The number of replicas it wants."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one interval showed: its end and length, mean demand (in flight + queued), mean busy slots, arrivals."""

    at: float
    interval_s: float
    demand: float
    busy: float
    arrivals: int


@dataclass(frozen=True, slots=True)
class WindowMemory(ScaleMemory):
    """The last measurements, and when the policy was evaluated last."""

    samples: tuple[Sample, ...] = ()
    evaluated_at: float = -1e18


def sample_of(load: PoolLoad) -> Sample:
    """The means over the interval of a load; from counts at its end where only those were measured."""
    interval_s = max(load.interval_s, 1e-9)
    if isinstance(load, IntervalStats):
        busy, queued = load.busy_slot_s / interval_s, load.queued_s / interval_s
    else:
        busy, queued = load.service_s_sum / interval_s, float(load.queued)
    return Sample(load.at, load.interval_s, busy + queued, busy, load.arrivals)


def windowed(memory: WindowMemory, inp: ScaleInput, keep_s: float) -> WindowMemory:
    """`memory` with the measurement of `inp` added and those older than `keep_s` dropped."""
    if inp.load is None or (memory.samples and memory.samples[-1].at >= inp.load.at):
        return memory
    kept = tuple(s for s in memory.samples if s.at > inp.at - keep_s + 1e-9)
    return replace(memory, samples=(*kept, sample_of(inp.load)))


def mean_over(samples: tuple[Sample, ...], since: float, value: Callable[[Sample], float]) -> float | None:
    """The mean of `value` over the measurements that ended after `since`, weighted by their length."""
    inside = [s for s in samples if s.at > since + 1e-9]
    length = sum(s.interval_s for s in inside)
    return sum(value(s) * s.interval_s for s in inside) / length if length > 0 else None


def clamp(wanted: int, spec: PoolSpec) -> int:
    """Within minReplicas and maxReplicas."""
    return max(spec.scaling.minReplicas, min(spec.scaling.maxReplicas, wanted))


def current_of(inp: ScaleInput, memory: ScaleMemory) -> int:
    """The number of replicas last asked for; what is there before the first answer."""
    return memory.wanted if memory.wanted is not None else inp.ready + len(inp.starting_ages_s)


def answer(memory: ScaleMemory, wanted: int, topic: str, text: str) -> ScaleResult:
    """A result that remembers what it wanted."""
    return ScaleResult(wanted, replace(memory, wanted=wanted), (Reason(topic, text, wanted),))


def keep(memory: ScaleMemory, wanted: int) -> ScaleResult:
    """Not evaluated now: as before."""
    return ScaleResult(wanted, replace(memory, wanted=wanted), ())
