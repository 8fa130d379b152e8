"""The numbers of the made-up hour, each against the sum done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from report.story import WINDOW, T, entries, load, specs
from tidegate.model.journal import Entry, Kind
from tidegate.model.lifecycle import PHASES
from tidegate.report.durations import phases
from tidegate.report.loads import intervals, peak_arrivals_per_s, rate_points
from tidegate.report.measure import report
from tidegate.report.values import Window


def nobody(*_: object) -> None:
    """No simulation."""


def made(found: list[Entry] | None = None, window: Window = WINDOW):
    return report(entries() if found is None else found, specs(), window, nobody)


def pool(name: str, **given):
    return next(p for p in made(**given).pools if p.pool == name)


def test_replica_hours_count_from_the_start_until_nothing_is_left():
    # a 0..3600, b 600..2430, c 600..2460
    assert pool("default").replica_h == pytest.approx((3600 + 1830 + 1860) / 3600)
    assert pool("default").mean_replicas == pytest.approx(7290 / 3600)


def test_cost_is_replica_hours_times_the_price_of_cluster_and_resources():
    # 1 core at 0.03 and 1 GiB at 0.01
    assert pool("default").cost == pytest.approx(7290 / 3600 * 0.04)
    assert pool("default").unpriced_h == 0


def test_without_a_price_there_is_no_cost_and_the_total_says_what_is_missing():
    large, total = pool("large"), made().total
    assert large.cost is None
    assert large.unpriced_h == pytest.approx((1065 + 2600) / 3600)
    assert total.cost == pytest.approx(7290 / 3600 * 0.04)
    assert total.unpriced_h == large.unpriced_h


def test_utilisation_is_work_done_by_the_slots_paid_for():
    # 5080 requests of 1 s; two slots each for 7290 s alive, of them 3570 + 1740 + 1680 s ready
    assert pool("default").utilisation == pytest.approx(5080 / (2 * 7290))
    assert pool("default").utilisation_ready == pytest.approx(5080 / (2 * 6990))


def test_success_counts_every_request_that_ended_in_any_way():
    traffic = pool("default").traffic
    assert (traffic.arrivals, traffic.ended, traffic.in_time) == (5100, 5100, 5070)
    assert traffic.success == pytest.approx(5070 / 5100)
    assert pool("large").traffic.success is None


def test_the_static_fleet_has_its_peak_at_seventy_per_cent():
    # 1800 requests in ten minutes: 3/s of 1 s each are 3 slots; 3 / 0.7 / 2 slots a replica = 2.14, so 3 replicas
    static = pool("default").static
    assert (static.replicas, static.replica_h) == (3, 3.0)
    assert static.cost == pytest.approx(3 * 0.04)
    assert static.utilisation == pytest.approx(5080 / (3 * 2 * 3600))
    assert static.success is None


def test_a_static_fleet_keeps_one_replica_where_nothing_is_asked():
    large = pool("large").static
    assert (large.replicas, large.replica_h, large.utilisation) == (1, 1.0, 0)
    assert made().total.static.replicas == 4


def test_there_is_no_static_total_when_a_pool_was_not_measured():
    seen = [e for e in entries() if not (e.kind == "load" and e.pool == "large")]
    assert made(found=seen).total.static is None


def test_the_static_fleet_is_simulated_with_what_was_measured():
    asked = []
    report(entries(), specs(), WINDOW, lambda _, case: asked.append(case) or 0.75)
    (case,) = asked
    assert (case.replicas, case.slots, case.within_s, case.seconds, case.requests) == (3, 2, 2.0, 3600, 5100)
    assert (case.service_s_mean, case.service_cv) == (pytest.approx(1.0), pytest.approx(0.5))
    assert case.rate[:4] == ((0, 0.5), (600, 0.5), (600, 2.0), (1200, 2.0))


def test_the_static_fleet_is_not_charged_for_hours_nobody_measured():
    def quiet_but(n: int) -> Entry:
        return replace(load("default", 10 * n, 0), data={"interval_s": 10.0, "arrivals": 300 * (n == 40)})

    seen = [quiet_but(n) for n in range(1, 100)]
    assert peak_arrivals_per_s(intervals(seen, T, T + 3600)) == pytest.approx(1.0)
    assert peak_arrivals_per_s(()) == 0


def test_nothing_is_made_up_for_a_gap():
    seen = intervals([load("default", 600, 60), load("default", 3000, 60)], T, T + 3600)
    points = rate_points(seen, T)
    assert points == ((0, 0.1), (600, 0.1), (600, 0), (2400, 0), (2400, 0.1), (3000, 0.1))


def test_the_phases_of_starts_are_told_by_their_95th_percentile():
    took = [(0.1, 5.0, 1.0, 0.2, 0.0, 0.05), (0.2, 6.0, 1.0, 0.2, 0.0, 0.05)]
    entries = [Entry(100.0 + i, Kind.PHASE, "ocr", "default", data={"phases_s": list(t)}) for i, t in enumerate(took)]
    other = Entry(101.0, Kind.PHASE, "ocr", "default", data={"phases_s": []})  # the step of a stop
    found = phases([*entries, other], 0.0, 200.0)
    assert found.p95_s() == dict(zip(PHASES, took[1], strict=True))
    assert phases(entries, 0.0, 50.0).p95_s() == {}
