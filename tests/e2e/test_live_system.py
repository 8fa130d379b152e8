"""The whole system as a user runs it: real control process, real HAProxy, real replicas."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from e2e.load import Clients
from e2e.system import PATIENCE_S, System, cluster, service, system
from free_ports import free_port


@pytest.fixture
def live(tmp_path: Path) -> Iterator[System]:
    with system(tmp_path, service(scaling={"minReplicas": 2, "maxReplicas": 6}), cluster()) as it:
        yield it.ready(2)


def test_from_manifest_to_answer_and_ctrl_c_leaves_nothing_behind(live: System):
    answer = live.get()
    assert answer.status_code == 200
    assert answer.json()["replica"] == answer.headers["x-tidegate-replica"]
    assert answer.headers["x-request-id"]
    assert live.interrupt() == 0
    assert live.processes() == []


def test_a_replica_killed_in_mid_request_costs_no_answer(live: System):
    body = os.urandom(5 * 2**20)
    answers: list[httpx.Response] = []

    def send() -> None:
        answers.append(httpx.post(live.url + f"/echo/?until={killed}", content=body, timeout=PATIENCE_S))

    killed = live.folder / "killed"
    client = threading.Thread(target=send)
    client.start()
    live.wait(lambda: any(r.in_flight for r in live.pool().replicas), "the request is on a replica")
    victim = next(r for r in live.pool().replicas if r.in_flight)
    for p in live.processes():
        if p.environ().get("TIDEGATE_REPLICA") == victim.id and "echo_service" in " ".join(p.cmdline()):
            p.kill()
    killed.touch()
    client.join(PATIENCE_S)
    assert answers[0].status_code == 200
    assert answers[0].json()["got"] == len(body)
    assert answers[0].json()["replica"] != victim.id
    live.ready(2)


def test_a_load_from_the_command_line_is_counted_by_pool(live: System):
    told = json.loads(
        live.run("bench", "echo", "--trace", "constant:mean=20,length=2s", "--path", "?sleep=0.01", "--json").stdout
    )
    (seen,) = told["pools"]
    assert seen["pool"] == "echo/default"
    assert seen["codes"] == {"200": told["sent"]}
    assert set(seen["replicas"]) <= {r.id for r in live.pool().replicas}
    assert told["sent"] > 0


def test_killing_the_control_process_leaves_traffic_flowing_and_the_next_start_adopts(live: System):
    pids = {r.id: r.address for r in live.pool().replicas}
    with Clients(live.url + "/echo/?sleep=0.02") as clients:
        live.kill()
        sent = clients.total
        live.process = None
        live.wait(lambda: clients.total > sent + 50, "requests are answered without a control process")
        live.up().ready(2)
        again = clients.total
        live.wait(lambda: clients.total > again + 50, "requests are answered after adoption")
    assert clients.failures == []
    now = {r.id: r.address for r in live.pool().replicas}
    assert pids.items() <= now.items(), "the replicas that ran were adopted, not replaced"


def test_apply_adds_changes_and_removes_services_without_a_failed_request(live: System):
    two = {"minReplicas": 2, "maxReplicas": 6}
    with Clients(live.url + "/echo/?sleep=0.01") as clients:
        live.write(service(scaling=two), service("second"), cluster())
        live.run("apply", "-f", str(live.manifests))
        live.ready(1, "second")
        assert live.get("/second/").status_code == 200
        live.write(service(scaling=two, env={"VERSION": "2"}), service("second"), cluster())
        live.run("apply", "-f", str(live.manifests))
        live.wait(lambda: live.get().json()["version"] == "2", "the new revision answers")
        revision = live.pool().revision
        live.wait(lambda: {r.revision for r in live.pool().replicas} == {revision}, "the old revision is gone")
        live.write(service(scaling=two, env={"VERSION": "2"}), cluster())
        live.run("apply", "-f", str(live.manifests), "--prune")
        live.wait(lambda: live.get("/second/").status_code == 404, "the removed service is gone")
        live.wait(lambda: len(live.processes()) > 0, "the first one still runs")
    assert clients.failures == []
    assert clients.total > 100


def test_a_request_starts_the_first_replica_and_idleness_stops_the_last(tmp_path: Path):
    quick = {"scaleDown": {"stabilizationWindowSeconds": 1}}
    scaling = {"minReplicas": 0, "maxReplicas": 2, "scaleToZeroAfterSeconds": 1, "behavior": quick}
    with system(tmp_path, service(scaling=scaling), cluster()) as live:
        assert live.pool().ready == 0
        answer = live.get()
        assert answer.status_code == 200, answer.text
        live.ready(0)
        live.wait(lambda: live.pool().replicas == (), "the last replica is gone")


def test_what_does_not_fit_is_pending_and_said(tmp_path: Path):
    big = service(scaling={"minReplicas": 3, "maxReplicas": 3}, resources={"cpu": 1, "memory": "64Mi"})
    with system(tmp_path, big, cluster(capacity={"cpu": 2, "memory": "1Gi"})) as live:
        live.ready(2)
        assert live.pool().pending == 1
        assert any("no room" in r.text for r in live.pool().reasons)
        assert live.get().status_code == 200


def test_a_service_that_cannot_start_says_why_and_backs_off(tmp_path: Path):
    with system(tmp_path, service(command=["/no/such/program"]), service("echo2"), cluster()) as live:
        live.ready(1, "echo2")
        live.wait(lambda: any(r.topic == "back-off" for r in live.pool().reasons), "it backs off")
        told = live.run("explain", "echo", "--json")
        assert "/no/such/program" in told.stdout


def test_a_replica_that_fails_readiness_gets_no_requests(tmp_path: Path):
    with system(tmp_path, service(env={"FAIL_HEALTH": "1"}, queue={"startWaitSeconds": 2}), cluster()) as live:
        answer = live.get()
        assert answer.status_code == 503
        assert answer.json()["error"]["code"]
        assert live.pool().ready == 0


def test_commands_tell_what_runs(live: System):
    status = json.loads(live.run("status", "--json").stdout)
    assert status["services"][0]["pools"][0]["ready"] == 2
    assert "echo" in live.run("status").stdout
    live.get()
    replica = live.pool().replicas[0].id
    assert "serving" in live.run("logs", "echo").stdout
    told = live.run("drain", replica).stdout
    assert replica in told
    live.wait(lambda: replica not in {r.id for r in live.pool().replicas}, "the drained replica is gone")
    live.ready(2)


def test_a_second_start_on_the_same_state_is_refused_with_a_sentence(live: System):
    other = live.run("up", "-f", str(live.manifests), "--port", str(free_port()), check=False)
    assert other.returncode != 0
    assert "Traceback" not in other.stderr + other.stdout
    assert live.get().status_code == 200


def test_sigterm_stops_everything_too(live: System):
    assert live.process is not None
    live.process.send_signal(signal.SIGTERM)
    assert live.process.wait(PATIENCE_S) == 0
    assert live.processes() == []
