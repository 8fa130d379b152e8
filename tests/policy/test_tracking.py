"""The rate is followed: calm when traffic is calm, quick when it is not, sure of itself only when it may be."""

from __future__ import annotations

import math

from tidegate.policy.tracking import Outlook, advance, first_beliefs, outlook

UNIT = 1.25  # requests/s that keep one slot of 0.8 s busy


def follow(rates: list[float | None], horizon_s: float = 120.0) -> Outlook:
    bank = first_beliefs(rates[0] or 0.0)
    for rate in rates:
        bank = advance(bank, rate, 10.0, UNIT)
    return outlook(bank, horizon_s, UNIT)


def test_a_steady_rate_is_known_within_a_few_per_cent():
    noisy = [15 + 1.2 * math.sin(i * 2.4) for i in range(200)]
    got = follow(noisy)
    assert abs(got.now - 15) < 0.6
    assert got.spread < 1.5


def test_a_ramp_is_expected_to_go_on():
    got = follow([15.0] * 60 + [15 + 0.5 * i for i in range(24)])
    assert got.now > 25
    assert got.then > got.now + 3


def test_a_step_is_followed_within_twenty_seconds():
    assert follow([15.0] * 60 + [45.0] * 2).now > 40


def test_not_measured_is_less_sure_and_not_less():
    before, after = follow([15.0] * 60), follow([15.0] * 60 + [None] * 30)
    assert after.spread > before.spread
    assert abs(after.now - before.now) < 0.5


def test_silence_ends_at_nothing():
    got = follow([5.0] * 30 + [0.0] * 120)
    assert 0 <= got.now < 0.1
    assert 0 <= got.then < 0.2


def test_a_chance_cluster_of_a_small_service_is_no_jump():
    slow, few = 1 / 28.7, [0.3, 0.2, 0.4, 0.3, 0.5, 0.1, 0.3, 0.3] * 12  # three requests in ten seconds keep nine busy
    calm = bank = first_beliefs(0.3)
    for rate in few:
        calm, bank = bank, advance(bank, rate, 10.0, slow)
    chance, jump = advance(bank, 0.9, 10.0, slow), bank
    for _ in range(3):
        jump = advance(jump, 3.0, 10.0, slow)
    assert outlook(chance, 90.0, slow).now < 1.5 * outlook(calm, 90.0, slow).now
    assert outlook(jump, 90.0, slow).now > 2.0, "ten times as many again and again are one"
