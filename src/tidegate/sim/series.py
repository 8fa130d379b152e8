"""What happened to a pool over time, in bins few enough to draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from tidegate.sim.engine import IntervalStats

WINDOW_S = 60.0  # the promise is judged minute by minute


@dataclass(slots=True)
class Bin:
    """One stretch of time; sums of the intervals in it, and the state at the end of the last one.

    `where` holds replica seconds by cluster, start-up and drain included; `pending_s` those that were wanted and found
    no room, `full_s` how long there were such.
    """

    at: float
    seconds: float = 0.0
    arrivals: int = 0
    finished: int = 0
    in_time: int = 0
    failed: int = 0
    gave_up: int = 0
    refused: int = 0
    busy_slot_s: float = 0.0
    queued_s: float = 0.0
    wanted: int = 0
    ready_s: float = 0.0
    starting_s: float = 0.0
    draining_s: float = 0.0
    pending_s: float = 0.0
    full_s: float = 0.0
    cost: float = 0.0
    where: dict[str, float] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        return self.finished + self.failed + self.gave_up + self.refused


@dataclass(frozen=True, slots=True)
class Standing:
    """How many replicas a pool wanted and had during an interval, what they cost an hour, and where they ran."""

    wanted: int
    ready: int
    starting: int
    draining: int
    pending: int
    hourly_cost: float
    where: Mapping[str, int]


@dataclass(slots=True)
class Series:
    """The bins of one pool, `bin_s` seconds each, and its totals from `measure_from` on."""

    bin_s: float
    promised: float
    measure_from: float = 0.0
    bins: list[Bin] = field(default_factory=list)
    total: Bin = field(default_factory=lambda: Bin(0.0))
    broken_s: float = 0.0
    _minute: Bin = field(default_factory=lambda: Bin(0.0))

    def add(self, now: float, load: IntervalStats, there: Standing) -> None:
        """Add the interval that ends at `now` (seconds)."""
        began = now - load.interval_s
        while not self.bins or began >= self.bins[-1].at + self.bin_s - 1e-9:
            self.bins.append(Bin(self.bins[-1].at + self.bin_s if self.bins else 0.0))
        targets = [self.bins[-1]]
        if began >= self.measure_from - 1e-9:
            targets += [self.total, self._minute]
        for target in targets:
            _count(target, load, there)
        if self._minute.seconds >= WINDOW_S:
            self._judge()

    def close(self) -> None:
        """Judge the last minute; bins without an interval keep the replicas of the one before."""
        self._judge()
        for before, after in zip(self.bins, self.bins[1:], strict=False):
            if after.seconds == 0:
                after.wanted = before.wanted

    def _judge(self) -> None:
        minute = self._minute
        if is_broken(minute.ended, minute.in_time, self.promised):
            self.broken_s += minute.seconds
        self._minute = Bin(0.0)


def is_broken(ended: int, in_time: int, promised: float) -> bool:
    """Whether a stretch lost more requests than promised, and not just the one that chance takes now and then.

    Of 800 requests at 99.95% not even one may be lost; every service has a few that take too long by themselves.
    """
    return ended - in_time > (1 - promised) * ended + 1


def _count(target: Bin, load: IntervalStats, there: Standing) -> None:
    for name in ("arrivals", "finished", "in_time", "failed", "gave_up", "refused", "busy_slot_s", "queued_s"):
        setattr(target, name, getattr(target, name) + getattr(load, name))
    target.seconds += load.interval_s
    target.wanted = there.wanted
    target.pending_s += there.pending * load.interval_s
    target.full_s += load.interval_s if there.pending else 0.0
    target.ready_s += there.ready * load.interval_s
    target.starting_s += there.starting * load.interval_s
    target.draining_s += there.draining * load.interval_s
    target.cost += there.hourly_cost * load.interval_s / 3600
    for cluster, count in there.where.items():
        target.where[cluster] = target.where.get(cluster, 0.0) + count * load.interval_s


BIN_FIELDS = tuple(f.name for f in fields(Bin))
