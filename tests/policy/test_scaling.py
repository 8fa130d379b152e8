"""What a pool wants: demand, bounds, zero, missing data."""

from __future__ import annotations

from policy.pool_world import PoolWorld, pool


def test_a_queue_starts_the_first_replica_from_zero():
    world = PoolWorld(pool(scaling={"minReplicas": 0}))
    assert world.look() == 0
    assert world.look(queued=1, arrivals=1) >= 1


def test_an_idle_pool_goes_to_zero_after_the_time_given():
    world = PoolWorld(pool(scaling={"minReplicas": 0, "scaleToZeroAfterSeconds": 100}), ready=1)
    world.look(arrivals=1, in_flight=1)
    assert world.until(99) == 1
    assert world.until(70) == 0


def test_never_above_max_nor_below_min():
    world = PoolWorld(pool(scaling={"minReplicas": 2, "maxReplicas": 5}))
    assert world.look() == 2
    assert world.look(in_flight=10, queued=500, arrivals=500) == 5


def test_missing_and_stale_loads_keep_what_there_is():
    world = PoolWorld(pool(scaling={"minReplicas": 0}), ready=4)
    world.look(in_flight=4, arrivals=1)
    before = world.last.wanted
    assert world.until(2000, measured=False, every_s=10) == before
    assert world.until(2000, load_age_s=500, every_s=10) == before
    assert "stay at" in world.said
