"""SkyServe's request-rate autoscaler.

Source: skypilot-org/skypilot, sky/serve/autoscalers.py (`RequestRateAutoscaler`) and sky/serve/constants.py;
documented at https://docs.skypilot.co/en/stable/serving/autoscaling.html: requests of the last 60 s over
`target_qps_per_replica`, rounded up, looked at every 20 s; up after 300 s of wanting more, down after 1200 s of
wanting fewer.

What differs. No spot instances with an on-demand fallback, and none of the shortcut from zero replicas (5 s between
looks). Its users give `target_qps_per_replica` by hand; here it is the rate that keeps 70% of the slots busy, which
takes knowing the service time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.sim.baselines.base import WindowMemory, answer, clamp, current_of, keep, windowed


@dataclass(frozen=True, slots=True)
class SkyMemory(WindowMemory):
    """How many looks in a row wanted more, or fewer."""

    ups: int = 0
    downs: int = 0


@dataclass(frozen=True, slots=True)
class SkyServe:
    """`target_qps` requests/s per replica, which the user must know."""

    target_qps: float
    qps_window_s: float = 60.0
    upscale_delay_s: float = 300.0
    downscale_delay_s: float = 1200.0
    period_s: float = 20.0

    @staticmethod
    def at_share(mean_service_s: float, slots: int, share: float = 0.7) -> SkyServe:
        """With the rate that keeps a replica busy for `share` of its slots."""
        return SkyServe(share * slots / mean_service_s)

    def __call__(self, inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        known = memory if isinstance(memory, SkyMemory) else SkyMemory(wanted=memory.wanted)
        known = replace(known, samples=windowed(known, inp, self.qps_window_s).samples)
        current = clamp(current_of(inp, known), inp.spec)
        if inp.at < known.evaluated_at + self.period_s - 1e-9 or not known.samples:
            return keep(known, current)
        since = inp.at - self.qps_window_s
        inside = [s for s in known.samples if s.at > since + 1e-9]
        qps = sum(s.arrivals for s in inside) / self.qps_window_s
        target = clamp(math.ceil(qps / self.target_qps - 1e-9), inp.spec)
        ups = known.ups + 1 if target > current else 0
        downs = known.downs + 1 if target < current else 0
        wanted = current
        if ups >= self.upscale_delay_s / self.period_s or downs >= self.downscale_delay_s / self.period_s:
            wanted, ups, downs = target, 0, 0
        text = f"{qps:.2f} requests/s at {self.target_qps:.3g} per replica: {target} aimed at, {wanted} wanted"
        return answer(replace(known, evaluated_at=inp.at, ups=ups, downs=downs), wanted, "skyserve", text)
