"""From single results to a verdict, with Kubernetes' thresholds. Pure, and without any notion of time.

A probe may be looked at more often than its period while a replica starts, so that the moment it becomes ready is not
missed by up to a period. Such early looks can make it pass at once, but failures (and further passes) count only when
it is the probe's turn, once per period: the time a replica is given stays failureThreshold x periodSeconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tidegate.model.observed import Verdict
from tidegate.spec.probes import Probe


@dataclass(frozen=True, slots=True)
class Result:
    """What one look found. `unknown`: the check could not be run, so it says nothing about the replica."""

    verdict: Verdict
    reason: str = ""
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """When a probe changes its mind: so many results of a kind in a row."""

    successes: int = 1
    failures: int = 3

    @staticmethod
    def of(probe: Probe) -> Rule:
        return Rule(probe.successThreshold, probe.failureThreshold)


@dataclass(frozen=True, slots=True)
class Streak:
    """A probe so far: its verdict, counted results of the same kind in a row, and the last result."""

    verdict: Verdict = Verdict.UNKNOWN
    passed: int = 0
    failed: int = 0
    last: Result = Result(Verdict.UNKNOWN)


def judge(streak: Streak, rule: Rule, result: Result, *, its_turn: bool) -> Streak:
    """The streak after one more look. An unknown result changes the reason only.

    Worked example, period 10 s, failureThreshold 3, looked at every 50 ms: failures count at 10, 20 and 30 s, so it
    fails at 30 s; a pass at 12.3 s counts at 12.3 s.
    """
    streak = replace(streak, last=result)
    if result.verdict is Verdict.PASS:
        passed = streak.passed + 1 if its_turn or not streak.passed else streak.passed
        verdict = Verdict.PASS if passed >= rule.successes else streak.verdict
        return replace(streak, verdict=verdict, passed=passed, failed=0)
    if result.verdict is Verdict.FAIL:
        failed = streak.failed + 1 if its_turn else streak.failed
        verdict = Verdict.FAIL if failed >= rule.failures else streak.verdict
        return replace(streak, verdict=verdict, passed=0, failed=failed)
    return streak
