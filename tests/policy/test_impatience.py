"""Erlang A against its balance equations, limits and laws (against simulation: tests/sim/test_staffing_holds.py)."""

from __future__ import annotations

import pytest

from tidegate.policy.impatience import gives_up
from tidegate.policy.staffing import erlang_b


def by_states(slots: int, offered: float, leaving: float, states: int = 4000) -> float:
    """Straight from the balance equations, state by state."""
    chances, queue = [1.0], 0.0
    for n in range(1, states):
        chances.append(chances[-1] * offered / (min(n, slots) + max(0, n - slots) * leaving))
    total = sum(chances)
    queue = sum(max(0, n - slots) * chance for n, chance in enumerate(chances))
    return leaving * queue / total / offered


@pytest.mark.parametrize("slots", [1, 2, 10, 100])
@pytest.mark.parametrize("load", [0.3, 0.9, 1.0, 1.2])
@pytest.mark.parametrize("patience", [0.5, 2.0, 6.25])
def test_it_is_what_the_balance_equations_say(slots: int, load: float, patience: float):
    expected = by_states(slots, slots * load, 1 / patience)
    assert gives_up(slots, slots * load, 1.0, patience) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_one_slot_and_patience_of_one_service_is_a_poisson_number_of_requests():
    # death rates n: the number in the system is Poisson(1); 1 - P(busy) / offered = 1 - (1 - 1/e)
    assert gives_up(1, 1.0, 1.0, 1.0) == pytest.approx(0.36788, abs=1e-5)


@pytest.mark.parametrize("slots", [1, 10, 1000])
def test_without_patience_it_is_the_loss_formula_and_with_much_the_slots_that_lack(slots: int):
    assert gives_up(slots, 0.9 * slots, 1.0, 1e-9) == pytest.approx(erlang_b(slots, 0.9 * slots), rel=1e-3)
    assert gives_up(slots, 1.5 * slots, 1.0, 1e6) == pytest.approx(1 / 3, rel=1e-3)


def test_large_pools_and_hopeless_ones():
    assert gives_up(1000, 900.0, 0.8, 5.0) < 1e-4
    assert gives_up(1000, 2500.0, 0.8, 5.0) == pytest.approx(0.6, abs=1e-3)
    assert gives_up(5, 1e6, 0.8, 5.0) == pytest.approx(1.0, abs=1e-5)
    assert gives_up(0, 5.0, 0.8, 5.0) == 1.0
    assert gives_up(5, 0.0, 0.8, 5.0) == 0.0


def test_more_slots_never_lose_more():
    shares = [gives_up(slots, 100.0, 0.8, 5.0) for slots in range(60, 140)]
    assert shares == sorted(shares, reverse=True)


def test_the_worked_example():
    shares = [round(gives_up(slots, 100.0, 0.8, 5.0), 3) for slots in (80, 100, 110)]
    assert shares == [0.2, 0.023, 0.003]
