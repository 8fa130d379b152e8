"""Fixed patience: limits, laws, and a hand calculation (against simulation: tests/sim/test_staffing_holds.py)."""

from __future__ import annotations

import math

import pytest

from tidegate.policy.impatience import gives_up
from tidegate.policy.staffing import erlang_b


def test_one_slot_by_hand():
    # load 0.8, patience 5 services: B = 4/9, spare 0.2, e^-1 = 0.368; 0.368 / (1.25 + 0.632 / 0.2 + 0.368)
    beyond = math.exp(-1.0)
    assert gives_up(1, 0.8, 1.0, 5.0) == pytest.approx(beyond / (1.25 + (1 - beyond) / 0.2 + beyond))


@pytest.mark.parametrize("slots", [1, 10, 1000])
def test_without_patience_it_is_the_loss_formula_and_with_much_the_slots_that_lack(slots: int):
    assert gives_up(slots, 0.9 * slots, 1.0, 0.0) == pytest.approx(erlang_b(slots, 0.9 * slots))
    assert gives_up(slots, 1.5 * slots, 1.0, 1e6) == pytest.approx(1 / 3)
    assert gives_up(slots, 0.5 * slots, 1.0, 1e6) == 0.0


def test_large_pools_and_hopeless_ones():
    assert gives_up(1000, 900.0, 0.8, 5.0) < 1e-12
    assert gives_up(1000, 2500.0, 0.8, 5.0) == pytest.approx(0.6)
    assert gives_up(5, 1e6, 0.8, 5.0) == pytest.approx(1.0, abs=1e-5)
    assert gives_up(0, 5.0, 0.8, 5.0) == 1.0
    assert gives_up(5, 0.0, 0.8, 5.0) == 0.0


def test_more_slots_never_lose_more():
    shares = [gives_up(slots, 100.0, 0.8, 5.0) for slots in range(60, 140)]
    assert shares == sorted(shares, reverse=True)


def test_the_worked_examples():
    assert [round(gives_up(slots, 100.0, 0.8, 5.0), 3) for slots in (80, 100)] == [0.2, 0.002]
    assert round(gives_up(4, 4.0, 1.0, 5.0), 3) == 0.043
