"""One pool under one scaling policy: the small harness for comparing policies quickly.

It has what matters to a scaling policy and nothing else: measurements, start-up times, drains, bounds. No clusters,
faults or probes; for those, and for the very `policy.tick` of the live system, there is `world`. Both count requests
with the same `engine`.

    result = play(spec, requests, policy.scaling.scale, Play(until_s=7200, startup_s=120))
    result.success, result.replica_hours, result.utilization
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.base.streams import stream
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.sim.admission import Admission
from tidegate.sim.engine import IntervalStats, Pool
from tidegate.sim.histogram import Histogram
from tidegate.sim.requests import Requests
from tidegate.sim.series import is_broken
from tidegate.spec.resolve import PoolSpec

Scale = Callable[[ScaleInput, ScaleMemory], ScaleResult]


@dataclass(frozen=True, slots=True)
class Play:
    """The setting of one run; times in seconds.

    `epoch` is the wall clock at second 0. Nothing before `measure_from_s` counts. Start-up times are lognormal with
    `startup_cv`, exactly `startup_s` when that is 0. `initial` replicas are ready at the beginning. In a `plain_queue`
    everybody waits until his patience ends; otherwise the gateway refuses at once what cannot be in time.
    """

    until_s: float
    startup_s: float = 120.0
    startup_cv: float = 0.0
    tick_s: float = 5.0
    measure_from_s: float = 0.0
    patience_s: float = math.inf
    initial: int = 1
    epoch: float = 0.0
    seed: int = 1
    plain_queue: bool = False
    compile: bool | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One tick: its time, what the interval before it showed, and the replicas after it."""

    at: float
    load: IntervalStats
    wanted: int
    ready: int
    starting: int
    draining: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave, from `measure_from_s` on. `replica_s` counts starting, ready and draining replicas."""

    arrivals: int
    finished: int
    in_time: int
    failed: int
    gave_up: int
    refused: int
    busy_slot_s: float
    replica_s: float
    slots: int
    starts: int
    stops: int
    broken_s: float
    waits: Histogram
    answers: Histogram
    points: tuple[Point, ...] = field(repr=False, default=())

    @property
    def success(self) -> float:
        """Share of the requests that ended which were answered within the promise; 1 when there were none."""
        ended = self.finished + self.failed + self.gave_up + self.refused
        return self.in_time / ended if ended else 1.0

    @property
    def replica_hours(self) -> float:
        return self.replica_s / 3600

    @property
    def utilization(self) -> float:
        """Busy slots over paid slots."""
        return self.busy_slot_s / (self.replica_s * self.slots) if self.replica_s else 0.0


def play(
    spec: PoolSpec,
    requests: Requests,
    scale: Scale,
    how: Play,
    *,
    memory: ScaleMemory | None = None,
    keep_points: bool = True,
) -> Outcome:
    """Run one pool from second 0 to `how.until_s`, asking `scale` every `how.tick_s`.

    `memory` is what the policy knows already.
    """
    run = _Run(spec, how)
    points: list[Point] = []
    known = memory or ScaleMemory()
    tick, ticks = 0, math.floor(how.until_s / how.tick_s + 1e-9)
    while True:
        load = run.pool.measure()
        run.count(load)
        result = scale(run.look(load), known)
        known = result.memory
        run.follow(result.wanted)
        if keep_points and run.pool.now >= how.measure_from_s:
            points.append(Point(run.pool.now, load, result.wanted, len(run.ready), len(run.starting), run.draining))
        if tick >= ticks:
            break
        tick += 1
        run.advance(min(tick * how.tick_s, how.until_s), requests)
    return run.outcome(tuple(points))


@dataclass(slots=True)
class _Sums:
    """Counts since the measured part began."""

    arrivals: int = 0
    finished: int = 0
    in_time: int = 0
    failed: int = 0
    gave_up: int = 0
    refused: int = 0
    busy_slot_s: float = 0.0
    broken_s: float = 0.0


class _Run:
    """The replicas of one pool and what has been counted."""

    def __init__(self, spec: PoolSpec, how: Play) -> None:
        self.spec, self.how = spec, how
        longest_s = spec.service.queue.maxWaitSeconds or spec.promise.within
        self.pool = Pool(
            slots=spec.concurrency,
            patience_s=how.patience_s,
            within_s=spec.promise.within,
            max_wait_s=max(longest_s, how.patience_s) if how.plain_queue else longest_s,
            admission=None if how.plain_queue else Admission(spec),
            epoch=how.epoch,
            compile=how.compile,
        )
        self.rng: random.Random = stream(how.seed, "startups")
        self.ready: dict[str, float] = {}
        self.starting: dict[str, tuple[float, float]] = {}
        self.leaving: dict[str, float] = {}
        self.number = self.starts = self.stops = 0
        self.replica_s = 0.0
        self.sums = _Sums()
        self.measuring = False
        for _ in range(how.initial):
            name = self._name()
            self.ready[name] = 0.0
            self.pool.add(name)

    @property
    def draining(self) -> int:
        return len(self.leaving)

    def look(self, load: IntervalStats) -> ScaleInput:
        """What the policy is told."""
        now = self.pool.now
        ages = tuple(sorted(now - created for created, _ in self.starting.values()))
        return ScaleInput(
            at=load.at,
            spec=self.spec,
            load=load if load.interval_s > 0 else None,
            ready=len(self.ready),
            starting_ages_s=ages,
            startup_s=self.how.startup_s,
        )

    def follow(self, wanted: int) -> None:
        """Start what is missing, take away what is too much: the not ready first, then the idle, then the newest."""
        there = len(self.ready) + len(self.starting)
        for _ in range(wanted - there):
            now = self.pool.now
            self.starting[self._name()] = (now, now + self._startup_s())
            self.starts += 1
        excess = there - wanted
        if excess <= 0:
            return
        self.stops += excess
        for name in sorted(self.starting, key=lambda n: -self.starting[n][0])[:excess]:
            self._pay(self.starting.pop(name)[0], self.pool.now)
            excess -= 1
        if excess > 0:
            by_worth = sorted(self.ready, key=lambda n: (self.pool.busy_on(n), -self.ready[n]))
            for name in by_worth[:excess]:
                self.leaving[name] = self.ready.pop(name)
                self.pool.drain(name)
        self._bury()

    def advance(self, until: float, requests: Requests) -> None:
        """Let time pass; replicas that come up on the way take requests from that instant."""
        while self.starting:
            name = min(self.starting, key=lambda n: self.starting[n][1])
            created, at = self.starting[name]
            if at > until:
                break
            self.pool.advance(max(at, self.pool.now), requests)
            del self.starting[name]
            self.ready[name] = created
            self.pool.add(name)
        self.pool.advance(until, requests)
        self._bury()

    def count(self, load: IntervalStats) -> None:
        """Add an interval up, unless it lies before the measured part."""
        if not self.measuring:
            self.measuring = self.pool.now >= self.how.measure_from_s
            if self.measuring:
                self.pool.forget_times()
                self.starts = self.stops = 0
            return
        sums = self.sums
        sums.arrivals += load.arrivals
        sums.finished += load.finished
        sums.in_time += load.in_time
        sums.failed += load.failed
        sums.gave_up += load.gave_up
        sums.refused += load.refused
        sums.busy_slot_s += load.busy_slot_s
        ended = load.finished + load.failed + load.gave_up + load.refused
        if is_broken(ended, load.in_time, self.spec.promise.success):
            sums.broken_s += load.interval_s

    def outcome(self, points: tuple[Point, ...]) -> Outcome:
        now, sums = self.pool.now, self.sums
        living = (*self.ready.values(), *self.leaving.values(), *(created for created, _ in self.starting.values()))
        paid = self.replica_s + math.fsum(max(0.0, now - max(at, self.how.measure_from_s)) for at in living)
        return Outcome(
            arrivals=sums.arrivals, finished=sums.finished, in_time=sums.in_time, failed=sums.failed,
            gave_up=sums.gave_up, refused=sums.refused, busy_slot_s=sums.busy_slot_s, replica_s=paid,
            slots=self.spec.concurrency, starts=self.starts, stops=self.stops, broken_s=sums.broken_s,
            waits=self.pool.waits, answers=self.pool.answers, points=points,
        )  # fmt: skip

    def _bury(self) -> None:
        if self.leaving:
            for name, at in self.pool.ended().items():
                self._pay(self.leaving.pop(name), at)

    def _pay(self, since: float, until: float) -> None:
        self.replica_s += max(0.0, until - max(since, self.how.measure_from_s))

    def _startup_s(self) -> float:
        if self.how.startup_cv <= 0:
            return self.how.startup_s
        variance = math.log(1 + self.how.startup_cv**2)
        return self.rng.lognormvariate(math.log(self.how.startup_s) - variance / 2, math.sqrt(variance))

    def _name(self) -> str:
        self.number += 1
        return f"r{self.number}"
