"""What a pool takes over from traffic that it did not see, and what it keeps."""

from __future__ import annotations

import math
import random

from scenarios.worlds import cluster, service, specs
from tidegate.model.scaling import ScaleMemory, SeasonMemory
from tidegate.policy import forecast
from tidegate.policy.lesson import taught
from tidegate.policy.scaling import learn
from tidegate.sim import history
from tidegate.sim.requests import ServiceTime
from tidegate.sim.trace import Trace

DAY_S = 86400.0
(SPEC,) = specs(service(), cluster("here")).pools


def lesson(days: float = 4.0, mean: float = 20.0) -> ScaleMemory:
    """Days of a wave, learned as a pool would have."""
    rates = [mean * (1 + 0.8 * math.sin(2 * math.pi * i / 48)) for i in range(int(48 * days))]
    loads = history.loads(
        Trace("wave", 1800.0, tuple(rates), 0.0), ServiceTime(0.5), random.Random(1), ends_at=days * DAY_S, every_s=300
    )
    return learn(SPEC, loads, 60.0)


LESSON = lesson()


def test_a_new_pool_knows_the_day_and_a_smaller_margin_but_no_rate():
    known = taught(ScaleMemory(), LESSON)
    assert known.risk.chosen < 12, "the cautious margin is the thirteenth"
    assert forecast.usual(known.season, 10 * DAY_S + DAY_S / 4) is not None
    assert (known.demand, known.load_at, known.wanted) == (ScaleMemory().demand, None, None)
    assert known.season.notes == ()


def test_half_hours_the_pool_has_seen_itself_stay():
    own = ScaleMemory(season=SeasonMemory(shape=(7.0,) + (-1.0,) * 335, slots_seen=1))
    known = taught(own, LESSON).season
    assert known.shape[0] == 7.0
    assert known.shape[1] >= 0


def test_a_lesson_from_a_larger_system_is_brought_to_the_pools_own_level():
    large = lesson(mean=2000.0)
    own = ScaleMemory(season=SeasonMemory(shape=(*LESSON.season.shape[:10], *(-1.0,) * 326), slots_seen=10))
    known = taught(own, large).season
    assert max(known.shape) < 100


def test_margins_stay_with_who_has_seen_more():
    assert taught(LESSON, lesson(days=1)).risk == LESSON.risk
