"""The contract between `tick` and the scaling policy: what goes in, what comes out, what it remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tidegate.base.quick import quick
from tidegate.model.observed import PoolLoad
from tidegate.model.reasons import Reason
from tidegate.spec.resolve import PoolSpec


@quick
@dataclass(frozen=True, slots=True)
class StabilityMemory:
    """What stabilisation and rate policies need: (epoch seconds, replicas) pairs.

    `highs` falls from left to right (the running maximum over the scale-down window), `lows` rises (the running minimum
    over the scale-up window); `changes` are the steps that `wanted` made, for the rate policies.
    """

    highs: tuple[tuple[float, int], ...] = ()
    lows: tuple[tuple[float, int], ...] = ()
    changes: tuple[tuple[float, int], ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class Beliefs:
    """What one filter of the bank believes of the arrival rate: its weight, the level (requests/s), the slope
    (requests/s each second), and their covariance."""

    weight: float
    level: float
    slope: float
    p_level: float
    p_both: float
    p_slope: float


@quick
@dataclass(frozen=True, slots=True)
class RiskMemory:
    """What each candidate margin would have lost and cost so far, had it been the one in use; one entry a margin, and a
    last one for a pool that lived with the margins that were in use.

    `lost` requests and `cost` replica seconds fade with the same time constant as `offered` requests and `seconds`.
    `peak` is the highest load expected (busy slots), fading. `backlog` requests wait now in the imagined pool, which
    has `ready` replicas and `pending` ones (ready at, count). `felt` requests were really lost for want of slots, and
    `foreseen` ones by the last pool in the same time; both fade alike. `jumps` counts, fading, the occasions on which
    even the widest ordinary margin lost requests; at `jumped_at` (epoch seconds) it did so last.
    """

    offered: float = 0.0
    seconds: float = 0.0
    peak: float = 0.0
    lost: tuple[float, ...] = ()
    cost: tuple[float, ...] = ()
    backlog: tuple[float, ...] = ()
    ready: tuple[int, ...] = ()
    pending: tuple[tuple[tuple[float, int], ...], ...] = ()
    chosen: int = 0
    felt: float = 0.0
    foreseen: float = 0.0
    jumps: float = 0.0
    jumped_at: float = 0.0


@quick
@dataclass(frozen=True, slots=True)
class ErrorMemory:
    """How far forecasts of late were off: `square` is the fading mean square (see `recent_errors`).

    `notes` are forecasts not yet due: (due at, requests/s).
    """

    notes: tuple[tuple[float, float], ...] = ()
    square: float = 0.0


@quick
@dataclass(frozen=True, slots=True)
class SeasonMemory:
    """The usual rate of each half hour of the week (requests/s, negative: never seen), and how well it foretells.

    The half hour under way is number `slot` since the epoch, with the `total` of the rates of `bins` bins. `notes` are
    guesses not yet settled: (due at, by the shape, by the trend), requests/s. Errors are mean squares, as shares.
    """

    shape: tuple[float, ...] = ()
    slots_seen: int = 0
    slot: int | None = None
    total: float = 0.0
    bins: int = 0
    notes: tuple[tuple[float, float, float], ...] = ()
    compared: int = 0
    shape_error: float = 0.0
    trend_error: float = 0.0


@quick
@dataclass(frozen=True, slots=True)
class DemandMemory:
    """Arrivals counted in bins, what is believed of their rate, and the service times seen.

    The open bin begins at `bin_at` (epoch seconds) and holds `arrivals` requests of `covered_s` measured seconds.
    `served` requests took `service_s_sum` and `service_s2_sum`; old ones fade.
    """

    bin_at: float | None = None
    arrivals: float = 0.0
    covered_s: float = 0.0
    served: float = 0.0
    service_s_sum: float = 0.0
    service_s2_sum: float = 0.0
    bank: tuple[Beliefs, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class ScaleMemory:
    """What the scaling policy remembers of one pool from tick to tick.

    `wanted` is the last answer (None before the first); `busy_at` the last time (epoch seconds) the pool had work;
    `load_at` the `at` of the last load that was taken in; `measured_s` seconds were measured without a long gap.
    """

    wanted: int | None = None
    busy_at: float | None = None
    load_at: float | None = None
    measured_s: float = 0.0
    demand: DemandMemory = DemandMemory()
    errors: ErrorMemory = ErrorMemory()
    season: SeasonMemory = SeasonMemory()
    risk: RiskMemory = RiskMemory()
    stability: StabilityMemory = StabilityMemory()

    def decided(self, wanted: int, stability: StabilityMemory) -> ScaleMemory:
        """The same after an answer; written out, since a large fleet asks a thousand times a second."""
        return ScaleMemory(
            wanted=wanted,
            busy_at=self.busy_at,
            load_at=self.load_at,
            measured_s=self.measured_s,
            demand=self.demand,
            errors=self.errors,
            season=self.season,
            risk=self.risk,
            stability=stability,
        )


@quick
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


@quick
@dataclass(frozen=True, slots=True)
class ScaleResult:
    """`wanted` replicas in all; `look_again_at` when something is known to change by itself."""

    wanted: int
    memory: ScaleMemory
    reasons: tuple[Reason, ...]
    look_again_at: float | None = None


Scale = Callable[[ScaleInput, ScaleMemory], ScaleResult]
