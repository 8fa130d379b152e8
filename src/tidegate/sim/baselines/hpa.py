"""The Kubernetes HorizontalPodAutoscaler v2, and the same with windows of a cron on top.

Source: kubernetes/kubernetes, pkg/controller/podautoscaler/horizontal.go (`convertDesiredReplicasWithBehaviorRate`,
`stabilizeRecommendationWithBehaviors`) and replica_calculator.go (`GetResourceReplicas`,
`GetExternalPerPodMetricReplicas`); defaults of pkg/apis/autoscaling/v2/defaults.go and
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/: evaluated every 15 s, tolerance 10%, up by
the larger of 4 pods and 100% per 15 s without a window, down by 100% per 15 s after 300 s at the highest
recommendation.

What differs. The original reads CPU of the metrics server, some 15 to 60 s old; here utilisation is the busy share of
the slots over the last 15 s, which is kinder. It leaves out pods whose CPU was measured before they were ready, or
while unready within the CPU initialization period (5 min); here a replica counts from the moment it is ready. No pod
is ever without metrics, so the rules for missing ones do not arise. The tolerance with unready pods as idle, the
refusal to turn the direction round, and stabilisation before rate limits are the original's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.sim.baselines.base import WindowMemory, answer, clamp, current_of, keep, mean_over, windowed
from tidegate.sim.trace import Trace

HOUR_S = 3600.0
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class HpaMemory(WindowMemory):
    """`recommended` are (at, replicas) of the stabilisation window, `changes` (at, replicas added or taken away)."""

    recommended: tuple[tuple[float, int], ...] = ()
    changes: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Hpa:
    """The HPA on `utilization` (busy share of the slots of ready replicas) or `demand` (in flight + queued per slot).

    `target` is the averageUtilization, or the demand per slot aimed at.
    """

    metric: str = "utilization"
    target: float = 0.7
    tolerance: float = 0.1
    up_pods: int = 4
    up_percent: int = 100
    down_percent: int = 100
    rate_period_s: float = 15.0
    down_window_s: float = 300.0
    period_s: float = 15.0

    def __call__(self, inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        known = memory if isinstance(memory, HpaMemory) else HpaMemory(wanted=memory.wanted)
        known = replace(known, samples=windowed(known, inp, self.period_s).samples)
        current = current_of(inp, known)
        if inp.at < known.evaluated_at + self.period_s - 1e-9:
            return keep(known, clamp(current, inp.spec))
        known = replace(known, evaluated_at=inp.at)
        proposal = self._recommend(inp, known, current)
        if proposal is None:
            return keep(known, clamp(current, inp.spec))
        proposed, text = proposal
        held, known = self._stabilized(inp.at, clamp(proposed, inp.spec), current, known)
        wanted = clamp(self._limited(inp.at, held, current, known), inp.spec)
        if wanted != current:
            known = replace(known, changes=(*known.changes, (inp.at, wanted - current)))
        return answer(known, wanted, "hpa", text)

    def _recommend(self, inp: ScaleInput, memory: HpaMemory, current: int) -> tuple[int, str] | None:
        """The replicas the metric asks for; None when there is nothing to go by."""
        since = inp.at - self.period_s
        slots = inp.spec.concurrency
        if self.metric == "demand":
            demand = mean_over(memory.samples, since, lambda s: s.demand)
            if demand is None or current == 0:
                return None
            per = self.target * slots
            ratio = demand / (per * current)
            wanted = current if abs(1 - ratio) <= self.tolerance else math.ceil(demand / per - 1e-9)
            return wanted, f"{demand:.2f} requests at {per:g} per replica: ratio {ratio:.2f}, so {wanted}"
        busy = mean_over(memory.samples, since, lambda s: s.busy)
        if busy is None or inp.ready == 0:
            return None
        ratio = busy / (inp.ready * slots) / self.target
        wanted = self._from_pods(ratio, busy / slots, inp.ready, len(inp.starting_ages_s), current)
        return wanted, f"{ratio * self.target:.0%} of the slots busy, target {self.target:.0%}: {wanted}"

    def _from_pods(self, ratio: float, busy: float, ready: int, unready: int, current: int) -> int:
        """GetResourceReplicas: when going up, replicas that are not ready count as idle."""
        if not (unready and ratio > 1):
            return current if abs(1 - ratio) <= self.tolerance else math.ceil(ratio * ready - 1e-9)
        pods = ready + unready
        fresh = busy / pods / self.target
        if abs(1 - fresh) <= self.tolerance or fresh < 1:
            return current
        return max(current, math.ceil(fresh * pods - 1e-9))

    def _stabilized(self, at: float, proposed: int, current: int, memory: HpaMemory) -> tuple[int, HpaMemory]:
        """Down only to the highest recommendation of the window; up at once."""
        inside = tuple(r for r in memory.recommended if r[0] > at - self.down_window_s)
        recommended = (*inside, (at, proposed))
        highest = max(n for _, n in recommended)
        held = proposed if proposed >= current else min(current, highest)
        return held, replace(memory, recommended=recommended)

    def _limited(self, at: float, held: int, current: int, memory: HpaMemory) -> int:
        """Rate policies, relative to the number at the start of their period."""
        recent = [n for when, n in memory.changes if when > at - self.rate_period_s]
        if held > current:
            start = current - sum(n for n in recent if n > 0)
            return min(held, max(start + self.up_pods, math.ceil(start * (1 + self.up_percent / 100))))
        if held < current:
            start = current - sum(n for n in recent if n < 0)
            return max(held, math.floor(start * (1 - self.down_percent / 100)))
        return held


@dataclass(frozen=True, slots=True)
class CronHpa:
    """Hourly floors of the day, set by hand from an earlier week, and the HPA above them.

    Source of the semantics: the cron scaler of KEDA (https://keda.sh/docs/latest/scalers/cron/): within a window its
    `desiredReplicas` is one more metric, and the HPA takes the largest. `floors` has 24 numbers for weekdays and 24
    for weekends, by the hour of UTC.
    """

    floors: tuple[int, ...]
    hpa: Hpa = field(default_factory=Hpa)
    period_s: float = 15.0

    def __call__(self, inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        result = self.hpa(inp, memory)
        floor = clamp(self.floors[_hour(inp.at)], inp.spec)
        if floor <= result.wanted:
            return result
        return answer(result.memory, floor, "cron", f"floor of this hour: {floor}")


def cron_floors(before: Trace, mean_service_s: float, slots: int, share: float = 0.7) -> tuple[int, ...]:
    """For each hour of weekdays and of weekends, what the highest five minutes of `before` needed at `share`."""
    fine = before.rebinned(300.0)
    peaks = [0.0] * 48
    for index, rate in enumerate(fine.rates):
        hour = _hour((before.start or 0.0) + index * fine.bin_s)
        peaks[hour] = max(peaks[hour], rate)
    for hour in range(24):  # a week may lack one of the two
        peaks[hour] = peaks[hour] or peaks[24 + hour]
        peaks[24 + hour] = peaks[24 + hour] or peaks[hour]
    return tuple(max(1, math.ceil(p * mean_service_s / slots / share - 1e-9)) for p in peaks)


def _hour(at: float) -> int:
    weekend = int(at // DAY_S + 3) % 7 >= 5  # the epoch began on a Thursday
    return int(at % DAY_S // HOUR_S) + (24 if weekend else 0)
