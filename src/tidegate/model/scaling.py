"""The contract between `tick` and the scaling policy: what goes in, what comes out, what it remembers."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.model.observed import PoolLoad
from tidegate.model.reasons import Reason
from tidegate.spec.resolve import PoolSpec


@dataclass(frozen=True, slots=True)
class ScaleMemory:
    """What the scaling policy remembers of one pool from tick to tick."""


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
