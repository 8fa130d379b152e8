"""Which cluster gets which share: near first, callers, sickness with the network's way taken out."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from policy.world import World, cluster, service
from tidegate.model.memory import BalanceMemory
from tidegate.model.observed import GatewaySeen, PoolLoad, ServerSeen
from tidegate.policy.distance import FAR_S, home_of, measure, round_trip_s
from tidegate.policy.outliers import Served
from tidegate.policy.weights import Balance, Looked, Place, balance, origins_of, shares
from tidegate.spec.resolve import PoolKey

KEY = PoolKey("ocr")


@dataclass
class Two:
    """A near and a far cluster of four slots each; requests go where the last weights send them."""

    per_s: float = 20.0
    service_s: dict[str, float] = field(default_factory=lambda: {"near": 0.1, "far": 0.1})
    failing: dict[str, float] = field(default_factory=dict)
    slots: int = 4
    at: float = 1000.0
    memory: BalanceMemory = BalanceMemory()
    last: Balance | None = None

    def look(self) -> Two:
        self.at += 1.0
        served = []
        for name, share in self.shares.items():
            for i in range(self.slots):
                count = self.per_s * share / self.slots
                failed = count * self.failing.get(name, 0.0)
                served.append(Served(f"{name}-{i}", (name, "v1"), count, failed, count * self.service_s[name]))
        places = (Place("near", self.slots, 0.0, {"gz": 0.0}), Place("far", self.slots, 0.06, {"gz": 0.06}))
        looked = Looked(self.at, served, self.per_s * 0.1, 0.0, {"gz": 1.0})
        self.last = balance(KEY, places, looked, self.memory)
        self.memory = self.last.memory
        return self

    def looks(self, count: int) -> Two:
        for _ in range(count):
            self.look()
        return self

    @property
    def shares(self) -> dict[str, float]:
        """What the balancer would send while all have free slots: in proportion to the replicas' weights."""
        if self.last is None:
            return {"near": 1.0, "far": 0.0}
        sums = {"near": 0.0, "far": 0.0}
        for name, weight in self.last.replicas.items():
            sums[name.split("-")[0]] += weight
        total = sum(sums.values())
        return {name: s / total for name, s in sums.items()}


def test_the_near_cluster_gets_the_calls_while_it_has_slots():
    two = Two().looks(5)
    assert two.shares["near"] > 0.99
    assert two.last is not None
    assert {w.cluster: w.near for w in two.last.clusters} == {"near": 1.0, "far": 0.0}


def test_what_does_not_fit_goes_to_the_next_and_shows_in_the_weights():
    busy = Two(per_s=60).looks(3)  # six slots' worth
    assert busy.last is not None
    assert [w.weight for w in busy.last.clusters] == [pytest.approx(4 / 6), pytest.approx(2 / 6)]


def test_a_near_cluster_that_takes_three_times_as_long_is_relieved_within_ten_seconds_and_gets_it_back():
    two = Two().looks(60)
    two.service_s["near"] = 0.3
    two.looks(10)
    assert two.shares["near"] < 0.2
    two.looks(30)
    assert two.shares["near"] < 0.1
    two.service_s["near"] = 0.1
    two.looks(60)
    assert two.shares["near"] > 0.95


def test_a_cluster_that_fails_is_relieved():
    two = Two().looks(60)
    two.failing["near"] = 0.5
    assert two.looks(15).shares["near"] < 0.2


def test_sickness_moves_at_most_a_quarter_a_second():
    two, before = Two().looks(60), 0.0
    two.service_s["near"] = 1.0
    for _ in range(20):
        now = two.look().memory.clusters["near"].sick
        assert now - before <= 0.25 + 1e-9
        before = now


def test_what_slows_down_everywhere_is_nobodys_sickness():
    two = Two().looks(60)
    two.service_s = {"near": 0.3, "far": 0.3}
    two.looks(60)
    assert two.shares["near"] > 0.9


def test_a_cluster_of_slower_machines_is_not_sick_for_that():
    two = Two(service_s={"near": 0.15, "far": 0.08}).looks(120)
    assert two.shares["near"] > 0.95


# -- callers -----------------------------------------------------------------------------------------------------


def test_the_articles_130_to_100_follows_from_who_calls_from_where():
    callers = [(30.0, {"gz": 1.0})]
    origins = origins_of({"gz": 1, "sz": 1}, callers, rate=230.0)
    assert origins == {"gz": pytest.approx(130 / 230), "sz": pytest.approx(100 / 230)}
    for gz_slots, sz_slots in ((30, 30), (20, 40)):
        places = (
            Place("gz", gz_slots, 0.0, {"gz": 0.0, "sz": 0.03}),
            Place("sz", sz_slots, 0.0, {"gz": 0.03, "sz": 0.0}),
        )
        served = [Served(f"gz-{i}", ("gz", "v")) for i in range(gz_slots)]
        served += [Served(f"sz-{i}", ("sz", "v")) for i in range(sz_slots)]
        found = balance(KEY, places, Looked(1.0, served, 20.0, 0.0, origins), BalanceMemory())
        assert found.clusters[0].weight / found.clusters[1].weight == pytest.approx(1.3)
        sums = [sum(w for n, w in found.replicas.items() if n.startswith(c)) for c in ("gz", "sz")]
        assert sums[0] / sums[1] == pytest.approx(1.3, rel=0.02)


def test_the_overflow_of_a_region_goes_to_the_other():
    places = (Place("gz", 10, 0.0, {}), Place("sz", 30, 0.0, {}))
    assert shares(places, {"gz": 130 / 230, "sz": 100 / 230}, 23.0) == [pytest.approx(10 / 23), pytest.approx(13 / 23)]


def test_callers_that_do_not_call_every_time_account_for_no_more_than_is_called():
    assert origins_of({"gz": 1}, [(100.0, {"sz": 1.0})], rate=40.0) == {"sz": 1.0}


def test_a_service_used_by_another_is_weighted_by_where_that_one_runs():
    """Live facts: A runs in sz only and makes all the calls to B; the gateway stands in gz."""
    a = service("a", uses=["b"], placement={"clusters": ["far"]})
    b = service("b")
    clusters = (cluster("far", region="sz", distance={"gz": 0.03}), cluster("near", region="gz", gateway=True))
    world = World((a, b), clusters, wanted=2)
    world.services = (a, service("b", placement={"spread": {"minClusters": 2}}))
    world.loads = {PoolKey("a"): PoolLoad(0, 1, 50, 50), PoolKey("b"): PoolLoad(0, 1, 50, 50)}
    world.ticks(until=10)
    assert {w.cluster: round(w.near, 6) for w in world.plan(PoolKey("b")).weights} == {"near": 0.0, "far": 1.0}
    world.loads = {PoolKey("b"): PoolLoad(0, 1, 50, 50)}
    world.ticks(until=400)
    assert {w.cluster: round(w.near, 1) for w in world.plan(PoolKey("b")).weights} == {"near": 1.0, "far": 0.0}


# -- distance ----------------------------------------------------------------------------------------------------


def test_distance_is_given_else_measured_else_far():
    near, far = cluster("near", region="gz"), cluster("far", region="sz")
    told = cluster("told", region="bj", distance={"gz": 0.04})
    teller = cluster("teller", region="gz", distance={"sz": 0.02})
    assert round_trip_s("gz", near, (near,), {}) == 0.0
    assert round_trip_s("gz", told, (told,), {"told": 0.9}) == 0.04
    assert round_trip_s("gz", far, (far, teller), {}) == 0.02
    assert round_trip_s("gz", far, (far,), {"far": 0.035}) == 0.035
    assert round_trip_s("gz", far, (far,), {}) == FAR_S
    assert measure({"far": 0.03}, {"far": 0.05})["far"] < 0.032


def test_the_gateway_is_where_a_cluster_says_so_or_here():
    kube = cluster("a", runtime="kubernetes", region="sz", context="x")
    assert home_of((kube, cluster("b", region="gz"))) == "gz"
    assert home_of((kube, cluster("b", region="gz"), cluster("c", region="bj", gateway=True))) == "bj"
    assert home_of(()) == ""


def test_the_way_to_a_far_cluster_is_not_held_against_it():
    """Both answer in 0.1 s; far ones seem to take 0.3 s at the gateway. Their response is judged without the way."""
    clusters = (cluster("near", region="gz", gateway=True), cluster("far", region="sz", distance={"gz": 0.2}))
    world = World((service(placement={"spread": {"maxShare": 0.5}}),), clusters, wanted=4).ticks(until=10)
    assert isinstance(world.gateway, GatewaySeen)
    where = {n: m.cluster for n, m in world.memory.replicas.items()}
    for _ in range(60):
        servers = {n: ServerSeen(finished=5, service_s_sum=1.5 if where[n] == "far" else 0.5) for n in where}
        world.gateway = GatewaySeen(world.gateway.version, servers)
        world.tick()
    weights = {w.cluster: w for w in world.plan().weights}
    assert weights["near"].health == weights["far"].health == 1.0
    assert weights["far"].service_s == pytest.approx(0.1)
    assert weights["far"].distance_s == 0.2
