"""Thresholds: when single results change a probe's mind. No time passes; every result says when it came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.model.observed import Verdict
from tidegate.probes.pace import early_pause_s, next_turn_s, phase
from tidegate.probes.verdicts import Result, Rule, Streak, judge

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
WORDS = {"p": PASS, "f": FAIL, "u": UNKNOWN}


def after(results: str, rule: Rule, turn_every: int = 1) -> Streak:
    """The streak after these looks, of which every `turn_every`th is the probe's turn and the others are early."""
    streak = Streak()
    for number, letter in enumerate(results, start=1):
        streak = judge(streak, rule, Result(WORDS[letter], letter), its_turn=number % turn_every == 0)
    return streak


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        pytest.param("", UNKNOWN, id="nothing yet"),
        pytest.param("p", PASS, id="one pass is enough"),
        pytest.param("ff", UNKNOWN, id="two failures are not yet a verdict"),
        pytest.param("fff", FAIL, id="three are"),
        pytest.param("ffpff", PASS, id="a pass in between starts over"),
        pytest.param("pfff", FAIL, id="passed, then failed"),
        pytest.param("pfffp", PASS, id="recovered at the first pass"),
        pytest.param("ffuf", FAIL, id="an unknown result is passed over"),
        pytest.param("puuuuu", PASS, id="a check that cannot run changes nothing"),
    ],
)
def test_kubernetes_defaults_at_one_look_a_period(results, verdict):
    assert after(results, Rule(successes=1, failures=3)).verdict is verdict


def test_the_success_threshold_counts_passes_in_a_row():
    rule = Rule(successes=3, failures=1)
    assert after("ppfpp", rule).verdict is FAIL
    assert after("ppfppp", rule).verdict is PASS


def test_early_looks_leave_a_replica_its_full_time():
    assert after("f" * 599, Rule(failures=3), turn_every=200).verdict is UNKNOWN
    assert after("f" * 600, Rule(failures=3), turn_every=200).verdict is FAIL


def test_an_early_pass_counts_at_once():
    assert after("f" * 20 + "p", Rule(), turn_every=200).verdict is PASS


def test_early_passes_do_not_stand_in_for_several_periods():
    assert after("p" * 20, Rule(successes=3), turn_every=200).verdict is UNKNOWN


def test_the_latest_reason_is_kept_also_when_it_does_not_count():
    assert after("fu", Rule(), turn_every=200).last.reason == "u"


@given(st.text("pfu", max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_laws(results, successes, failures):
    rule = Rule(successes, failures)
    streak = after(results, rule)
    known = results.replace("u", "")
    if streak.verdict is PASS:
        assert "p" * successes in known
    if streak.verdict is FAIL:
        assert "f" * failures in known
    if known.endswith("f" * failures):
        assert streak.verdict is FAIL
    if known.endswith("p" * successes):
        assert streak.verdict is PASS
    assert after(results + "u", rule).verdict is streak.verdict


def test_a_starting_replica_is_looked_at_within_100_ms():
    assert all(early_pause_s(w, 20, process=False) <= 0.1 for w in (0, 1, 5, 10))


def test_many_starting_replicas_share_a_bounded_number_of_looks():
    assert 1000 / early_pause_s(0, 1000, process=False) <= 500


def test_a_thousand_replicas_are_spread_over_the_period():
    tenths = [0] * 10
    for n in range(1000):
        tenths[int(phase(f"web-{n}", "readiness") * 10)] += 1
    assert min(tenths) > 60


@given(st.floats(0, 1e6), st.floats(0.05, 100), st.floats(0, 0.999))
def test_the_next_turn_is_within_one_period(at, period_s, turn):
    assert 0 < next_turn_s(at, period_s, turn) <= period_s * (1 + 1e-9)
