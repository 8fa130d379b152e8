"""The live policy in made-up worlds: quiet hours, crowds, crashes, outages, several services and clusters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scenarios.worlds import REPEAT, cluster, run, scenario, service
from tidegate.base.errors import SimulationError
from tidegate.model.actions import Publish, Start
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot
from tidegate.sim import world as world_module
from tidegate.sim.baselines.fixed import Static
from tidegate.sim.world import World
from tidegate.spec.resolve import PoolKey

OCR = PoolKey("ocr")


def test_a_quiet_hour_keeps_the_promise():
    result = run()
    pool = result.pools[0]
    assert pool.success > 0.999
    assert pool.total.arrivals == pytest.approx(36_000, rel=0.05)
    assert 0.3 < pool.utilization < 1.0
    assert pool.cost == pytest.approx(pool.replica_hours * 0.03)


def test_every_request_has_one_fate():
    result = run(shape="flash:mean=8,factor=6,length=1h", startup_s=60)
    total = result.pools[0].total
    assert total.arrivals - total.ended <= 40 * 2 + 40 * 2 * 64
    assert total.in_time <= total.finished <= total.arrivals


def test_a_crowd_brings_replicas_and_its_end_takes_them_back():
    result = run(shape="flash:mean=8,factor=5,length=2h,hold=20m")
    bins = result.pools[0].series.bins
    assert max(b.wanted for b in bins) >= 16
    assert bins[-1].wanted <= 10


def test_crashed_replicas_are_replaced_and_their_requests_tried_again():
    result = run(faults=[{"at": "20m", "crash": {"count": 2}}])
    assert len(result.events) == 2
    assert result.pools[0].success > 0.97
    assert result.pools[0].total.failed <= 1, "a request is lost only when its second try is lost, too"


def test_when_a_cluster_goes_down_the_next_one_takes_over():
    here_first = service(placement={"clusters": ["here", "there"]})
    calm = run(here_first, cluster("here"), cluster("there", price=0.3))
    fault = {"at": "20m", "for": "20m", "outage": {"cluster": "here"}}
    struck = run(here_first, cluster("here"), cluster("there", price=0.3), faults=[fault])
    assert struck.pools[0].cost > 2 * calm.pools[0].cost
    assert struck.pools[0].success > 0.9
    after = [b for b in struck.pools[0].series.bins if 1500 < b.at < 2300]
    assert sum(b.in_time for b in after) > 0.99 * sum(b.arrivals for b in after)


def test_a_partition_and_a_blind_gateway_stop_no_traffic():
    faults = [
        {"at": "10m", "for": "10m", "partition": {"cluster": "here"}},
        {"at": "30m", "for": "10m", "blind": {}},
    ]
    result = run(faults=faults)
    assert result.pools[0].success > 0.999
    assert result.pools[0].total.failed == 0


def test_slow_replicas_get_company():
    result = run(faults=[{"at": "20m", "for": "20m", "slow": {"factor": 2}}])
    bins = result.pools[0].series.bins
    wanted = [b.wanted for b in bins if 1500 < b.at < 2400]
    before = [b.wanted for b in bins if 600 < b.at < 1200]
    assert sum(wanted) / len(wanted) > 1.5 * sum(before) / len(before)


def test_a_shrinking_cluster_and_failing_starts_break_no_law():
    faults = [
        {"at": "10m", "for": "15m", "capacity": {"cluster": "here", "factor": 0.1}},
        {"at": "30m", "for": "20m", "failing-starts": {"share": "50%"}},
    ]
    result = run(shape="sine:mean=15,period=20m,length=1h", faults=faults)
    assert result.pools[0].total.arrivals > 0


def test_several_services_share_clusters_and_each_has_its_books():
    result = run(
        service("ocr"),
        service("speech", resources={"cpu": 2, "memory": "2Gi"}),
        cluster("here", cpu=16),
        cluster("there", cpu=32),
        shape={"ocr": "constant:mean=10,length=30m", "speech": "sine:mean=8,period=15m,length=30m"},
    )
    ocr, speech = result.pools
    assert (ocr.key.service, speech.key.service) == ("ocr", "speech")
    assert ocr.success > 0.99
    assert speech.success > 0.9
    assert result.cost == pytest.approx(ocr.cost + speech.cost)


def test_a_baseline_decides_in_the_place_of_the_scaling_policy():
    result = World(scenario(scale={OCR: Static(9)})).run()
    assert {b.wanted for b in result.pools[0].series.bins} == {9}


def test_only_the_measured_part_counts():
    whole, part = run(), run(measure_from_s=1800)
    assert part.pools[0].total.arrivals == pytest.approx(whole.pools[0].total.arrivals / 2, rel=0.05)
    assert part.replica_hours < 0.7 * whole.replica_hours
    assert part.pools[0].waits.total == pytest.approx(part.pools[0].total.arrivals, rel=0.01)


def test_the_same_seed_is_the_same_world_and_another_is_not():
    settings = {"shape": "sine:mean=12,period=20m,length=30m", "faults": [{"at": "10m", "crash": {"count": 1}}]}
    one, again, other = run(**settings), run(**settings), run(**settings, seed=2)
    assert one.numbers() == again.numbers()
    assert one.numbers() != other.numbers()


def test_compiled_and_plain_worlds_are_the_same():
    settings = {"shape": "flash:mean=5,length=20m"}
    assert run(**settings, compile=True).numbers() == run(**settings, compile=False).numbers()


def stopped_by(monkeypatch, tamper) -> str:
    """What the checks say of a policy that does what it must not."""
    real = world_module.tick

    def bad(specs, observed, memory, **more):
        decided = real(specs, observed, memory, **more)
        return tamper(decided, observed)

    monkeypatch.setattr(world_module, "tick", bad)
    with pytest.raises(SimulationError) as caught:
        run(shape="constant:mean=5,length=5m")
    return str(caught.value)


def test_checks_refuse_a_name_that_is_taken(monkeypatch):
    def twice(decided, observed):
        name = observed.replicas[0].id
        return replace(decided, actions=(*decided.actions, Start(name, OCR, "r", "here", "bug")))

    said = stopped_by(monkeypatch, twice)
    assert "the name is taken" in said
    assert REPEAT in said, "a failing run prints the command that repeats it"


def test_checks_refuse_more_than_a_cluster_holds(monkeypatch):
    def flood(decided, _observed):
        extra = tuple(Start(f"x{i}", OCR, "r", "here", "bug") for i in range(100))
        return replace(decided, actions=(*decided.actions, *extra))

    assert "capacity is 64" in stopped_by(monkeypatch, flood)


def test_checks_refuse_traffic_before_a_replica_is_prepared(monkeypatch):
    def early(decided, observed):
        raw = [r for r in observed.replicas if r.prepared != "pass"]
        if not raw:
            return replace(decided, actions=(Start("new", OCR, "r", "here", "bug"),)) if observed.at % 2 else decided
        route = PoolRoute(OCR, None, (Server(raw[0].id, "a:1", 1),), 1, 1.0, 1, 1.0, 1.0, 1.0)
        snapshot = Snapshot.of((ServiceRoute("ocr", None, (route,), 1, True),))  # type: ignore[arg-type]
        return replace(decided, actions=(*decided.actions, Publish(snapshot)))

    with monkeypatch.context() as patch:
        assert "is not prepared" in stopped_by(patch, early)


def test_checks_refuse_more_than_the_manifest_allows(monkeypatch):
    def greedy(decided, _observed):
        plans = tuple(replace(p, wanted=1000) for p in decided.plan.pools)
        return replace(decided, plan=replace(decided.plan, pools=plans))

    assert "maxReplicas is 40" in stopped_by(monkeypatch, greedy)


def test_an_upgrade_under_load_loses_nothing():
    result = run(shape="constant:mean=20,length=40m", faults=[{"at": "10m", "upgrade": {"service": "ocr"}}])
    told = [text for _, text in result.events if "rollout" in text]
    assert "new revision" in told[0]
    assert "all good" in told[-1]
    assert (result.pools[0].total.failed, result.pools[0].total.refused) == (0, 0)


def test_a_cold_system_learns_from_nothing():
    warm, cold = run(), run(cold=True)
    assert cold.pools[0].series.bins[0].ready_s < warm.pools[0].series.bins[0].ready_s
    assert cold.pools[0].total.gave_up + cold.pools[0].total.refused > warm.pools[0].total.refused
