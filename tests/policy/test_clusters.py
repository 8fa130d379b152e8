"""Placement over several clusters: overflow, spread, quota, way back, preemption, what cannot be seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy.world import World, cluster, service
from tidegate.model.actions import Start, Stop
from tidegate.model.lifecycle import ReplicaState
from tidegate.model.observed import GatewaySeen, Intent, ReplicaSeen
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.policy.tick import tick
from tidegate.spec.resolve import PoolKey


def spread_over(*names: str, **placement: object) -> dict[str, object]:
    return {"placement": {"clusters": list(names), **placement}}


def counts(world: World, *names: str) -> tuple[int, ...]:
    return tuple(len(world.alive(n)) for n in names)


def test_the_next_cluster_takes_what_does_not_fit_in_the_same_tick():
    world = World(
        (service(**spread_over("a", "b", "c")),), (cluster("a", 2), cluster("b", 3), cluster("c", 9)), wanted=7
    )
    assert counts(world.tick(), "a", "b", "c") == (2, 3, 2)


def test_overflow_is_taken_back_when_room_returns_one_by_one_and_never_below_wanted():
    world = World((service(**spread_over("a", "b")),), (cluster("a", 2), cluster("b", 9)), wanted=5).ticks(until=10)
    assert counts(world, "a", "b") == (2, 3)
    world.clusters = (cluster("a", 20), cluster("b", 9))
    world.ticks(until=40)
    assert counts(world, "a", "b") == (2, 3), "a cluster must have had room for a minute"
    for _ in range(200):
        world.tick()
        assert len(world.serving) >= 5
        assert len(world.alive()) <= 7
    assert counts(world, "a", "b") == (5, 0)


def test_nothing_is_taken_back_to_a_cluster_that_would_be_nearly_full_again():
    world = World((service(**spread_over("a", "b")),), (cluster("a", 2), cluster("b", 9)), wanted=3).ticks(until=10)
    world.clusters = (cluster("a", 3.2), cluster("b", 9))
    world.ticks(until=300)
    assert counts(world, "a", "b") == (2, 1)


def test_scale_down_gives_the_last_preferred_cluster_back_first():
    world = World((service(**spread_over("a", "b")),), (cluster("a", 2), cluster("b", 9)), wanted=5).ticks(until=10)
    world.wanted = 2
    world.ticks(until=20)
    assert counts(world, "a", "b") == (2, 0)


def test_max_share_bounds_every_cluster():
    spec = spread_over("a", "b", "c", spread={"maxShare": "50%"})
    world = World((service(**spec),), (cluster("a"), cluster("b"), cluster("c")), wanted=6).tick()
    assert max(counts(world, "a", "b", "c")) == 3


def test_min_clusters_spreads_before_it_fills():
    spec = spread_over("a", "b", "c", spread={"minClusters": 3})
    world = World((service(**spec),), (cluster("a"), cluster("b"), cluster("c")), wanted=5).tick()
    assert min(counts(world, "a", "b", "c")) >= 1


def test_a_quota_bounds_a_service_in_a_cluster():
    clusters = (cluster("a", quota={"ocr": {"cpu": 2}}), cluster("b"))
    world = World((service(**spread_over("a", "b")),), clusters, wanted=5).ticks(until=30)
    assert counts(world, "a", "b") == (2, 3)


def test_taints_keep_services_off_that_do_not_tolerate_them():
    clusters = (cluster("gpu", taints=["gpu"]), cluster("plain"))
    assert counts(World((service(),), clusters, wanted=2).tick(), "gpu", "plain") == (0, 2)
    tolerant = service(placement={"clusters": ["gpu"], "tolerations": ["gpu"]})
    assert counts(World((tolerant,), clusters, wanted=2).tick(), "gpu", "plain") == (2, 0)


def test_batch_goes_where_it_is_cheapest_and_interactive_where_it_is_near():
    far = cluster("cheap-far", region="far", price={"cpu": 0.01}, distance={"": 0.08})
    near = cluster("dear-near", region="near", price={"cpu": 0.05})
    batch = service("reports", placement={"latencyClass": "batch"})
    world = World((batch,), (near, far), wanted=2).tick()
    assert counts(world, "cheap-far", "dear-near") == (2, 0)


def test_a_price_change_moves_batch_only_when_it_pays_for_itself():
    batch = service("reports", placement={"latencyClass": "batch"})
    world = World((batch,), (cluster("a", price={"cpu": 0.05}), cluster("b", price={"cpu": 0.06})), wanted=2)
    world.ticks(until=100)
    assert counts(world, "a", "b") == (2, 0)
    world.clusters = (cluster("a", price={"cpu": 0.05}), cluster("b", price={"cpu": 0.048}))
    world.ticks(until=300)
    assert counts(world, "a", "b") == (2, 0), "four per cent are not worth a move"
    world.clusters = (cluster("a", price={"cpu": 0.05}), cluster("b", price={"cpu": 0.02}))
    world.ticks(until=500)
    assert counts(world, "a", "b") == (0, 2)


def wants_each(**wanted: int):  # type: ignore[no-untyped-def]
    def scale(inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
        return ScaleResult(wanted[inp.spec.key.service], memory, ())

    return scale


class Region(World):
    """A world where each service wants its own number."""

    each: dict[str, int]

    def tick(self, after_s: float = 1.0) -> World:
        self.at += after_s
        self._live()
        self.last = tick(self.specs, self.observed(), self.memory, scale=wants_each(**self.each))
        self.memory = self.last.memory
        for action in self.last.actions:
            self._obey(action)
        return self


def test_interactive_displaces_batch_by_draining_and_only_as_much_as_it_needs():
    batch = service("reports", placement={"latencyClass": "batch"}, resources={"cpu": 2})
    world = Region((batch, service("face")), (cluster("a", 8),))
    world.each = {"reports": 3, "face": 2}
    world.ticks(until=10)
    assert world.plan(PoolKey("face")).pending == 0
    world.each = {"reports": 3, "face": 4}
    world.ticks(until=30)
    assert world.plan(PoolKey("face")).ready == 4
    assert world.plan(PoolKey("reports")).ready == 2
    causes = {t.cause for t in world.last.transitions} | {m.cause for m in world.memory.replicas.values()}
    assert not any("face" in c for c in causes)
    assert sum("reports" in name for name in world.stopped()) == 1


def test_batch_never_displaces_anybody():
    batch = service("reports", placement={"latencyClass": "batch"})
    world = Region((batch, service("face")), (cluster("a", 4),))
    world.each = {"reports": 5, "face": 4}
    world.ticks(until=20)
    assert (world.plan(PoolKey("face")).ready, world.plan(PoolKey("reports")).pending) == (4, 5)


# -- failure -----------------------------------------------------------------------------------------------------


def cut_off(world: World, name: str, *, up: bool) -> None:
    """Cluster `name` cannot be seen; its replicas still answer the gateway, or not."""
    world.hidden = {name}
    world.gateway_sees_up = up


class Cut(World):
    gateway_sees_up = True

    def observed(self):  # type: ignore[no-untyped-def]
        seen = super().observed()
        hidden = {r.id for r in self.replicas.values() if r.cluster in self.hidden}
        servers = {n: replace(s, up=self.gateway_sees_up or n not in hidden) for n, s in seen.gateway.servers.items()}
        return replace(seen, gateway=GatewaySeen(seen.gateway.version, servers))


@pytest.fixture
def two() -> Cut:
    spec = spread_over("a", "b", spread={"maxShare": "50%"})
    return Cut((service(**spec),), (cluster("a"), cluster("b")), wanted=4).ticks(until=10)  # type: ignore[return-value]


def test_a_cluster_cut_off_from_us_but_serving_keeps_everything(two: Cut):
    cut_off(two, "a", up=True)
    before = two.alive()
    two.ticks(until=120)
    assert two.alive() == before
    assert len(two.serving) == 4


def test_a_dead_cluster_is_made_up_for_elsewhere_and_nothing_is_deleted(two: Cut):
    cut_off(two, "a", up=False)
    lost = two.alive("a")
    two.services = (service(**spread_over("a", "b")),)
    two.ticks(until=30)
    assert len(two.alive("b")) == 4
    assert two.stopped() == []
    assert set(lost) <= set(two.memory.replicas)


def test_a_cluster_that_returns_causes_no_storm(two: Cut):
    two.services = (service(**spread_over("a", "b")),)
    cut_off(two, "a", up=False)
    two.ticks(until=60)
    started = len(two.started())
    two.hidden, two.gateway_sees_up = set(), True
    for _ in range(60):
        two.tick()
        assert len(two.serving) >= 4
    assert len(two.alive()) == 4
    assert len(two.started()) == started


def test_an_operator_drains_a_cluster_and_nothing_new_starts_there():
    world = World(clusters=(cluster("a"), cluster("b")), wanted=3).ticks(until=8)
    world.intents = (Intent("drain", "a", at=world.at),)
    world.ticks(until=60)
    assert counts(world, "a", "b") == (0, 3)


def test_removing_a_clusters_manifest_empties_it():
    world = World(clusters=(cluster("a"), cluster("b")), wanted=3).ticks(until=8)
    world.clusters = (cluster("b"),)
    states = [m.state for m in world.tick().memory.replicas.values()]
    assert states.count(ReplicaState.STARTING) >= 1
    world.ticks(until=40)
    assert counts(world, "a", "b") == (0, 3)


# -- fixed hosts -------------------------------------------------------------------------------------------------


def fixed_hosts(count: int) -> World:
    """A service that may use fixed hosts first and a local cluster after them; the hosts are there and healthy."""
    hosts = [{"service": "ocr", "address": f"10.0.0.{i}:80"} for i in range(count)]
    clusters = (cluster("fixed", runtime="static", hosts=hosts), cluster("here"))
    world = World((service(**spread_over("fixed", "here")),), clusters, startup_s=0)
    for i in range(count):
        name = f"ocr-fixed-{i}"
        world.replicas[name] = ReplicaSeen(name, PoolKey("ocr"), "static", "fixed", world.at, address=f"10.0.0.{i}:80")
    return world


def test_fixed_hosts_are_used_and_only_what_they_lack_is_started():
    world = fixed_hosts(2)
    world.wanted = 3
    world.ticks(until=10)
    assert counts(world, "fixed", "here") == (2, 1)
    assert len(world.serving) == 3


def test_fixed_hosts_are_never_stopped_nor_replaced_by_a_new_revision():
    world = fixed_hosts(2)
    world.wanted = 0
    world.ticks(until=10)
    world.services = (service(env={"V": "2"}, **spread_over("fixed", "here")),)
    world.ticks(until=40)
    assert world.stopped() == []
    assert len(world.serving) == 2


def test_fixed_hosts_that_are_not_declared_any_more_are_forgotten():
    world = fixed_hosts(2).ticks(until=5)
    world.clusters = (cluster("here"),)
    world.replicas = {n: r for n, r in world.replicas.items() if r.cluster != "fixed"}
    world.ticks(until=20)
    assert counts(world, "fixed", "here") == (0, 2)
    assert not any("fixed" in n for n in world.memory.replicas)


def test_room_given_out_is_not_given_out_again_while_the_cluster_does_not_show_it_yet():
    world = World(clusters=(cluster("a", 3),), wanted=2)
    before = world.observed()
    first = tick(world.specs, before, world.memory, scale=lambda i, m: ScaleResult(2, m, ()))
    second = tick(
        world.specs, replace(before, at=before.at + 1), first.memory, scale=lambda i, m: ScaleResult(9, m, ())
    )
    assert (len(first.actions), second.plan.pools[0].placed, second.plan.pools[0].pending) == (3, {"a": 3}, 6)


def test_a_share_is_kept_when_fewer_are_wanted():
    spec = spread_over("a", "b", spread={"maxShare": "50%"})
    world = World((service(**spec),), (cluster("a"), cluster("b")), wanted=4).ticks(until=10)
    world.wanted = 2
    assert counts(world.ticks(until=30), "a", "b") == (1, 1)


def test_batch_is_not_displaced_for_replicas_that_a_quota_keeps_out_all_the_same():
    batch = service("reports", placement={"latencyClass": "batch"})
    world = Region((batch, service("face")), (cluster("a", 4, quota={"face": {"cpu": 1}}),))
    world.each = {"reports": 3, "face": 3}
    world.ticks(until=60)
    assert world.stopped() == []


# -- clusters that lie or hang -----------------------------------------------------------------------------------


class Lying(World):
    """Cluster a takes on whatever it says it has room for, and places `places` replicas of it."""

    places = 1

    def _obey(self, action):  # type: ignore[no-untyped-def]
        super()._obey(action)
        if isinstance(action, Start) and action.cluster == "a":
            there = [r for r in self.replicas.values() if r.cluster == "a" and r.running and r.placed]
            if len(there) > self.places:
                self.update(action.replica, placed=False, created_at=self.at)

    def _live(self) -> None:
        waiting = {n: r for n, r in self.replicas.items() if not r.placed and r.running}
        super()._live()
        self.replicas |= {n: replace(r, created_at=r.created_at) for n, r in waiting.items() if n in self.replicas}


def test_what_a_cluster_takes_on_and_cannot_place_goes_to_the_next_after_a_few_seconds():
    world = Lying((service(**spread_over("a", "b")),), (cluster("a"), cluster("b")), wanted=4)
    world.ticks(until=4)
    assert counts(world, "a", "b") == (4, 0)
    world.ticks(until=15)
    assert len(world.serving) == 4
    assert counts(world, "a", "b") == (1, 3)
    assert any("no room in a after 5 s" in (a.why or "") for a in world.log if isinstance(a, Stop))


def test_a_cluster_that_lied_is_asked_again_ever_more_rarely():
    world = Lying((service(**spread_over("a", "b")),), (cluster("a"), cluster("b")), wanted=4).ticks(until=1000)
    tries = [s for s in world.started() if s.cluster == "a"]
    assert 4 < len(tries) < 12, "one try a minute would be sixteen"
    assert len(world.serving) == 4
    world.places = 4
    world.ticks(until=4000)
    assert counts(world, "a", "b") == (4, 0)


def test_where_no_other_cluster_has_room_a_replica_goes_on_waiting_for_its_place():
    world = Lying((service(**spread_over("a")),), (cluster("a"),), wanted=2).ticks(until=60)
    assert len(world.started()) == 2
    assert world.stopped() == []


def test_a_cluster_that_cannot_be_seen_before_its_start_is_done_is_made_up_for_elsewhere():
    world = World((service(**spread_over("a", "b")),), (cluster("a"), cluster("b")), wanted=2).tick()
    assert counts(world, "a", "b") == (2, 0)
    world.hidden = {"a"}
    world.ticks(until=20)
    assert len(world.alive("b")) == 2
    assert world.stopped() == []
