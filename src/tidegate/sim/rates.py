"""Rates given by points joined by lines, averaged over equal stretches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise


def mean_rates(points: Sequence[tuple[float, float]], step: float, length: float) -> list[float]:
    """The mean rate of each stretch of `step` seconds of a rate given by points joined by lines."""
    count = max(1, math.ceil(length / step - 1e-9))
    masses = [0.0] * count
    for (t0, r0), (t1, r1) in pairwise(points):
        at = t0
        while at < t1 - 1e-12:
            index = min(count - 1, int(at / step + 1e-9))
            end = min(t1, (index + 1) * step) if index < count - 1 else t1
            slope = (r1 - r0) / (t1 - t0)
            masses[index] += (end - at) * (r0 + slope * ((at + end) / 2 - t0))
            at = end
    return [mass / step for mass in masses]
