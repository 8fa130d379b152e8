"""Requests as the engine takes them: when each arrives and how many seconds of work it brings.

A `Requests` is drawn from a rate and a distribution (two named streams, so that changing one leaves the other), or
made from known lists. It keeps a buffer; the engine takes from its front. Which requests come does not depend on who
serves them or on how the time is cut into ticks: two policies under one seed get the same requests.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from tidegate.base.streams import stream_seed
from tidegate.sim import draw
from tidegate.sim.compiling import compiled, whether_to_compile

BUFFER = 8192


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """How long a replica works on a request alone: mean in seconds, coefficient of variation, shape.

    `kind` is fixed, exponential, lognormal or empirical; `table` holds equally spaced quantiles of the empirical one.
    """

    mean_s: float
    cv: float = 0.5
    kind: str = "lognormal"
    table: tuple[float, ...] = ()

    @staticmethod
    def empirical(seconds: Sequence[float], points: int = 1001) -> ServiceTime:
        """The distribution of measured times, kept as `points` equally spaced quantiles."""
        ordered = sorted(seconds)
        if not ordered or ordered[0] < 0 or not math.isfinite(ordered[-1]):
            raise ValueError("an empirical service time needs at least one finite value >= 0")
        points = min(points, max(2, len(ordered)))
        table = tuple(_at_share(ordered, i / (points - 1)) for i in range(points))
        steps = tuple(pairwise(table))
        mean = math.fsum((a + b) / 2 for a, b in steps) / len(steps)
        square = math.fsum((a * a + a * b + b * b) / 3 for a, b in steps) / len(steps)
        return ServiceTime(mean, math.sqrt(max(0.0, square - mean * mean)) / mean if mean else 0.0, "empirical", table)

    def parameters(self) -> tuple[int, float, float]:
        """Kind and the two numbers `draw.fill_works` needs."""
        if self.kind == "lognormal" and self.cv > 0:
            variance = math.log(1.0 + self.cv * self.cv)
            return draw.LOGNORMAL, math.log(self.mean_s) - variance / 2.0, math.sqrt(variance)
        kinds = {"exponential": draw.EXPONENTIAL, "empirical": draw.EMPIRICAL}
        return kinds.get(self.kind, draw.FIXED), self.mean_s, 0.0


def _at_share(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = min(int(place), len(ordered) - 2) if len(ordered) > 1 else 0
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@cache
def _fast() -> Any:
    return compiled(draw, draw.INNER_LOOPS)


class Requests:
    """A stream of requests in order of arrival.

    Attributes:
        arrivals, works: the buffer; `index` is the first not yet taken, `count` how many it holds.
        compiled: whether the buffers are numpy arrays.
    """

    def __init__(self, rate: Sequence[tuple[float, float]], work: ServiceTime, seed: int, *, name: str = "",
                 compile: bool | None = None) -> None:  # fmt: skip
        """Poisson arrivals at a rate given by points (second, requests/s), linear between them, none after the last.

        Two points at the same second make a jump. `name` keeps the streams of several pools of one seed apart.
        """
        self.compiled = whether_to_compile(compile)
        self._draw = _fast() if self.compiled else draw
        self._kind, self._first, self._second = work.parameters()
        self._times = self._reals([t for t, _ in rate])
        self._rates = self._reals([r for _, r in rate])
        self._table = self._reals(work.table or (0.0,))
        self._arrivals_rng = self._words(stream_seed(seed, f"arrivals{name}"))
        self._works_rng = self._words(stream_seed(seed, f"service{name}"))
        self.arrivals = self._reals([0.0] * BUFFER)
        self.works = self._reals([0.0] * BUFFER)
        self.index = self.count = 0
        self._carry = self._reals([rate[0][0] if rate else math.inf, 0.0])
        if rate:
            self._draw.next_arrival(self._arrivals_rng, self._carry, self._times, self._rates)

    @staticmethod
    def of(arrivals: Sequence[float], works: Sequence[float], *, compile: bool | None = None) -> Requests:
        """Known requests: arrival times in order (seconds) and the work of each (seconds)."""
        if len(arrivals) != len(works):
            raise ValueError(f"{len(arrivals)} arrivals, but {len(works)} service times")
        made = Requests((), ServiceTime(1.0), 0, compile=compile)
        made.arrivals, made.works = made._reals(arrivals), made._reals(works)
        made.count = len(arrivals)
        return made

    def cover(self, until: float) -> bool:
        """Refill the buffer once it is used up; True when it holds all that arrives by `until`."""
        pending = self._carry[draw.NEXT]
        if self.index == self.count and pending < math.inf:
            self.index = 0
            self.count = self._draw.fill_arrivals(
                self._arrivals_rng, self._carry, self._times, self._rates, self.arrivals
            )
            self._draw.fill_works(
                self._works_rng, self.works, self.count, self._kind, self._first, self._second, self._table
            )
        return bool(self._carry[draw.NEXT] > until)

    def _reals(self, values: Sequence[float]) -> Any:
        if not self.compiled:
            return [float(v) for v in values]
        import numpy as np

        return np.array(values, dtype=np.float64)

    def _words(self, seed: int) -> Any:
        rng = random.Random(seed)
        words = [rng.randrange(1, draw.M2) for _ in range(6)]
        if not self.compiled:
            return words
        import numpy as np

        return np.array(words, dtype=np.int64)
