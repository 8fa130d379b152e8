"""Which margin is chosen, and what the imagined pools live through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tidegate.policy.price import prices, sentence
from tidegate.policy.risk import (
    CANDIDATES,
    MARGINS,
    MOST_WORSE,
    POOLS,
    USUAL_MARGIN,
    Felt,
    Needs,
    advance,
    choose,
    first_risk,
    usual_margin,
    worse_than_foreseen,
)
from tidegate.policy.tracking import Outlook

DAY = 86400.0
NEEDS = Needs(mean_s=0.8, cv=0.5, concurrency=2, spare=0.9, within_s=5.0, success=0.9995, startup_s=120.0)
COST = [1.0 + 0.02 * i for i in range(len(CANDIDATES))]
NOTHING_LOST = [0.0] * POOLS


def chosen(seconds: float, lost: list[float] | None = None, startup_s: float = 120.0) -> tuple[float, float]:
    cost = [c * seconds * 7 for c in COST]
    return CANDIDATES[choose(lost or NOTHING_LOST, cost, 15 * seconds, seconds, 0.0005, startup_s)]


def test_a_new_service_gets_the_usual_margin():
    assert CANDIDATES[first_risk().chosen] == (USUAL_MARGIN, 0.0)
    assert chosen(600) == (USUAL_MARGIN, 0.0)


def test_the_usual_margin_grows_with_the_start_up_time():
    margins = [usual_margin(s) for s in (1, 20, 120, 300, 900)]
    assert margins == sorted(margins)
    assert [chosen(600, startup_s=s)[0] for s in (20, 120, 480)] == [1.0, 1.5, 3.0]


def test_caution_wears_off_with_traffic_that_lost_nothing():
    margins = [chosen(t * DAY)[0] for t in (0.1, 0.5, 1, 2, 4, 14)]
    assert margins == sorted(margins, reverse=True)
    assert margins[-1] < 1


def test_a_margin_that_broke_the_promise_is_not_used():
    lost = [1e6 if i < 6 else 0.0 for i in range(POOLS)]
    assert chosen(14 * DAY, lost) == (MARGINS[6], 0.0)


def test_what_was_overspent_is_made_good_and_what_was_saved_may_be_spent():
    day = 15 * DAY * 0.0005  # what the promise allows in a day
    by_margin = [day * 0.5**i for i in range(len(CANDIDATES))]
    margins = [chosen(DAY, [*by_margin, spent * day])[0] for spent in (0.0, 0.33, 0.39)]
    assert margins == [0.5, 0.75, 1.5]


def test_what_was_really_lost_counts_when_it_is_more_than_was_foreseen():
    day = 15 * DAY * 0.0005
    lost = [*(day * 0.5**i for i in range(len(CANDIDATES))), 0.1 * day]
    cost = [c * 7 * DAY for c in COST]

    def margin(felt: float) -> float:
        real = Felt(felt * day, 0.1 * day)
        return CANDIDATES[choose(lost, cost, 15 * DAY, DAY, 0.0005, 120.0, real)][0]

    assert margin(0.0) == margin(0.1) == chosen(DAY, lost)[0], "less than was foreseen changes nothing"
    margins = [margin(felt) for felt in (0.1, 0.2, 0.3, 0.4)]
    assert margins == sorted(margins)
    assert margins[-1] > margins[0]


def test_a_real_loss_is_held_against_what_is_believed_and_bounded():
    assert worse_than_foreseen(Felt(120.0, 20.0), 38.0) == pytest.approx(158 / 58)
    assert worse_than_foreseen(Felt(0.0, 20.0), 38.0) == 1.0
    assert worse_than_foreseen(Felt(1e9, 0.0), 38.0) == MOST_WORSE
    assert worse_than_foreseen(Felt(0.0, 0.0), 0.0) == 1.0


def test_a_floor_is_kept_where_no_margin_is_enough():
    lost = [1e6] * len(MARGINS) + [1e6, 1e6, 0.0, 0.0, 0.0, 0.0] + [0.0]
    assert chosen(14 * DAY, lost) == CANDIDATES[len(MARGINS) + 2]


def test_a_step_is_lost_by_the_small_margins_and_priced():
    memory, calm = first_risk(), Outlook(15.0, 15.0, 0.3)
    for i in range(1, 3000):
        memory = advance(memory, 150.0, 10.0 * i, 10.0, calm, NEEDS)
    assert not any(memory.lost)
    for i in range(3000, 3013):  # 40% more, seen at once, served a start-up time later
        memory = advance(memory, 210.0, 10.0 * i, 10.0, Outlook(21.0, 21.0, 0.3), NEEDS)
    # 14 slots serve 17.5/s of 21/s for 130 s; 0.8 x 66.15 / 1.25 may wait (see `_refused`), the others are refused.
    assert memory.lost[0] == pytest.approx(130 * 3.5 - 0.8 * 66.15 / 1.25, abs=0.1)
    assert memory.lost[len(MARGINS) - 1] < memory.lost[0]
    told = sentence(prices(replace(memory, seconds=DAY), NEEDS))
    assert told.startswith("99.95% ")
    assert "99%" in told
