"""What a run gave, and how it reads as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tidegate.sim.faults import Fault
from tidegate.sim.histogram import Histogram
from tidegate.sim.series import Bin, Series
from tidegate.spec.resolve import PoolKey

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class PoolResult:
    """One pool. `replica_s` and `cost` count every replica from its order to its end."""

    key: PoolKey
    within_s: float
    promised: float
    slots: int
    total: Bin
    broken_s: float
    replica_s: float
    cost: float
    changes: int
    most: int
    waits: Histogram
    answers: Histogram
    series: Series = field(repr=False)

    @property
    def success(self) -> float:
        return self.total.in_time / self.total.ended if self.total.ended else 1.0

    @property
    def kept(self) -> bool:
        return self.success >= self.promised

    @property
    def utilization(self) -> float:
        return self.total.busy_slot_s / (self.replica_s * self.slots) if self.replica_s else 0.0

    @property
    def replica_hours(self) -> float:
        return self.replica_s / 3600

    def numbers(self) -> dict[str, Any]:
        """For JSON; times in seconds, cost in the money of the manifests."""
        return {
            "service": self.key.service,
            "pool": self.key.pool,
            "promise": {"within_s": self.within_s, "success": self.promised, "kept": self.kept},
            "requests": self.total.arrivals,
            "success": self.success,
            "failed": self.total.failed,
            "gave_up": self.total.gave_up,
            "refused": self.total.refused,
            "broken_s": self.broken_s,
            "wait_s": {f"p{q * 100:g}": self.waits.quantile_s(q) for q in QUANTILES},
            "answer_s": {f"p{q * 100:g}": self.answers.quantile_s(q) for q in QUANTILES},
            "replica_hours": self.replica_hours,
            "pending_hours": self.total.pending_s / 3600,
            "cost": self.cost,
            "utilization": self.utilization,
            "scale_actions": self.changes,
            "most_replicas": self.most,
        }


@dataclass(frozen=True, slots=True)
class Result:
    """All pools of a run. `events` are (second, sentence); nothing before second `counted_from_s` is in the sums."""

    pools: tuple[PoolResult, ...]
    length_s: float
    epoch: float
    seed: int
    starts: int
    stops: int
    counted_from_s: float = 0.0
    warnings: tuple[str, ...] = ()
    events: tuple[tuple[float, str], ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def cost(self) -> float:
        return sum(p.cost for p in self.pools)

    @property
    def replica_hours(self) -> float:
        return sum(p.replica_hours for p in self.pools)

    @property
    def kept(self) -> bool:
        return all(p.kept for p in self.pools)

    @property
    def success(self) -> float:
        """Of all requests of all pools."""
        ended = sum(p.total.ended for p in self.pools)
        return sum(p.total.in_time for p in self.pools) / ended if ended else 1.0

    @property
    def utilization(self) -> float:
        paid = sum(p.replica_s * p.slots for p in self.pools)
        return sum(p.total.busy_slot_s for p in self.pools) / paid if paid else 0.0

    def numbers(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seconds": self.length_s,
            "seed": self.seed,
            "kept": self.kept,
            "success": self.success,
            "replica_hours": self.replica_hours,
            "cost": self.cost,
            "utilization": self.utilization,
            "starts": self.starts,
            "stops": self.stops,
            "pools": [p.numbers() for p in self.pools],
            "warnings": list(self.warnings),
            "events": [{"at_s": at, "text": text} for at, text in self.events],
        }
