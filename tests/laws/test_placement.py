"""Laws of placement over generated fleets: nothing overfull, all placed that fits, rest where nothing changes."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laws.fleets import Fleet, fleets
from policy.world import cluster

law = settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(law, max_examples=300)


def change(fleet: Fleet, wanted: list[int], sizes: list[int]) -> None:
    """The same fleet with other demand and other room in its clusters (never less than is used: none is emptied)."""
    fleet.each = {name: wanted[i % len(wanted)] for i, name in enumerate(fleet.each)}
    fleet.clusters = tuple(
        cluster(
            c.name,
            max(float(sizes[i % len(sizes)]), fleet._cluster(c).used.get("cpu", 0.0)),
            **c.spec.model_dump(include={"region", "price", "taints", "quota"}),
        )
        for i, c in enumerate(fleet.clusters)
    )


@law
@given(fleets())
def test_a_fleet_comes_to_rest_within_its_bounds_and_with_everything_placed_that_fits(fleet: Fleet):
    for _ in range(3):
        fleet.tick()
        assert list(fleet.overfull()) == []
        assert list(fleet.beyond_share()) == []
    fleet.settle()
    assert not any(fleet.tick().busy_now for _ in range(4)), "an untouched world moves nothing"
    assert list(fleet.overfull()) == []
    assert list(fleet.beyond_share()) == []
    assert fleet.last is not None
    for plan in fleet.last.plan.pools:
        assert not plan.weights or math.isclose(math.fsum(w.weight for w in plan.weights), 1)
    for pool in fleet.pending():
        assert fleet.fits_somewhere(pool) is None, f"{pool.key} is pending"
        if pool.placement.latencyClass == "interactive":
            room = fleet.fits_somewhere(pool, without_batch=True)
            assert room is None, f"{pool.key} is pending while batch holds room in {room}"


@few
@given(fleets(), st.lists(st.integers(0, 6), min_size=1, max_size=3), st.lists(st.integers(1, 20), min_size=1))
def test_after_any_change_of_demand_and_room_it_comes_to_rest_within_its_bounds_again(
    fleet: Fleet, wanted: list[int], sizes: list[int]
):
    fleet.settle()
    change(fleet, wanted, sizes)
    for _ in range(6):
        fleet.tick()
        assert list(fleet.overfull()) == []
    fleet.settle()
    assert list(fleet.overfull()) == []
    assert list(fleet.beyond_share()) == []
    for pool in fleet.pending():
        assert fleet.fits_somewhere(pool) is None, f"{pool.key} is pending"


@few
@given(fleets(), st.integers(0, 2))
def test_losing_sight_of_a_cluster_deletes_nothing_there_and_seeing_it_again_comes_to_rest(fleet: Fleet, which: int):
    fleet.settle()
    lost = fleet.clusters[which % len(fleet.clusters)].name
    there = fleet.alive(lost)
    fleet.hidden = {lost}
    for _ in range(6):
        fleet.tick()
    assert fleet.alive(lost) == there
    fleet.hidden = set()
    fleet.settle()
    assert list(fleet.overfull()) == []
