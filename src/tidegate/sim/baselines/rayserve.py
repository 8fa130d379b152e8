"""Ray Serve's autoscaler.

Source: ray-project/ray, python/ray/serve/autoscaling_policy.py (`replica_queue_length_autoscaling_policy`,
`_apply_scaling_factors`, `_apply_delay_logic`); defaults of AutoscalingConfig
(https://docs.ray.io/en/latest/serve/api/doc/ray.serve.config.AutoscalingConfig.html): 2 ongoing requests per replica,
mean over 30 s, up after 30 s of wanting more, down after 600 s of wanting fewer, factors 1. The original counts loops
of 0.1 s in a row; here the time since the wish began is kept, which is the same.

What differs. It is asked every 5 s, so a delay may end up to 5 s late. Zero replicas (`downscale_to_zero_delay_s`) are
left out. Requests wait in one queue, where the original's routers each choose a replica: kinder to it. Its 2 ongoing
requests are meant for replicas that work on 5 at a time (`max_ongoing_requests`); where 70% of a replica's slots are
less than 2, those are aimed at, as by the others: with one slot, an aim of 2 is one request at work and one that waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.sim.baselines.base import WindowMemory, answer, clamp, current_of, keep, mean_over, windowed

TARGET_ONGOING = 2.0


@dataclass(frozen=True, slots=True)
class RayMemory(WindowMemory):
    """Since when it has wanted more or fewer, None when neither."""

    up_since: float | None = None
    down_since: float | None = None


@dataclass(frozen=True, slots=True)
class RayServe:
    """Ongoing requests (in flight and queued) per running replica."""

    target_ongoing: float = TARGET_ONGOING
    look_back_s: float = 30.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0
    period_s: float = 5.0

    @staticmethod
    def for_slots(slots: int, share: float = 0.7) -> RayServe:
        """With its default aim, or `share` of the slots of a replica where that is less."""
        return RayServe(target_ongoing=min(TARGET_ONGOING, share * slots))

    def __call__(self, inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        known = memory if isinstance(memory, RayMemory) else RayMemory(wanted=memory.wanted)
        known = replace(known, samples=windowed(known, inp, self.look_back_s).samples)
        target = current_of(inp, known)
        ongoing = mean_over(known.samples, inp.at - self.look_back_s, lambda s: s.demand)
        if ongoing is None:
            return keep(known, clamp(target, inp.spec))
        if inp.ready == 0:
            wanted = max(target, math.ceil(self.upscaling_factor)) if ongoing > 0 else target
            return answer(known, clamp(wanted, inp.spec), "ray serve", "cold start")
        desired = clamp(self._desired(ongoing, inp.ready), inp.spec)
        wanted, known = self._delayed(inp.at, desired, target, known)
        text = f"{ongoing:.2f} ongoing at {self.target_ongoing:g} per replica: {desired} desired, {wanted} wanted"
        return answer(known, clamp(wanted, inp.spec), "ray serve", text)

    def _desired(self, ongoing: float, running: int) -> int:
        exact = ongoing / self.target_ongoing
        delta = exact - running
        factor = self.upscaling_factor if delta > 0 else self.downscaling_factor
        scaled = math.ceil(running + factor * delta - 1e-9)
        if math.ceil(exact) < running and scaled == running:
            scaled -= 1
        return scaled

    def _delayed(self, at: float, desired: int, target: int, memory: RayMemory) -> tuple[int, RayMemory]:
        if desired > target:
            since = memory.up_since if memory.up_since is not None else at
            if at - since >= self.upscale_delay_s:
                return desired, replace(memory, up_since=None, down_since=None)
            return target, replace(memory, up_since=since, down_since=None)
        if desired < target:
            since = memory.down_since if memory.down_since is not None else at
            if at - since >= self.downscale_delay_s:
                return max(1, desired), replace(memory, up_since=None, down_since=None)
            return target, replace(memory, up_since=None, down_since=since)
        return target, replace(memory, up_since=None, down_since=None)
