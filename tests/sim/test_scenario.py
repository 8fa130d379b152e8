"""Promises and bounds that no policy can keep are told before a run."""

from __future__ import annotations

import pytest

from scenarios.worlds import cluster, scenario, service
from tidegate.sim.requests import ServiceTime
from tidegate.sim.scenario import quantile_s, share_longer, warnings


def test_a_promise_shorter_than_the_service_time_is_named_with_what_would_do():
    hard = service(promise={"within": "1s", "success": 0.999})
    (said,) = warnings(scenario(hard, cluster("here")))
    assert "no number of replicas can keep 99.90%" in said
    assert "Raise promise.within above 3." in said


def test_too_few_replicas_for_the_peak_are_named():
    small = service(scaling={"minReplicas": 1, "maxReplicas": 2})
    (said,) = warnings(scenario(small, cluster("here"), shape="constant:mean=20,length=10m"))
    assert "the peak keeps 8 replicas busy, maxReplicas is 2" in said


def test_a_promise_that_can_be_kept_is_not_commented():
    assert warnings(scenario()) == ()


@pytest.mark.parametrize(
    "work",
    [
        ServiceTime(0.8, 0.5),
        ServiceTime(0.8, kind="exponential"),
        ServiceTime.empirical([i / 1000 for i in range(1, 2001)]),
    ],
    ids=["lognormal", "exponential", "empirical"],
)
def test_the_quantile_is_where_that_share_is_longer(work):
    assert share_longer(work, quantile_s(work, 0.95)) == pytest.approx(0.05, abs=0.002)
