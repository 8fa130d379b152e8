"""What a pool wants: demand, bounds, zero, missing data."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise

import pytest

from policy.pool_world import PoolWorld, pool
from tidegate.model.observed import PoolLoad
from tidegate.model.scaling import ScaleInput, SeasonMemory
from tidegate.policy import risk
from tidegate.policy.risk import MARGINS, POOLS, first_risk
from tidegate.policy.scaling import scale


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


def served(per_s: float, every_s: float = 1.0, mean_s: float = 0.8) -> dict[str, float]:
    """A steady load: what a gateway measures in a look of `every_s`."""
    n = per_s * every_s
    sums = {"service_s_sum": n * mean_s, "service_s2_sum": n * mean_s * mean_s * 1.25}
    return {"arrivals": int(n), "finished": int(n), "in_flight": int(per_s * mean_s), **sums}


def busy_pool(**scaling: object) -> PoolWorld:
    limits = {"maxReplicas": 100, **scaling}
    world = PoolWorld(pool(concurrency=2, promise={"within": "5s", "success": "99.95%"}, scaling=limits))
    world.until(300, **served(15))
    return world


def test_a_jump_that_a_schedule_was_ready_for_is_held_against_no_margin():
    window = {"from": "12:00", "to": "14:00", "timeZone": "UTC", "minReplicas": 60}
    planned, surprised = busy_pool(schedules=[window]), busy_pool()
    for world in (planned, surprised):
        world.until(86400 - world.at % 86400 + 12 * 3600 - 600, every_s=10, **served(15, 10.0))
        world.until(1200, every_s=10, **served(15, 10.0))
        world.until(600, every_s=10, **served(60, 10.0))
    assert not any(planned.memory.risk.lost[:16])
    assert all(surprised.memory.risk.lost[:16])


def test_the_promise_is_staffed_with_its_numbers():
    world = busy_pool()
    assert 7 <= world.ready <= 10
    assert "= 12.0 busy slots" in world.said
    assert "99.95% within 5 s needs" in world.said


def test_a_burst_is_answered_within_two_seconds():
    world = busy_pool()
    before = world.ready
    world.look(**served(60))
    world.look(**served(60))
    assert world.ready >= 2 * before
    assert "more arrives than expected" in world.said


def test_while_a_queue_stands_a_smaller_surprise_is_one_and_the_queue_is_worked_off():
    calm, waiting = busy_pool(), busy_pool()
    calm.obey = waiting.obey = False
    for _ in range(4):  # 15/s were expected, 60 +- 8 in 4 s
        calm.look(**served(20))
        waiting.look(**served(20), queued=30)
    assert "more arrives than expected" not in calm.said
    assert "more arrives than expected" in waiting.said
    assert "more to work off the queue" in waiting.said
    assert waiting.last.wanted > calm.last.wanted


def test_a_burst_does_not_order_the_same_capacity_twice():
    world = busy_pool()
    world.obey = False  # nothing gets ready
    for _ in range(30):
        world.look(**served(60), queued=100)
    assert world.last is not None
    assert world.last.wanted < 60


def test_a_promise_below_the_service_time_is_told():
    world = PoolWorld(pool(promise={"within": "1s", "success": "99.9%"}, scaling={"maxReplicas": 100}))
    world.until(60, **served(10, mean_s=2.0))
    assert 20 < world.ready < 45
    assert "no number of replicas keeps 99.9% within 1 s" in world.said


def test_a_target_has_the_tolerance_of_the_hpa():
    world = busy_pool(target={"inFlight": 0.75})
    assert world.until(400, **served(15)) == 8  # 12 busy of 16
    assert world.until(400, **served(16)) == 8  # 8.5 wanted, within 10%
    assert world.until(400, **served(22)) > 10


def test_requests_per_second_as_a_target():
    assert busy_pool(target={"rps": 3}).ready == 5


def test_a_schedule_raises_a_pool_that_is_not_measured():
    window = {"from": "00:00", "to": "00:00", "timeZone": "UTC", "minReplicas": 5}
    world = PoolWorld(pool(scaling={"schedules": [window]}), ready=1)
    assert world.look(measured=False) == 5
    assert "schedule" in world.said


def test_a_preview_changes_nothing():
    auto, preview = busy_pool(forecast="off"), busy_pool(forecast="preview")
    assert auto.ready == preview.ready


def adopted(**spec: object) -> PoolWorld:
    """Ten ready replicas of a service of which nothing is known."""
    return PoolWorld(pool(concurrency=2, scaling={"maxReplicas": 100}, **spec), ready=10)


def test_a_restart_without_memory_gives_nothing_back_before_a_minute_was_measured():
    world = adopted()
    assert world.until(59, 0.5, **served(4, 0.5)) == 10
    assert "too little to give back" in world.said
    assert world.until(120, **served(4)) < 10


def test_a_long_gap_in_the_measurements_asks_for_new_evidence():
    world = adopted()
    world.until(50, **served(4))
    world.until(600, 10, measured=False)
    assert world.until(50, **served(4)) == 10


def test_replicas_of_unknown_service_time_are_kept_for_ten_minutes():
    world = adopted()
    assert world.until(590, in_flight=3) == 10
    assert world.until(60, in_flight=3) < 10


def test_a_step_beyond_what_starts_in_time_orders_what_the_step_needs_and_not_more():
    world = busy_pool()
    world.startup_s, world.obey = 300.0, False
    highest = max(world.until(10, **served(45)) for _ in range(30))
    assert 18 <= highest <= 45  # 45 requests/s x 0.8 s / 2 = 18 busy replicas


def test_a_preview_says_what_it_would_want():
    """A week whose next half hour is three times as busy, and a forecast that has proved itself."""

    def told(mode: str) -> PoolWorld:
        world = PoolWorld(pool(promise={"within": "5s"}, scaling={"maxReplicas": 40, "forecast": mode}), startup_s=1800)
        world.until(300, **served(15))
        here = int(world.at // 1800)
        shape = tuple(45.0 if slot in ((here + 1) % 336, (here + 2) % 336) else 15.0 for slot in range(336))
        season = SeasonMemory(shape, slots_seen=336, slot=here, compared=100, shape_error=0.01, trend_error=1.0)
        world.memory = replace(world.memory, season=season)
        world.look(**served(15))
        return world

    auto, preview = told("auto"), told("preview")
    assert auto.ready > preview.ready
    assert f"preview: would want {auto.ready} instead of " in preview.said


def test_a_pool_that_may_not_grow_says_what_is_lost():
    world = busy_pool(maxReplicas=5)
    assert "maxReplicas is 5: about 1" in world.said  # 12 busy slots, 10 there: at least 16.7% wait in vain
    assert "wait in vain" in world.said
    assert "wait in vain" not in busy_pool().said


def test_a_service_that_jumps_faster_than_it_starts_is_told_its_prices():
    world = PoolWorld(
        pool(concurrency=2, promise={"within": "5s", "success": "99.95%"}, scaling={"maxReplicas": 500}),
        startup_s=120.0,
    )
    for _ in range(20):  # ten minutes of six times the load, out of nothing, every hour
        world.until(3000, 10, **served(5, 10))
        world.until(600, 10, **served(30, 10))
    assert "price: this service jumps faster than it starts: 99.95%" in world.said
    assert "times the busy replicas" in world.said
    assert "spare on average" in world.said


def test_memory_of_a_version_with_other_candidates_begins_anew_with_what_margins_lost():
    world = busy_pool()
    known, kept = world.memory.risk, world.memory.demand
    other = {name: getattr(known, name)[3:] for name in ("lost", "cost", "backlog", "ready", "pending")}
    world.memory = replace(world.memory, risk=replace(known, **other, chosen=len(MARGINS)))  # it was a floor
    assert world.look(measured=False) >= 1
    assert world.memory.risk == first_risk()
    assert world.memory.demand == kept
    world.memory = replace(world.memory, risk=replace(known, **other, chosen=len(MARGINS)))
    assert world.until(20, **served(15)) >= 7
    assert len(world.memory.risk.lost) == POOLS
    assert "jumps faster" not in world.said


def test_a_slow_service_with_a_long_promise_looks_less_far_ahead_than_it_starts():
    def said(within: str) -> str:
        world = PoolWorld(pool(promise={"within": within}, scaling={"maxReplicas": 99}), ready=9, startup_s=300.0)
        slow = {"service_s_sum": 3 * 28.7, "service_s2_sum": 3 * 28.7**2 * 1.5}
        world.until(600, 10, arrivals=3, finished=3, in_flight=8, **slow)
        return world.said

    assert "requests/s in 1 min 30 s x 28.7 s" in said("300s")  # 0.9 x (300 - 2 x 28.7) = 218 s may be waited
    assert "requests/s in 5 min x 28.7 s" in said("60s")


def test_what_the_margin_lost_is_felt_and_what_a_bound_lost_is_not():
    def felt(most: int, ready: int | None = None, **scaling: object) -> float:
        world = PoolWorld(pool(scaling={"maxReplicas": most, **scaling}), ready=4)
        busy = {"arrivals": 8, "finished": 8, "in_time": 7, "service_s_sum": 4.0, "service_s2_sum": 2.0}
        world.until(300, **busy)
        world.obey, world.ready = ready is None, world.ready if ready is None else ready
        before = world.memory.risk.felt
        world.look(1.0, **busy, refused=3, waited_in_vain=1)
        return round(world.memory.risk.felt - before, 3)

    assert felt(100) == 4.0
    assert felt(3) == 0.0, "maxReplicas kept it small"
    always = {"from": "00:00", "to": "00:00", "timeZone": "UTC", "maxReplicas": 3}
    assert felt(100, schedules=[always]) == 0.0, "a schedule kept it small"
    assert felt(100, ready=1) == 0.0, "what was ordered is not there"


def test_what_is_lost_while_fewer_serve_than_were_imagined_is_not_the_margins():
    world = busy_pool()
    wanted = world.last.wanted if world.last else 0
    load = PoolLoad(at=world.at + 1.0, interval_s=1.0, refused=5, **served(15))  # type: ignore[arg-type]

    def felt(ready: int) -> float:
        inp = ScaleInput(world.at + 1.0, world.spec, load, ready, (3.0,) * (wanted - ready), 10.0)
        return scale(inp, world.memory).memory.risk.felt - world.memory.risk.felt

    assert felt(wanted) == pytest.approx(5.0, abs=0.01)
    assert felt(wanted - 1) == pytest.approx(0.0, abs=0.01), (
        "it was ordered and is on its way: after a crash, or a start"
    )


def test_a_replica_is_given_back_by_a_wider_margin_than_it_was_ordered_by(monkeypatch: pytest.MonkeyPatch):
    def changes() -> int:
        rng = random.Random(3)
        world = PoolWorld(pool(promise={"within": "5s"}, scaling={"maxReplicas": 200}))
        rates = [60.0 + 6.0 * math.sin(second / 60) + rng.gauss(0.0, 7.7) for second in range(1800)]
        wanted = [world.look(1.0, **served(per_s)) for per_s in rates]
        return sum(a != b for a, b in pairwise(wanted))

    with_it = changes()
    monkeypatch.setattr(risk, "GIVE_BACK", 0.0)
    assert 0 < with_it < 0.8 * changes()


def test_what_is_kept_by_the_wider_margin_is_told():
    world = busy_pool()
    said = []
    for step in range(300):
        world.look(1.0, **served(15 - step / 60))
        said.append(world.said)
    assert any("are enough, but not with a margin of" in text for text in said)
