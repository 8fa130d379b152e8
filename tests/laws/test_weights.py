"""Laws of balancing: weights add up to one and grow with slots; never is everybody out; alike is not sick."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.world import World, service
from tidegate.model.memory import BalanceMemory
from tidegate.model.observed import GatewaySeen
from tidegate.policy import outliers, weights
from tidegate.policy.outliers import Served, away, judge, most_out
from tidegate.policy.weights import Looked, Place, balance, nearest, prefer, shares
from tidegate.spec.resolve import PoolKey

KEY = PoolKey("ocr")
LOW_PER_S = 1.0  # a replica: so few that the other cluster may have nothing to compare with
SPREAD = st.floats(0.8, 1.3)  # of service times about the usual
REGIONS = ("gz", "sz", "bj")
law = settings(max_examples=300, deadline=None)


@st.composite
def pools(draw: st.DrawFn):  # type: ignore[no-untyped-def]
    """Places, where calls come from, how well each is, and a load in busy slots."""
    distances = st.fixed_dictionaries({r: st.sampled_from([0.0, 0.01, 0.05, 0.2]) for r in REGIONS})
    places = [Place(f"c{i}", draw(st.integers(0, 50)), 0.0, draw(distances)) for i in range(draw(st.integers(1, 5)))]
    raw = {r: draw(st.integers(0, 10)) for r in REGIONS}
    total = sum(raw.values())
    origins = {r: n / total for r, n in raw.items() if n} if total else {"gz": 1.0}
    health = {p.name: draw(st.sampled_from([1.0, 1.0, 0.5, 0.04])) for p in places}
    return places, origins, health, draw(st.floats(0, 200))


@law
@given(pools())
def test_weights_add_up_to_one(pool):  # type: ignore[no-untyped-def]
    places, origins, health, load = pool
    wanted = prefer(places, origins, health)
    assert math.isclose(math.fsum(wanted.values()), 1.0)
    found = shares(places, wanted, load)
    assert math.isclose(math.fsum(found), 1.0)
    assert min(found) >= 0


@law
@given(pools())
def test_where_all_are_well_the_nearest_gets_the_calls(pool):  # type: ignore[no-untyped-def]
    places, origins, health, _ = pool
    assert nearest(places, origins) == prefer(places, origins, dict.fromkeys(health, 1.0))


@law
@given(pools(), st.integers(0, 4), st.integers(1, 20))
def test_more_slots_in_a_cluster_never_mean_a_smaller_weight(pool, which: int, more: int):  # type: ignore[no-untyped-def]
    places, origins, health, load = pool
    i = which % len(places)
    p = places[i]
    grown = [*places[:i], Place(p.name, p.slots + more, 0.0, p.rank), *places[i + 1 :]]
    wanted = prefer(places, origins, health)
    assert shares(grown, wanted, load)[i] >= shares(places, wanted, load)[i] - 1e-9


@st.composite
def looks(draw: st.DrawFn):  # type: ignore[no-untyped-def]
    """A few looks at a pool of one or two clusters in which anything may happen."""
    count = draw(st.integers(1, 12))
    what = st.tuples(st.integers(0, 20), st.floats(0, 1), st.sampled_from([0.01, 0.1, 1.0, 5.0]))
    kinds = [draw(what) for _ in range(count)]
    return count, kinds, draw(st.integers(1, 2)), draw(st.integers(3, 60))


@law
@given(looks())
def test_never_is_everybody_out_nor_more_than_a_tenth_but_one(story):  # type: ignore[no-untyped-def]
    count, kinds, clusters, ticks = story
    health: dict = {}
    for tick in range(ticks):
        served = [
            Served(f"r{i}", (f"c{i % clusters}", "v"), n, round(n * share), n * each_s)
            for i, (n, share, each_s) in enumerate(kinds)
        ]
        judged = judge(KEY, served, health, at=1000.0 + tick, since_s=1.0, cv=0.5)
        health = judged.health
        assert len(judged.out) <= max(1, count // 10)
        assert len(judged.out) < count
        assert judged.out <= set(away(health))


@law
@given(
    st.lists(st.sampled_from([1.0, 1.0, 1.4, 1.7, 2.2, 3.0]), min_size=6, max_size=6),
    st.lists(st.lists(st.tuples(st.integers(0, 4), SPREAD), min_size=6, max_size=6), min_size=4, max_size=15),
)
def test_where_all_are_well_the_quick_answer_is_that_of_the_whole_procedure(slow, ticks):  # type: ignore[no-untyped-def]
    """Six replicas in two clusters, some close to what counts as slow; both ways go on from the same memory."""
    memory = BalanceMemory()
    places = [Place("c0", 3, 0.0, {"gz": 0.0}), Place("c1", 3, 0.0, {"gz": 0.01})]
    for second, tick in enumerate(ticks):
        served = [
            Served(f"r{i}", (f"c{i % 2}", "a"), float(n), 0.0, n * 0.1 * times * slow[i])
            for i, (n, times) in enumerate(tick)
        ]
        squares_s2 = sum(s.service_s**2 / s.finished for s in served if s.finished)
        looked = Looked(1000.0 + second, served, 2.0, squares_s2, {"gz": 1.0})
        quick = balance(KEY, places, looked, memory)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(outliers, "_all_well", lambda views: False)
            patched.setattr(weights, "_all_well", lambda views: False)
            assert balance(KEY, places, looked, memory) == quick
        memory = quick.memory


@law
@given(st.integers(1, 20), st.floats(0.5, 30), st.floats(0, 1), st.sampled_from([0.01, 0.1, 3.0]), st.integers(1, 3))
def test_where_all_are_alike_nobody_is_sick_and_few_calls_go_elsewhere_to_find_out(
    count: int, per_s: float, share: float, each_s: float, clusters: int
):
    memory = BalanceMemory()
    names = sorted({f"c{i % clusters}" for i in range(count)})
    places = [Place(name, 1, 0.0, {"gz": 0.0}) for name in names]
    for tick in range(40):
        grown = each_s * (1 if tick < 10 else 3)
        served = [Served(f"r{i}", (f"c{i % clusters}", "v"), per_s, per_s * share, per_s * grown) for i in range(count)]
        looked = Looked(1000.0 + tick, served, per_s * each_s, 0.0, {"gz": 1.0})
        found = balance(KEY, places, looked, memory)
        memory = found.memory
        assert found.steps == ()
        assert all(w.health == 1 or (w.health > 0.7 and per_s < LOW_PER_S) for w in found.clusters)


class Uneven(World):
    """Each replica takes some number of times as long as it should, by its number."""

    times: tuple[int, ...] = (1,)

    def _counted(self) -> GatewaySeen | None:
        assert self.gateway is not None
        slow = {n: self.times[i % len(self.times)] for i, n in enumerate(sorted(self.gateway.servers))}
        counted = {
            n: s if s.draining else replace(s, finished=4, service_s_sum=0.4 * slow[n])
            for n, s in self.gateway.servers.items()
        }
        return replace(self.gateway, servers=counted)


@settings(law, max_examples=40)
@given(st.integers(0, 14), st.integers(0, 4), st.lists(st.sampled_from([1, 1, 1, 2, 10]), min_size=1, max_size=9))
def test_a_pool_makes_up_for_those_that_are_out_within_its_bounds(wanted: int, room: int, times: list[int]):
    spec = service(scaling={"minReplicas": 0, "maxReplicas": max(1, wanted + room)})
    world = Uneven(services=(spec,), wanted=wanted)
    world.times = tuple(times)
    for _ in range(60):
        plan = world.tick().plan()
        more = plan.wanted - wanted
        assert 0 <= more <= min(max(room, 1 - wanted), most_out(wanted + more))
