"""How far forecasts were off, and what that does to the spread."""

from __future__ import annotations

import pytest

from tidegate.model.scaling import ErrorMemory
from tidegate.policy.recent_errors import NOTES_MAX, advance, widened
from tidegate.policy.tracking import Outlook

UNIT = 1.25  # requests/s that keep one slot busy at 0.8 s a request


def watched(rates: list[float], expected: list[float], horizon_s: float = 120.0) -> ErrorMemory:
    """One forecast and one measured rate every ten seconds."""
    memory = ErrorMemory()
    for i, (rate, then) in enumerate(zip(rates, expected, strict=True)):
        memory = advance(memory, 10.0 * i, Outlook(rate, then, 0.5), horizon_s, UNIT)
    return memory


def test_nothing_changes_before_a_forecast_is_due():
    ahead = Outlook(15.0, 15.0, 0.5)
    assert widened(watched([15.0] * 12, [15.0] * 12), ahead, UNIT) == ahead


def test_forecasts_that_came_true_add_nothing():
    assert widened(watched([15.0] * 400, [15.0] * 400), Outlook(15.0, 15.0, 0.5), UNIT).spread == pytest.approx(0.5)


def test_the_spread_is_at_least_what_forecasts_of_late_were_off():
    memory = watched([15.0] * 2000, [12.0] * 2000)
    assert widened(memory, Outlook(12.0, 12.0, 0.0), UNIT).spread == pytest.approx(3.0, rel=0.01)
    quiet = widened(memory, Outlook(1.2, 1.2, 0.0), UNIT).spread
    assert quiet == pytest.approx(3.0 / 10**0.5, rel=0.01)  # a third, as the noise of counts


def test_one_step_of_a_young_service_is_not_a_habit():
    young = watched([15.0] * 30 + [45.0] * 12, [15.0] * 42)
    assert widened(young, Outlook(45.0, 45.0, 0.0), UNIT).spread < 20.0


def test_errors_fade_within_hours():
    wild, calm = [15.0, 30.0] * 100, [15.0] * 1500
    memory = watched([*wild, *calm], [15.0] * 1700)
    assert widened(memory, Outlook(15.0, 15.0, 0.0), UNIT).spread < 1.5


def test_few_forecasts_are_kept_however_long_the_start_up():
    assert len(watched([15.0] * 2000, [15.0] * 2000, horizon_s=3600.0).notes) <= NOTES_MAX + 1
