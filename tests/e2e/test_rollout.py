"""Upgrades as a user sees them: real control process, real HAProxy, real replicas, clients that do not stop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.load import Clients
from e2e.system import System, cluster, service, system
from tidegate.model.status import RolloutStatus

FLEET = {"minReplicas": 4, "maxReplicas": 4}
NEAR_FIRST = {"clusters": ["here", "there"]}
# A machine that stands still makes answers slow; here that is no reason to go back.
ROLLOUT = {
    "watchSeconds": 3,
    "verify": {"python": "verify_echo.py"},
    "progressDeadlineSeconds": 600,
    "rollbackOn": {"p95": ">1000x"},
}


def echo(*, watch: float = 3, **env: str) -> dict[str, Any]:
    return service(scaling=FLEET, env=env, rollout=ROLLOUT | {"watchSeconds": watch})


@pytest.fixture
def live(tmp_path: Path) -> Iterator[System]:
    shutil.copy(Path(__file__).with_name("verify_echo.py"), tmp_path)
    with system(tmp_path, echo(), cluster()) as it:
        yield it.ready(4)


def apply(live: System, manifest: dict[str, Any]) -> None:
    live.write(manifest, cluster())
    live.run("apply", "-f", str(live.manifests))


def rollout(live: System) -> RolloutStatus:
    found = live.pool().rollout
    assert found is not None
    return found


def ended(live: System, phase: str) -> RolloutStatus:
    """Wait until a rollout has ended in `phase` and nothing of the other revision is left."""
    live.wait(lambda: rollout(live).history and rollout(live).phase == phase, f"the rollout is {phase}")
    stable = rollout(live).stable
    live.wait(lambda: {r.revision for r in live.pool().replicas} == {stable}, "only one revision is left")
    return rollout(live)


def test_a_good_upgrade_under_load_costs_no_request(live: System):
    with Clients(live.url + "/echo/?sleep=0.02", count=6) as clients:
        live.wait(lambda: clients.total > 50, "requests are answered")
        apply(live, echo(VERSION="2"))
        done = ended(live, "stable")
        sent = clients.total
        live.wait(lambda: clients.total > sent + 50, "requests are answered by the new revision")
    assert clients.failures == []
    assert live.get().json()["version"] == "2"
    assert [r.outcome for r in done.history] == ["done"]
    assert "rolled" not in live.run("rollout", "status", "echo").stdout
    told = [json.loads(line) for line in live.run("events", "--json").stdout.splitlines()]
    phases = [e["text"] for e in told if e["kind"] == "rollout"]
    assert "stable -> adding" in phases[0]
    assert "watching -> stable" in phases[-1]


def test_a_revision_that_fails_its_test_never_answers_and_is_rolled_back(live: System):
    old = rollout(live).stable
    with Clients(live.url + "/echo/?sleep=0.02", count=3) as clients:
        apply(live, echo(VERSION="2", WRONG="1"))
        bad = ended(live, "rolled back")
        assert live.get().json()["version"] == "1"
    assert clients.failures == []
    assert bad.stable == old
    assert "verify failed: the answer is wrong" in bad.reason
    assert all(f"-{bad.target[:4]}-" not in replica for replica in clients.answered)
    assert "verify failed" in live.run("rollout", "history", "echo").stdout


def test_errors_under_traffic_are_rolled_back(live: System):
    with Clients(live.url + "/echo/?sleep=0.02", count=8) as clients:
        live.wait(lambda: clients.total > 50, "requests are answered")
        apply(live, echo(VERSION="2", ERRORS="0.3", watch=20))
        bad = ended(live, "rolled back")
    assert bad.reason.startswith("success")
    assert all(f"-{bad.target[:4]}-" in failure for failure in clients.failures), "only the bad revision failed"
    assert live.pool().ready == 4


def test_a_killed_control_process_continues_a_paused_upgrade_and_can_still_go_back(live: System):
    old = rollout(live).stable
    with Clients(live.url + "/echo/?sleep=0.02", count=3) as clients:
        apply(live, echo(VERSION="2"))
        live.run("rollout", "pause", "echo")
        live.kill()
        live.process = None
        live.up()
        assert rollout(live).paused
        (live.folder / "verify_echo.py").write_text("assert False, 'replicas are tested by what was applied'")
        live.run("rollout", "undo", "echo")
        ended(live, "rolled back")
        victim = live.pool().replicas[0]
        for p in live.processes():
            if p.environ().get("TIDEGATE_REPLICA") == victim.id and "echo_service" in " ".join(p.cmdline()):
                p.kill()
        live.wait(lambda: victim.id not in {r.id for r in live.pool().replicas}, "the killed replica is gone")
        live.ready(4)
        assert {r.revision for r in live.pool().replicas} == {old}, "the old revision is known from the journal"
        live.run("rollout", "retry", "echo")
        ended(live, "stable")
    assert clients.failures == []
    assert live.get().json()["version"] == "2"


def test_a_second_cluster_gets_the_revision_after_the_first_was_watched(tmp_path: Path):
    shutil.copy(Path(__file__).with_name("verify_echo.py"), tmp_path)
    places = [cluster("here", capacity={"cpu": 0.3, "memory": "8Gi"}), cluster("there", region="far")]

    def fleet(**env: str) -> dict[str, Any]:
        return service(scaling={"minReplicas": 5, "maxReplicas": 5}, env=env, rollout=ROLLOUT, placement=NEAR_FIRST)

    with system(tmp_path, fleet(), *places) as live:
        live.ready(5)
        with Clients(live.url + "/echo/?sleep=0.02", count=4) as clients:
            live.write(fleet(VERSION="2"), *places)
            live.run("apply", "-f", str(live.manifests))
            assert rollout(live).waves == (("there",), ("here",))
            assert "wave 1 of 2 (there)" in live.run("rollout", "status", "echo").stdout
            target = rollout(live).target
            while (now := live.pool()).rollout is not None and now.rollout.wave == 0 and not now.rollout.history:
                assert {r.cluster for r in now.replicas if r.revision == target} <= {"there"}
            ended(live, "stable")
        assert clients.failures == []
        told = [json.loads(line) for line in live.run("events", "--json").stdout.splitlines()]
        phases = [e["text"] for e in told if e["kind"] == "rollout"]
        assert sum("wave good: wave 1 of 2 (there)" in text for text in phases) == 1


def test_a_canary_by_header_gets_those_requests_and_no_others(live: System):
    step = {"weight": "25%", "header": {"x-canary": "yes"}, "manual": True}
    rules = ROLLOUT | {"strategy": "canary", "canary": {"steps": [step]}, "watchSeconds": 1}
    live.write(service(scaling=FLEET, env={"VERSION": "2"}, rollout=rules), cluster())
    headers = {"x-canary": "yes"}
    with Clients(live.url + "/echo/?sleep=0.02", count=2) as clients:
        live.run("apply", "-f", str(live.manifests))
        live.wait(lambda: live.get(headers=headers).json()["version"] == "2", "the canary answers")
        versions = [live.get(headers=headers).json()["version"] for _ in range(70)]
        assert set(versions) == {"2"}
        bad = rollout(live).target
        live.wait(lambda: rollout(live).paused, "the step waits for an operator")
        assert live.pool().ready == 5, "the old ones are all still there"
        assert all(f"-{bad[:4]}-" not in replica for replica in clients.answered)
        assert live.pool().arrival_per_s, "a pool and its canary are one to everybody else"
        canary = next(r for r in live.pool().replicas if r.revision == bad)
        with Clients(live.url + "/echo/?sleep=0.2", count=2, headers=headers) as chosen:
            live.wait(lambda: chosen.answered[canary.id] > 0, "the canary is busy")
            for p in live.processes():
                if p.environ().get("TIDEGATE_REPLICA") == canary.id and "echo_service" in " ".join(p.cmdline()):
                    p.kill()
            live.wait(lambda: chosen.answered.keys() > {canary.id}, "the pool stands in")
        assert chosen.failures == []
        live.run("rollout", "resume", "echo")
        ended(live, "stable")
    assert clients.failures == []
    assert live.get().json()["version"] == "2"
