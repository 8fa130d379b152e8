"""How many wait in front of a service that has become too slow for its promise."""

from __future__ import annotations

import math

import pytest

from tidegate.gateway.shedding import most_useful, share_within


@pytest.mark.parametrize(
    ("mean_s", "deviation_s", "limit_s", "expected"),
    [(0.3, 0.3, 1.0, 1 - math.exp(-1 / 0.3)), (1, 1, 1, 1 - math.exp(-1)), (1, 0, 1, 1), (1, 0, 0.9, 0), (1, 1, 0, 0)],
)
def test_the_share_of_service_times_up_to_a_limit(mean_s, deviation_s, limit_s, expected):
    assert share_within(mean_s, deviation_s, limit_s) == pytest.approx(expected, abs=0.003)


def useful(places: int, slots: int, mean_s: float, within_s: float, pressure: float) -> float:
    """Answers in time for each request that comes, by the states of such a queue one by one."""
    weights = [1.0]
    for busy in range(1, slots + 1):
        weights.append(weights[-1] * pressure * slots / busy)
    weights += [weights[-1] * pressure**k for k in range(1, places + 1)]
    good = 0.0
    for inside, weight in enumerate(weights[:-1]):
        wait_s = max(0, inside - slots + 1) * mean_s / slots
        good += weight * (1 - math.exp(-max(0.0, within_s - wait_s) / mean_s))
    return good / sum(weights)


@pytest.mark.parametrize("slots", [1, 4, 16, 100])
@pytest.mark.parametrize("mean_s", [0.3, 0.6, 2.0])
@pytest.mark.parametrize("pressure", [1.2, 2.4, 10.0])
def test_as_many_wait_as_give_the_most_answers_in_time(slots: int, mean_s: float, pressure: float):
    chosen = most_useful(slots, mean_s, mean_s, 1.0, pressure)
    best = max(useful(n, slots, mean_s, 1.0, pressure) for n in range(1, slots + 1))
    assert useful(chosen, slots, mean_s, 1.0, pressure) > 0.995 * best


def test_who_is_never_in_time_waits_as_little_as_can_be():
    assert most_useful(16, 5.0, 1.0, 1.0, 2.0) == 1
    assert 1 <= most_useful(5000, 0.3, 0.3, 1.0, 100.0) <= 256
