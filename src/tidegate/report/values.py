"""The values of a report, and what a simulation for comparison needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.report.durations import Spread
from tidegate.report.loads import Traffic

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Window:
    """From `since` (included) until `until`, epoch seconds."""

    since: float
    until: float

    @property
    def seconds(self) -> float:
        return max(0.0, self.until - self.since)


@dataclass(frozen=True, slots=True)
class Static:
    """What a fleet that never changes would have been: sized for the peak, there all the time that was measured.

    `slot_h` are its replica-hours times their slots. `success` is None when it was not simulated, `cost` when no price
    is known.
    """

    replicas: int
    replica_h: float
    slot_h: float
    cost: float | None
    utilisation: float | None
    success: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """What a simulation of the static fleet needs to know: the same arrivals, the same work."""

    replicas: int
    slots: int
    within_s: float
    rate: tuple[tuple[float, float], ...]
    seconds: float
    requests: int
    service_s_mean: float
    service_cv: float


@dataclass(frozen=True, slots=True)
class Other:
    """What another policy would have done with the same arrivals, simulated; `name` as in `tidegate simulate`."""

    name: str
    replica_h: float
    slot_h: float
    cost: float | None
    utilisation: float | None
    success: float | None


@dataclass(frozen=True, slots=True)
class Starts:
    """Start-up times: mean seconds and coefficient of variation; None when none was measured."""

    mean_s: float | None
    cv: float = 0.0


@dataclass(frozen=True, slots=True)
class Preview:
    """What a forecast in preview would have added: replica-hours beyond what was wanted, and how many times."""

    replica_h: float = 0.0
    times: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """One pool, or all of them (`service` and `pool` are "" then). None: nothing to compute it from.

    `cost` covers the replicas whose price is known; `unpriced_h` are the replica-hours of the others. `promised` is
    the share of requests that the manifest promises to answer in time (None for all pools together).
    """

    service: str
    pool: str
    promised: float | None
    within_s: float | None
    replica_h: float
    mean_replicas: float
    cost: float | None
    unpriced_h: float
    utilisation: float | None
    utilisation_ready: float | None
    traffic: Traffic
    scale_out: Spread
    start_up: Spread
    upgrade: Spread
    static: Static | None
    preview: Preview = Preview()
    others: tuple[Other, ...] = ()
    phases_p95_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """The window, every pool in order, and all together."""

    window: Window
    pools: tuple[Measured, ...]
    total: Measured
