"""Keeps the books of a run: what each pool did, had and cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tidegate.base.units import format_seconds
from tidegate.model.plan import Tick
from tidegate.report.price import hourly_price
from tidegate.sim.engine import IntervalStats
from tidegate.sim.front import Front
from tidegate.sim.places import Body, Places
from tidegate.sim.result import PoolResult, Result
from tidegate.sim.scenario import Scenario, warnings
from tidegate.sim.series import Series, Standing
from tidegate.spec.resolve import PoolKey


class Ledger:
    """Notes every interval and every replica's time."""

    def __init__(self, scenario: Scenario, places: Places) -> None:
        self.scenario, self.places = scenario, places
        self.series = {
            p.key: Series(scenario.bin_s, p.promise.success, scenario.measure_from_s) for p in scenario.specs.pools
        }
        self.prices = {
            (p.key, c.name): hourly_price(c, p.resources) for p in scenario.specs.pools for c in scenario.specs.clusters
        }
        self.paid_s: dict[PoolKey, float] = dict.fromkeys(self.series, 0.0)
        self.cost: dict[PoolKey, float] = dict.fromkeys(self.series, 0.0)
        self.most: dict[PoolKey, int] = dict.fromkeys(self.series, 0)
        self.changes: dict[PoolKey, int] = dict.fromkeys(self.series, 0)
        self.events: list[tuple[float, str]] = []
        self._there: dict[PoolKey, Standing] = {}
        self._cleared = scenario.measure_from_s <= 0

    def note(self, now: float, stats: Mapping[PoolKey, IntervalStats], decided: Tick) -> None:
        """Add the interval that ends now, during which stood what the last decision left."""
        for key, load in stats.items():
            if key in self._there and load.interval_s > 0:
                self.series[key].add(now, load, self._there[key])
        running: dict[tuple[PoolKey, str], int] = {}
        for body in self.places.bodies.values():
            if body.runs(now):
                running[(body.key, body.cluster)] = running.get((body.key, body.cluster), 0) + 1
        for plan in decided.plan.pools:
            before = self._there.get(plan.key)
            if before is not None and before.wanted != plan.wanted and now >= self.scenario.measure_from_s:
                self.changes[plan.key] += 1
            self.most[plan.key] = max(self.most[plan.key], plan.ready + plan.starting)
            where = {cluster: n for (key, cluster), n in running.items() if key == plan.key}
            cost = sum(n * self.prices[plan.key, cluster] * self._dearer(cluster, now) for cluster, n in where.items())
            self._there[plan.key] = Standing(
                plan.wanted, plan.ready, plan.starting, plan.draining, plan.pending, cost, where
            )
        for step in decided.rollouts:
            self.events.append((now, f"{step.key}: rollout {step.before} -> {step.after}: {step.cause}"))
        for move in decided.transitions:
            if move.cause.startswith(("crashed", "the cluster went down", "killed", "exited", "vanished")):
                self.events.append((now, f"{move.replica}: {move.cause}"))

    def forget_warm_up(self, now: float, front: Front) -> None:
        """Empty the histograms when the measured part begins."""
        if not self._cleared and now >= self.scenario.measure_from_s:
            self._cleared = True
            for pool in front.pools.values():
                pool.forget_times()

    def bury(self, replica: str, now: float) -> None:
        """Pay for a replica that is gone."""
        body = self.places.bodies.get(replica)
        if body is not None:
            self._pay(body, now)

    def result(self, now: float, front: Front) -> Result:
        """The books at the end."""
        for body in self.places.bodies.values():
            self._pay(body, now)
        pools = []
        for spec in self.scenario.specs.pools:
            series = self.series[spec.key]
            series.close()
            pools.append(
                PoolResult(
                    key=spec.key,
                    within_s=spec.promise.within,
                    promised=spec.promise.success,
                    slots=spec.concurrency,
                    total=series.total,
                    broken_s=series.broken_s,
                    replica_s=self.paid_s[spec.key],
                    cost=self.cost[spec.key],
                    changes=self.changes[spec.key],
                    most=self.most[spec.key],
                    waits=front.pools[spec.key].waits,
                    answers=front.pools[spec.key].answers,
                    series=series,
                )
            )
        return Result(
            pools=tuple(pools),
            length_s=now - self.scenario.measure_from_s,
            epoch=self.scenario.epoch,
            seed=self.scenario.seed,
            starts=self.places.starts,
            stops=self.places.stops,
            counted_from_s=self.scenario.measure_from_s,
            warnings=(*warnings(self.scenario), *_no_room(pools)),
            events=tuple(self.events),
            faults=self.scenario.faults,
        )

    def _pay(self, body: Body, now: float) -> None:
        since = max(body.created, self.scenario.measure_from_s, 0.0)
        seconds = max(0.0, min(now, body.ends) - since)
        self.paid_s[body.key] += seconds
        dear_s = self._at_the_prices_of(body.cluster, since, min(now, body.ends)) if seconds else 0.0
        self.cost[body.key] += dear_s / 3600 * self.prices[(body.key, body.cluster)]

    def _dearer(self, cluster: str, now: float) -> float:
        """How many times the declared price a cluster costs now."""
        faults = [f for f in self.scenario.faults if f.kind == "price" and f.where.cluster == cluster and f.on(now)]
        return 1.0 + sum(f.where.factor - 1 for f in faults)

    def _at_the_prices_of(self, cluster: str, since: float, until: float) -> float:
        """Seconds of a stretch, each counted as often as the price of the time was times the declared one."""
        total = until - since
        for fault in self.scenario.faults:
            if fault.kind == "price" and fault.where.cluster == cluster:
                overlap_s = max(0.0, min(until, fault.ends) - max(since, fault.at))
                total += overlap_s * (fault.where.factor - 1)
        return total


def _no_room(pools: Iterable[PoolResult]) -> Iterator[str]:
    """Sentences on pools that wanted more than the clusters hold."""
    for pool in pools:
        if pool.total.full_s:
            yield (
                f"{pool.key}: for {format_seconds(pool.total.full_s)} more replicas were wanted than its clusters have "
                f"room for, on average {pool.total.pending_s / pool.total.full_s:.1f}. Give it more capacity or "
                "further clusters, or lower maxReplicas."
            )
