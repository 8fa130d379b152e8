"""Staffing against values known from the literature and its own laws."""

from __future__ import annotations

import math

import pytest

from tidegate.policy.staffing import erlang_b, erlang_c, late_share, margin, staff


@pytest.mark.parametrize(
    ("slots", "offered", "share"),
    [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (10, 8.0, 0.4092), (100, 90.0, 0.2169)],
    ids=["M/M/1 waits with its load", "M/M/2 by hand", "ten agents", "hundred agents"],
)
def test_erlang_c_matches_known_values(slots: int, offered: float, share: float):
    assert erlang_c(slots, offered) == pytest.approx(share, rel=1e-3)


def test_erlang_b_matches_the_telephone_table():
    assert erlang_b(10, 4.461) == pytest.approx(0.01, rel=1e-2)  # 10 lines carry 4.46 erlangs at 1% blocking


def test_one_exponential_server_waits_as_the_formula_says():
    # M/M/1: P(wait > t) = load x exp(-(1 - load) t / service); with constant 0 s of service left over it is exact
    share = late_share(1, 0.5, 1.0, 0.0001, 5.0)
    assert share == pytest.approx(0.5 * math.exp(-0.5 * 4.0 / 0.5), rel=0.01)  # cv 0: the wait is half as long


def test_a_generous_promise_lets_slots_be_busy():
    assert staff(12.0, 0.8, 0.5, 5.0, 0.9995).slots == 13


def test_pools_of_thousands_are_staffed():
    got = staff(5000.0, 0.8, 0.5, 5.0, 0.9995)
    assert got.kept
    assert 5000 < got.slots < 5010


def test_a_promise_shorter_than_the_service_cannot_be_kept_and_is_staffed_all_the_same():
    got = staff(12.0, 2.0, 0.5, 1.0, 0.9995)
    assert not got.kept
    assert got.reachable < 0.2
    assert 12 < got.slots < 24


@pytest.mark.parametrize("within_s", [1.5, 5.0, 30.0])
@pytest.mark.parametrize("success", [0.99, 0.9995])
def test_more_load_never_needs_fewer_slots(within_s: float, success: float):
    needed = [staff(a / 4, 0.8, 0.5, within_s, success).slots for a in range(1, 400)]
    assert needed == sorted(needed)


def test_the_margin_is_what_the_slots_are_above_the_load():
    for offered in (0.3, 1.0, 5.0, 12.0, 80.0, 700.0):
        spare = margin(offered, 0.8, 0.5, 5.0, 0.9995)
        slots = staff(offered, 0.8, 0.5, 5.0, 0.9995).slots
        assert 0 < spare < 1.2
        assert slots - 1 <= math.ceil(offered + spare) <= slots + 1
