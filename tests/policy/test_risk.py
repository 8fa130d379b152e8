"""Which margin is chosen, and what the imagined pools live through."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tidegate.policy.price import prices, sentence
from tidegate.policy.risk import (
    CANDIDATES,
    FLOORS,
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
    assert margins == [0.5, 1.0, 1.75]


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


ORDINARY = len(MARGINS) + len(FLOORS)
FORTNIGHT = 15 * 14 * DAY * 0.0005  # what the promise allows of 15 requests/s for two weeks


def losses(able: dict[tuple[float, float], float], others: float, spent: float = 0.0) -> list[float]:
    """Lost requests of each candidate, in units of what the promise allows in two weeks, and of the pool in use."""
    return [FORTNIGHT * able.get(c, others) for c in CANDIDATES] + [FORTNIGHT * spent]


def test_a_floor_is_kept_where_no_margin_is_enough():
    able = {(1.5, 0.35): 0.0, (1.5, 0.5): 0.0, (1.5, 0.7): 0.0, (5.0, 0.7): 0.0, (24.0, 0.0): 0.0}
    assert chosen(14 * DAY, losses(able, 60.0)) == (1.5, 0.35), "the cheapest that keeps the promise"


def test_where_traffic_jumps_a_fifth_of_the_allowance_is_planned_with():
    assert chosen(14 * DAY, losses({(1.5, 0.35): 0.9, (1.5, 0.5): 0.3, (1.5, 0.7): 0.19}, 60.0)) == (1.5, 0.7)
    assert chosen(14 * DAY, losses({(1.5, 0.35): 0.9, (1.5, 0.5): 0.3}, 60.0)) == (1.5, 0.5), "else what keeps it"


def test_what_a_floor_lost_before_jumps_were_a_habit_counts_for_little():
    quiet, storm = Outlook(1.0, 1.0, 0.1), Outlook(100.0, 100.0, 0.1)
    memory, at, before = first_risk(), 0.0, []
    for _ in range(3):
        for _ in range(1000):
            memory = advance(memory, 10.0, at := at + 10.0, 10.0, quiet, NEEDS)
        before.append(memory)
        for _ in range(30):
            memory = advance(memory, 1000.0, at := at + 10.0, 10.0, storm, NEEDS)
    floor = CANDIDATES.index((1.5, 0.9))
    first, second, third = (m.lost[floor] for m in before)
    assert first == 0.0
    assert second > 1000.0, "the first storm was new to all"
    assert third < 0.3 * second, "a floor that knows the height of storms is judged by what it loses from then on"
    margin = MARGINS.index(8.0)
    assert before[2].lost[margin] > before[1].lost[margin], "a margin knows no height"


def test_where_no_margin_up_to_eight_is_enough_only_what_keeps_the_promise_counts():
    assert chosen(14 * DAY, losses({(16.0, 0.0): 0.9}, 1.1)) == (16.0, 0.0)
    # A small margin costs 2/3 of it and loses 0.1% more: less at 150 a request lost, more at 1 / 0.05%.
    nothing_able = {(24.0, 0.0): 1.1}
    out_of_reach = {(24.0, 0.0): 11.0}
    assert chosen(14 * DAY, losses(nothing_able, 3.1)) == (24.0, 0.0)
    assert chosen(14 * DAY, losses(nothing_able, 1.15))[0] < 1, "next to nothing better, and dearer"
    assert chosen(14 * DAY, losses(out_of_reach, 13.0))[0] < 1, "a promise out of reach is not paid for"


def test_wide_margins_are_out_of_reach_while_a_margin_below_five_is_enough():
    rng = random.Random(1)
    for _ in range(2000):
        lost = losses({c: 3.0 * rng.random() for c in CANDIDATES}, 0.0, 2.0 * rng.random())
        margin = rng.randrange(MARGINS.index(5.0))
        lost[margin] = 0.0
        cost = [rng.random() * 14 * DAY for _ in CANDIDATES]
        assert choose(lost, cost, 15 * 14 * DAY, 14 * DAY, 0.0005, 120.0) < ORDINARY


def test_after_a_broken_promise_nothing_is_weighed_that_breaks_it():
    lost = {(3.0, 0.0): 0.45, (4.0, 0.0): 0.0}
    cost = [7 * 14 * DAY * (2.0 if i >= 10 else 1.0 + 0.001 * i) for i in range(len(CANDIDATES))]

    def margin(spent: float) -> float:
        found = choose(losses(lost, 1.2, spent), cost, 15 * 14 * DAY, 14 * DAY, 0.0005, 120.0)
        return CANDIDATES[found][0]

    assert margin(0.9) < 3.0, "kept so far: half the cost for 0.04% more lost"
    assert margin(1.1) >= 3.0


def test_a_jump_in_the_first_hours_is_no_habit():
    hours = [chosen(h * 3600.0, [9e9] * ORDINARY + [0.0] * (POOLS - ORDINARY))[0] for h in (1, 15, 17, 24)]
    assert max(hours[:2]) < 4.0
    assert hours[2:] == [12.0, 12.0]


def test_a_jump_that_came_once_is_no_habit():
    lost = [9e9] * ORDINARY + [0.0] * (POOLS - ORDINARY)
    cost = [c * 14 * DAY * 7 for c in COST]

    def margin(habit: bool) -> float:
        return CANDIDATES[choose(lost, cost, 15 * 14 * DAY, 14 * DAY, 0.0005, 120.0, habit=habit)][0]

    assert margin(False) < 8.0
    assert margin(True) == 12.0


def test_jumps_are_counted_by_occasions_and_fade():
    memory, calm = first_risk(), Outlook(15.0, 15.0, 0.3)

    def live(memory, hours: float, rate: float = 150.0):  # type: ignore[no-untyped-def]
        at = memory.seconds
        for i in range(1, round(hours * 360) + 1):
            memory = advance(memory, rate, 1e9 + at + 10.0 * i, 10.0, calm, NEEDS)
        return memory

    memory = live(live(live(memory, 9), 0.05, 900.0), 0.2)
    once = live(memory, 0.05, 900.0)
    assert 0.9 < once.jumps < 1.1, "a quarter of an hour later it is the same jump"
    twice = live(live(once, 5), 0.05, 900.0)
    assert 1.9 < twice.jumps < 2.1


def test_a_jump_that_a_schedule_was_ready_for_costs_no_margin_anything():
    ready, surprised, calm = first_risk(), first_risk(), Outlook(15.0, 15.0, 0.3)
    for i in range(1, 3000):
        ready = advance(ready, 150.0, 10.0 * i, 10.0, calm, NEEDS, least=40 if i > 2900 else 1)
        surprised = advance(surprised, 150.0, 10.0 * i, 10.0, calm, NEEDS)
    for i in range(3000, 3030):
        ready = advance(ready, 900.0, 10.0 * i, 10.0, calm, NEEDS, least=40)
        surprised = advance(surprised, 900.0, 10.0 * i, 10.0, calm, NEEDS)
    assert not any(ready.lost)
    assert all(surprised.lost[: len(MARGINS)])


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
