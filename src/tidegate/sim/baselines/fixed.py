"""A fixed number of replicas, and a plan made beforehand."""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass

from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.sim.baselines.base import answer, clamp
from tidegate.sim.trace import Trace

PEAK_OVER_S = 300.0


@dataclass(frozen=True, slots=True)
class Static:
    """Always `replicas`."""

    replicas: int
    period_s: float = 60.0

    def __call__(self, inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        return answer(memory, clamp(self.replicas, inp.spec), "static", f"always {self.replicas}")

    def stands(self, at: float) -> int:
        """How many stand when it begins at `at`: it always had them."""
        return self.replicas


def static_peak(trace: Trace, mean_service_s: float, slots: int, share: float = 0.7) -> Static:
    """As many as keep the highest five minutes at `share` of the slots: what is bought when nothing scales."""
    return Static(_for_rate(peak_rps(trace), mean_service_s, slots, share))


def static_mean(trace: Trace, mean_service_s: float, slots: int, share: float = 0.7) -> Static:
    """As many as keep the mean load at `share` of the slots."""
    return Static(_for_rate(trace.mean_rps, mean_service_s, slots, share))


def peak_rps(trace: Trace) -> float:
    """The highest mean rate over any five minutes (or a bin, when longer; all there is, when shorter)."""
    bins = min(len(trace.rates), max(1, round(PEAK_OVER_S / trace.bin_s)))
    sums = list(itertools.accumulate(trace.rates, initial=0.0))
    return max((after - before) / bins for before, after in zip(sums, sums[bins:], strict=False))


def _for_rate(rps: float, mean_service_s: float, slots: int, share: float) -> int:
    return max(1, math.ceil(rps * mean_service_s / slots / share - 1e-9))


@dataclass(frozen=True, slots=True)
class Planned:
    """Follows a plan: from `times[i]` (seconds, on the clock of `ScaleInput.at`) on it wants `counts[i]`."""

    times: tuple[float, ...]
    counts: tuple[int, ...]
    period_s: float = 5.0

    def __call__(self, inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        planned = self.stands(inp.at)
        return answer(memory, clamp(planned, inp.spec), "plan", f"planned {planned}")

    def stands(self, at: float) -> int:
        """How many stand when it begins at `at`: it ordered them in time."""
        return self.counts[max(0, bisect.bisect_right(self.times, at + 1e-9) - 1)]
