"""What holds for the scaling policy whatever the traffic.

"More load never wants fewer" means: of two pools that are alike and see the same traffic, one of them every request
twice (or more), the one with more never wants fewer replicas. It does not mean that after a surprise in either
direction the policy may not become more careful.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from policy.pool_world import PoolWorld, pool
from tidegate.model.observed import PoolLoad
from tidegate.model.scaling import ScaleInput, ScaleMemory
from tidegate.policy.risk import POOLS, Needs, slots
from tidegate.policy.scaling import learn, scale
from tidegate.policy.schedule import bounds
from tidegate.policy.tracking import Outlook
from tidegate.spec.scaling import Schedule

MEMORY = TypeAdapter(ScaleMemory)
few = settings(max_examples=40, deadline=None)
counts = st.integers(0, 400)


@st.composite
def looks(draw: st.DrawFn) -> dict[str, float]:
    """One look at a pool: how long after the last one, and what was measured (or not)."""
    arrivals = draw(counts)
    return {
        "after_s": draw(st.sampled_from([0.5, 1.0, 3.0, 10.0, 45.0])),
        "measured": draw(st.integers(0, 5)) > 0,
        "arrivals": arrivals,
        "finished": arrivals,
        "in_flight": draw(st.integers(0, 40)),
        "queued": draw(st.integers(0, 200)),
        "service_s_sum": arrivals * 0.8,
        "service_s2_sum": arrivals * 0.8,
    }


traffic = st.lists(looks(), min_size=1, max_size=30)


@few
@given(traffic, st.integers(0, 4), st.integers(4, 30))
def test_never_below_min_nor_above_max(seen: list[dict[str, float]], low: int, high: int):
    world = PoolWorld(pool(scaling={"minReplicas": low, "maxReplicas": high}))
    assert all(low <= world.look(**look) <= high for look in seen)  # type: ignore[arg-type]


@few
@given(traffic)
def test_missing_data_never_scales_down(seen: list[dict[str, float]]):
    world = PoolWorld(pool(concurrency=2, scaling={"minReplicas": 0, "maxReplicas": 50}))
    before = 0
    for look in seen:
        wanted = world.look(**look)  # type: ignore[arg-type]
        if not look["measured"]:
            assert wanted >= before
        before = wanted


@few
@given(traffic)
def test_same_input_same_output_also_after_a_restart(seen: list[dict[str, float]]):
    one = PoolWorld(pool(concurrency=2, scaling={"minReplicas": 0, "maxReplicas": 50}))
    two = PoolWorld(one.spec)
    for look in seen:
        one.look(**look)  # type: ignore[arg-type]
        two.memory = MEMORY.validate_json(MEMORY.dump_json(two.memory))
        two.look(**look)  # type: ignore[arg-type]
        assert one.last == two.last


@few
@given(st.floats(0.5, 40.0), st.floats(1.0, 5.0), st.sampled_from([1.0, 2.0, 10.0]))
def test_more_load_never_wants_fewer(rate: float, factor: float, every_s: float):
    def steady(per_s: float) -> int:
        world = PoolWorld(pool(concurrency=2, scaling={"maxReplicas": 1000}), startup_s=30)
        n = int(per_s * every_s)
        load = {"arrivals": n, "finished": n, "service_s_sum": n * 0.8, "service_s2_sum": n * 0.8}
        return world.until(120, every_s, **load, in_flight=int(per_s * 0.8))

    assert steady(rate) <= steady(rate * factor)


amounts = st.floats(0.0, 500.0)
needs = st.builds(
    Needs,
    mean_s=st.floats(0.01, 30.0),
    cv=st.just(0.5),
    concurrency=st.integers(1, 8),
    spare=st.floats(0.0, 4.0),
    within_s=st.just(5.0),
    success=st.just(0.9995),
    startup_s=st.just(60.0),
)


@given(amounts, amounts, amounts, needs)
def test_slots_grow_with_rate_spread_and_margin(rate: float, more: float, spread: float, need: Needs):
    base = slots(Outlook(rate, rate, spread), 2.0, need)
    assert slots(Outlook(rate, rate + more, spread), 2.0, need) >= base
    assert slots(Outlook(rate, rate, spread + more), 2.0, need) >= base
    assert slots(Outlook(rate, rate, spread), 3.0, need) >= base >= rate * need.mean_s


ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "America/Santiago",  # at midnight, the other way round
    "Africa/Casablanca",  # four times a year
    "Asia/Shanghai",  # never
)


@given(st.integers(0, 370 * 24 * 12), st.integers(0, 95), st.integers(0, 95), st.sampled_from(ZONES))
def test_a_window_holds_at_every_instant_at_which_the_clock_is_in_it(at5: int, begin: int, end: int, zone: str):
    begins, ends = (f"{q // 4:02d}:{q % 4 * 15:02d}" for q in (begin, end))
    window = Schedule.model_validate({"from": begins, "to": ends, "timeZone": zone, "minReplicas": 7})
    at = 1_767_225_600.0 + at5 * 300 + 60  # all of 2026, every five minutes
    wall = datetime.fromtimestamp(at, ZoneInfo(zone))
    clock = wall.hour * 4 + wall.minute / 15
    inside = begin <= clock < end if begin < end else clock >= begin or clock < end
    if inside:
        assert bounds((window,), at, 0.0).floor == 7


@few
@given(st.sampled_from(ZONES), st.sampled_from(["2026-03-29", "2026-10-25", "2026-03-08", "2026-04-05", "2026-09-06"]))
def test_a_pool_is_at_its_floor_all_through_a_night_in_which_clocks_change(zone: str, day: str):
    window = Schedule.model_validate(
        {"dates": [day], "from": "22:30", "to": "04:00", "timeZone": zone, "minReplicas": 7}
    )
    world_spec = pool(scaling={"maxReplicas": 9, "schedules": [window.model_dump(by_alias=True)]})
    begin = datetime.fromisoformat(f"{day}T22:30").replace(tzinfo=ZoneInfo(zone)).timestamp()
    end = (datetime.fromisoformat(f"{day}T04:00") + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone)).timestamp()
    world = PoolWorld(world_spec, at=begin - 300)
    while world.at < end - 301:
        assert world.look(300.0) == 7


def test_learning_from_history_is_watching_it():
    spec = pool(concurrency=2, scaling={"maxReplicas": 50})
    loads = [PoolLoad(1e6 + 10 * i, 10.0, 150, 150, service_s_sum=120.0, service_s2_sum=120.0) for i in range(100)]
    watched = ScaleMemory()
    for load in loads:
        watched = scale(ScaleInput(load.at, spec, load, 8, (), 60.0), watched).memory
    known = learn(spec, loads, 60.0)
    assert (known.demand, known.risk) == (watched.demand, watched.risk)
    assert known.wanted is None
    assert len(known.risk.lost) == POOLS
