"""The contract between `tick` and the scaling policy: what goes in, what comes out, what it remembers."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.model.observed import PoolLoad
from tidegate.model.reasons import Reason
from tidegate.spec.resolve import PoolSpec


@dataclass(frozen=True, slots=True)
class StabilityMemory:
    """What stabilisation and rate policies need: (epoch seconds, replicas) pairs.

    `highs` falls from left to right (the running maximum over the scale-down window), `lows` rises (the running minimum
    over the scale-up window); `changes` are the steps that `wanted` made, for the rate policies.
    """

    highs: tuple[tuple[float, int], ...] = ()
    lows: tuple[tuple[float, int], ...] = ()
    changes: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ScaleMemory:
    """What the scaling policy remembers of one pool from tick to tick.

    `wanted` is the last answer (None before the first); `busy_at` the last time (epoch seconds) the pool had work;
    `load_at` the `at` of the last load that was taken in.
    """

    wanted: int | None = None
    busy_at: float | None = None
    load_at: float | None = None
    stability: StabilityMemory = StabilityMemory()


@dataclass(frozen=True, slots=True)
class ScaleInput:
    """What the scaling policy knows of one pool at `at`.

    `load` is None when nothing was measured. `ready` replicas serve now; `starting_ages_s` says how long each of the
    others has been starting or preparing; `startup_s` is the p95 of measured start-up times (a default before any).
    """

    at: float
    spec: PoolSpec
    load: PoolLoad | None
    ready: int
    starting_ages_s: tuple[float, ...]
    startup_s: float


@dataclass(frozen=True, slots=True)
class ScaleResult:
    """`wanted` replicas in all; `look_again_at` when something is known to change by itself."""

    wanted: int
    memory: ScaleMemory
    reasons: tuple[Reason, ...]
    look_again_at: float | None = None
