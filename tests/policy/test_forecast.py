"""The shape of the week: learned, compared with the trend, followed only when it knows better."""

from __future__ import annotations

import math

from tidegate.model.scaling import SeasonMemory
from tidegate.policy.forecast import compare, guess, learn, usual
from tidegate.policy.tracking import Outlook

DAY = 86400


def daily(at: float) -> float:
    return 20 + 15 * math.sin(2 * math.pi * at / DAY)


def watched(days: int, horizon_s: float = 1800.0, rate=daily) -> SeasonMemory:  # type: ignore[no-untyped-def]
    """A pool that saw `days` of traffic, with a trend that expects the rate to stay."""
    memory = SeasonMemory()
    for at in range(300, days * DAY, 300):
        now = rate(at)
        expected = guess(memory, at, now, horizon_s).then
        memory = compare(memory, at, Outlook(now, now, 1.0), expected, horizon_s)
        memory = learn(memory, at, now)
    return memory


def test_the_usual_rate_is_known_after_a_day():
    memory = watched(3)
    for at in (3 * DAY + 3600, 3 * DAY + 40000):
        assert abs((usual(memory, at) or 0) - daily(at)) < 1.0


def test_a_regular_service_is_foretold_and_trusted():
    found = guess(watched(4), 4 * DAY, daily(4 * DAY), 1800.0)
    assert found.trusted
    assert found.then is not None
    assert abs(found.then - daily(4 * DAY + 1800)) < 1.5


def test_an_irregular_service_is_not():
    found = guess(watched(4, rate=lambda at: 20 + 15 * math.sin(at * at / 1e9)), 4 * DAY, 20.0, 1800.0)
    assert not found.trusted
    assert "error" in found.why


def test_a_new_service_says_that_it_knows_too_little():
    assert guess(SeasonMemory(), 0.0, 5.0, 60.0).why == "less than a day of traffic seen"
