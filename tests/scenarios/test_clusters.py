"""Several clusters in made-up worlds with seeds: a full one, a lost, a cut-off, a slow one, a short region, a price."""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.worlds import cluster, scenario, service
from tidegate.model.actions import Start, Stop
from tidegate.model.plan import ClusterWeight, Tick
from tidegate.sim.result import Result
from tidegate.sim.world import World

STARTUP_S = 5.0
LONGEST_START_S = 9.0  # start-up times vary by a fifth: no draw of these seeds is longer
PROMISE = {"within": "5s", "success": 0.9995}
SEEDS = (1, 2)


class Watched(World):
    """Keeps every decision, and how many requests each cluster answered between two of them."""

    def __init__(self, made) -> None:  # type: ignore[no-untyped-def]
        self.log: list[tuple[float, Tick]] = []
        self.answered: list[tuple[float, dict[str, int]]] = []
        super().__init__(made)

    def _decide(self) -> Tick:
        decided = super()._decide()
        self.log.append((self.now, decided))
        return decided

    def _tick(self, observed):  # type: ignore[no-untyped-def]
        counts: dict[str, int] = {}
        for name, server in observed.gateway.servers.items() if observed.gateway else ():
            if name in self.places.bodies:
                where = self.places.bodies[name].cluster
                counts[where] = counts.get(where, 0) + server.finished
        self.answered.append((self.now, counts))
        return super()._tick(observed)

    # -- reading -------------------------------------------------------------------------------------------------

    def starts(self, since: float = 0.0, until: float = 1e9) -> list[tuple[float, str]]:
        """When a replica was started, and in which cluster."""
        return [(t, a.cluster) for t, d in self.log if since <= t < until for a in d.actions if isinstance(a, Start)]

    def stops(self, since: float = 0.0, until: float = 1e9) -> set[str]:
        return {a.replica for t, d in self.log if since <= t < until for a in d.actions if isinstance(a, Stop)}

    def share(self, name: str, since: float, until: float) -> float:
        """The part of all answers of a stretch that came from a cluster."""
        rows = [counts for t, counts in self.answered if since <= t < until]
        return sum(r.get(name, 0) for r in rows) / max(1, sum(sum(r.values()) for r in rows))

    def first(self, since: float, holds) -> float:  # type: ignore[no-untyped-def]
        """When a plan of the first pool first held after `since`."""
        return next(t for t, d in self.log if t >= since and holds(d.plan.pools[0]))

    def weights(self, at: float) -> dict[str, ClusterWeight]:
        plan = next(d for t, d in self.log if t >= at).plan.pools[0]
        return {w.cluster: w for w in plan.weights}


def spread(*names: str, **more: Any) -> dict[str, Any]:
    """A service over clusters, one slot a replica."""
    placement = {"clusters": list(names)} | more.pop("placement", {})
    size = {"minReplicas": more.pop("least", 2), "maxReplicas": more.pop("most", 60)}
    return {"concurrency": 1, "promise": PROMISE, "placement": placement, "scaling": size} | more


def play(*manifests: dict[str, Any], **settings: Any) -> tuple[Watched, Result]:
    world = Watched(scenario(*manifests, **({"mean_s": 0.4, "startup_s": STARTUP_S, "tick_s": 1.0} | settings)))
    return world, world.run()


def success(result: Result, since: float, until: float, pool: int = 0) -> float:
    bins = [b for b in result.pools[pool].series.bins if since <= b.at < until]
    return sum(b.in_time for b in bins) / sum(b.ended for b in bins)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_surge_beyond_the_first_cluster_is_taken_by_the_second(seed: int):
    here_first = service(**spread("here", "there"))
    world, result = play(
        here_first, cluster("here", cpu=8), cluster("there", cpu=64), seed=seed,
        shape="flash:mean=8,factor=4,length=20m,rise=60s,hold=5m",
    )  # fmt: skip
    assert success(result, 400, 1200) >= 0.9995
    over = world.first(60, lambda p: p.wanted > 8)
    ready_at = world.first(over, lambda p: p.ready > 8)
    assert ready_at - over <= LONGEST_START_S + 2
    assert {c for _, c in world.starts(ready_at, 700)} == {"there"}
    assert world.log[-1][1].plan.pools[0].placed.get("there", 0) == 0, "the second one is given back first"


@pytest.mark.parametrize("seed", SEEDS)
def test_b_a_cluster_lost_at_seventy_percent_load_is_made_up_for(seed: int):
    halves = service(**spread("here", "there", placement={"spread": {"maxShare": 0.5}}, least=24))
    world, result = play(  # 42 requests a second of 0.4 s on 24 slots: 70%
        halves, cluster("here", cpu=32), cluster("there", cpu=64), seed=seed, shape="constant:mean=42,length=16m",
        faults=[{"at": "5m", "for": "6m", "outage": {"cluster": "here"}}], tries=3,
    )  # fmt: skip
    assert success(result, 300, 600) >= 0.999
    assert world.first(300.5, lambda p: p.ready >= 24) - 300 <= LONGEST_START_S + 5
    back = world.starts(661, 960)
    assert len(back) <= 14, "when it returns a half moves back, one by one"
    assert all(len([t for t, _ in back if at <= t < at + STARTUP_S]) <= 2 for at, _ in back)


@pytest.mark.parametrize("seed", SEEDS)
def test_c_a_partition_stops_no_traffic_deletes_nothing_and_its_end_is_no_storm(seed: int):
    halves = service(**spread("here", "there", placement={"spread": {"maxShare": 0.5}}, least=24, most=24))
    world, result = play(
        halves, cluster("here", cpu=32), cluster("there", cpu=64), seed=seed, shape="constant:mean=42,length=16m",
        faults=[{"at": "5m", "for": "5m", "partition": {"cluster": "here"}}],
    )  # fmt: skip
    assert result.pools[0].success >= 0.9999
    assert result.pools[0].total.failed == 0
    assert world.stops(300, 600) == set()
    assert world.starts(300, 960) == []
    assert world.share("here", 330, 600) > 0.3, "it goes on serving"


@pytest.mark.parametrize("seed", SEEDS)
def test_d_a_slow_clusters_share_falls_within_ten_seconds_and_it_gets_it_back(seed: int):
    near_first = service(**spread("here", "there", placement={"spread": {"maxShare": 0.5}}, least=32))
    slow = {"at": "5m", "for": "3m", "slow": {"cluster": "here", "factor": 3}}
    world, result = play(
        near_first, cluster("here", cpu=32), cluster("there", cpu=64), seed=seed,
        shape="constant:mean=25,length=14m", faults=[slow],
    )  # fmt: skip
    before = world.share("here", 200, 300)
    assert before > 0.9, "near first"
    assert world.share("here", 310, 330) < before / 2
    assert world.share("here", 330, 480) < 0.15
    assert world.weights(400)["here"].health < 0.1
    assert world.share("here", 600, 840) > 0.85
    assert success(result, 300, 600) >= 0.9995
    assert not any(d.ejections for _, d in world.log), "that is the cluster's matter, not one of its replicas'"


def test_d2_what_is_slow_everywhere_moves_nothing():
    near_first = service(**spread("here", "there", placement={"spread": {"maxShare": 0.5}}, least=32))
    slow = {"at": "5m", "for": "3m", "slow": {"factor": 2}}
    world, _ = play(
        near_first,
        cluster("here", cpu=32),
        cluster("there", cpu=64),
        shape="constant:mean=12,length=10m",
        faults=[slow],
    )
    assert world.share("here", 200, 300) > 0.9
    assert world.share("here", 330, 480) > 0.75
    assert not any(d.ejections for _, d in world.log)


@pytest.mark.parametrize("seed", SEEDS)
def test_e_a_region_that_is_short_keeps_interactive_and_sends_batch_away(seed: int):
    face = service("face", **spread("near", least=6))
    reports = service("reports", **spread("near", "far", placement={"latencyClass": "batch"}, least=8))
    world, result = play(
        face, reports, cluster("near", cpu=16), cluster("far", cpu=64), seed=seed,
        shape={"face": "flash:mean=8,factor=3,length=15m,rise=60s,hold=6m", "reports": "constant:mean=12,length=15m"},
    )  # fmt: skip
    surge = world.first(300, lambda p: p.ready >= 10)
    placed = {p.key.service: p.placed for p in next(d for t, d in world.log if t > surge + 30).plan.pools}
    assert placed["reports"].get("far", 0) >= 2
    assert success(result, 250, 850) >= 0.9995, "interactive does not notice"
    assert success(result, 250, 850, pool=1) >= 0.99
    assert result.pools[1].total.failed == 0, "batch is displaced by draining"


@pytest.mark.parametrize(("factor", "moves"), [(0.96, False), (0.4, True)])
def test_f_a_change_of_price_moves_batch_only_when_it_pays_for_itself(factor: float, moves: bool):
    reports = service("reports", **spread(placement={"latencyClass": "batch", "clusters": []}, least=6))
    world, result = play(
        reports, cluster("a", price=0.05), cluster("b", price=0.0501), shape="constant:mean=6,length=30m",
        faults=[{"at": "5m", "for": "25m", "price": {"cluster": "b", "factor": factor}}],
    )  # fmt: skip
    placed = world.log[-1][1].plan.pools[0].placed
    assert placed == ({"b": sum(placed.values())} if moves else {"a": sum(placed.values())})
    assert result.pools[0].success >= 0.9995
    assert bool(world.starts(300)) is moves


def test_a_cluster_that_says_more_than_it_has_is_left_for_the_next():
    here_first = service(**spread("here", "there", least=12))
    lie = {"at": 0, "for": "20m", "lie": {"cluster": "here", "factor": 4}}
    world, result = play(
        here_first, cluster("here", cpu=6), cluster("there", cpu=64),
        shape="flash:mean=8,factor=3,length=20m,rise=60s", faults=[lie],
    )  # fmt: skip
    assert world.log[-1][1].plan.pools[0].pending == 0
    assert result.pools[0].success >= 0.9995
