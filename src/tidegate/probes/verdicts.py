"""From single results to a verdict, with Kubernetes' thresholds. Pure: time comes in as `at` (seconds, any origin).

A probe may be looked at more often than its period while a replica starts, so that the moment it becomes ready is not
missed by up to a period. Such early looks can make it pass at once, but count as failures (and as further passes)
only once per period: the time a replica is given stays failureThreshold x periodSeconds, as in Kubernetes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tidegate.model.observed import Verdict
from tidegate.spec.probes import Probe

SLACK = 0.9  # a look that comes this share of a period after the last counted one counts: timers are never exact


@dataclass(frozen=True, slots=True)
class Result:
    """What one look found. `unknown`: the check could not be run, so it says nothing about the replica."""

    verdict: Verdict
    reason: str = ""
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """When a probe changes its mind."""

    period_s: float
    successes: int = 1
    failures: int = 3

    @staticmethod
    def of(probe: Probe) -> Rule:
        return Rule(probe.periodSeconds, probe.successThreshold, probe.failureThreshold)


@dataclass(frozen=True, slots=True)
class Streak:
    """A probe so far: its verdict, results of the same kind in a row, and the last result's reason.

    `counted_at` is when a result last counted; the probe's first period begins with it.
    """

    counted_at: float
    verdict: Verdict = Verdict.UNKNOWN
    passed: int = 0
    failed: int = 0
    last: Result = Result(Verdict.UNKNOWN)


def judge(streak: Streak, rule: Rule, result: Result, at: float) -> Streak:
    """The streak after one more look. An unknown result changes the reason only.

    Worked example, period 10 s, failureThreshold 3, looked at every 50 ms: failures count at 10, 20 and 30 s, so it
    fails at 30 s; a pass at 12.3 s counts at 12.3 s.
    """
    streak = replace(streak, last=result)
    due = at - streak.counted_at >= SLACK * rule.period_s
    if result.verdict is Verdict.PASS:
        if streak.passed and not due:
            return replace(streak, failed=0)
        passed = streak.passed + 1
        verdict = Verdict.PASS if passed >= rule.successes else streak.verdict
        return replace(streak, counted_at=at, verdict=verdict, passed=passed, failed=0)
    if result.verdict is Verdict.FAIL:
        if not due:
            return replace(streak, passed=0)
        failed = streak.failed + 1
        verdict = Verdict.FAIL if failed >= rule.failures else streak.verdict
        return replace(streak, counted_at=at, verdict=verdict, passed=0, failed=failed)
    return streak
