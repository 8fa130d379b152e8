"""The Knative Pod Autoscaler.

Source: knative/serving, pkg/autoscaler/scaling/autoscaler.go (`Scale`); defaults of
config/core/configmaps/autoscaler.yaml: tick 2 s, stable window 60 s, panic window 10% of it, panic threshold 200%,
target 70% of the container's concurrency, at most 1000 times more and half of the ready pods in one go.

What differs. Concurrency is the mean of what runs and waits over each window, as the activator and the queue proxies
would report it, without their delay of a second or two; a window that is not full yet is averaged over what there is,
as in the original. Scaling to zero (`scale-to-zero-grace-period`, the activator's burst capacity) and
`scale-down-delay` (0 by default) are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.sim.baselines.base import WindowMemory, answer, clamp, current_of, keep, mean_over, windowed


@dataclass(frozen=True, slots=True)
class KpaMemory(WindowMemory):
    """`panic_at`: when the panic threshold was last exceeded, None when calm; `panic_pods`: the most since then."""

    panic_at: float | None = None
    panic_pods: int = 0


@dataclass(frozen=True, slots=True)
class Kpa:
    """Average concurrency over a stable and a panic window."""

    target_share: float = 0.7
    stable_s: float = 60.0
    panic_s: float = 6.0
    panic_threshold: float = 2.0
    max_up: float = 1000.0
    max_down: float = 2.0
    period_s: float = 2.0

    def __call__(self, inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        known = memory if isinstance(memory, KpaMemory) else KpaMemory(wanted=memory.wanted)
        known = replace(known, samples=windowed(known, inp, self.stable_s).samples)
        current = current_of(inp, known)
        if inp.at < known.evaluated_at + self.period_s - 1e-9:
            return keep(known, clamp(current, inp.spec))
        known = replace(known, evaluated_at=inp.at)
        stable = mean_over(known.samples, inp.at - self.stable_s, lambda s: s.demand)
        panic = mean_over(known.samples, inp.at - self.panic_s, lambda s: s.demand)
        if stable is None:
            return keep(known, clamp(current, inp.spec))
        panic = stable if panic is None else panic
        wanted, known = self._scale(stable, panic, inp, known)
        mode = "panic" if known.panic_at is not None else "stable"
        text = f"{mode}: {stable:.2f} over {self.stable_s:g} s, {panic:.2f} over {self.panic_s:g} s: {wanted}"
        return answer(known, clamp(wanted, inp.spec), "kpa", text)

    def _scale(self, stable: float, panic: float, inp: ScaleInput, memory: KpaMemory) -> tuple[int, KpaMemory]:
        target = self.target_share * inp.spec.concurrency
        ready = max(1, inp.ready)
        low, high = math.floor(ready / self.max_down), math.ceil(self.max_up * ready)
        for_stable, for_panic = math.ceil(stable / target - 1e-9), math.ceil(panic / target - 1e-9)
        over = for_panic / ready >= self.panic_threshold
        panic_at, panic_pods = memory.panic_at, memory.panic_pods
        if over:
            panic_at = inp.at
        elif panic_at is not None and panic_at + self.stable_s < inp.at:
            panic_at, panic_pods = None, 0
        wanted = min(max(for_stable, low), high)
        if panic_at is not None:
            panic_pods = max(panic_pods, wanted, min(max(for_panic, low), high))
            wanted = panic_pods
        return wanted, replace(memory, panic_at=panic_at, panic_pods=panic_pods)
