"""How a replica is stopped, as an operator sees it: order and times, over a restart of the control process."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx

from e2e.system import PATIENCE_S, System, cluster, service, system

STEPS = ["draining", "no new requests", "last request has ended", "told to stop", "preStop", "SIGTERM", "gone"]


def steps(live: System, replica: str) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in live.run("events", "--json").stdout.splitlines()]
    mine = [e for e in told if e["subject"] == replica and e["kind"] in ("transition", "phase")]
    return [e for e in mine if any(step in e["text"] for step in STEPS) and "serves" not in e["text"]]


def test_a_drained_replica_ends_its_request_and_every_step_is_told_in_order(tmp_path: Path):
    spec = {"preStop": ["sleep", "0.2"], "scaling": {"minReplicas": 1, "maxReplicas": 2}}
    spec |= {"requestTimeoutSeconds": PATIENCE_S, "terminationGracePeriodSeconds": PATIENCE_S}
    with system(tmp_path, service(**spec), cluster()) as live:
        live.ready(1)
        victim = live.pool().replicas[0].id
        told_to_stop = tmp_path / "told to stop"
        answers: list[httpx.Response] = []
        client = threading.Thread(target=lambda: answers.append(live.get(f"/echo/?until={told_to_stop}")))
        client.start()
        live.wait(lambda: live.pool().in_flight == 1, "the request is on the replica")
        live.run("drain", victim)
        live.kill()
        live.process = None
        live.up()
        told_to_stop.touch()
        live.wait(lambda: victim not in {r.id for r in live.pool().replicas}, "the replica is gone")
        client.join(PATIENCE_S)
        assert [a.status_code for a in answers] == [200]
        assert answers[0].json()["replica"] == victim
        told = steps(live, victim)
        seen = [next(s for s in reversed(STEPS) if s in e["text"].partition(":")[0]) for e in told]
        assert seen == STEPS
        assert [e["at"] for e in told] == sorted(e["at"] for e in told)
        live.ready(1)
        assert "start-up" in live.run("explain", "echo").stdout


def test_a_replica_that_does_not_end_is_killed_after_its_grace_and_that_is_told(tmp_path: Path):
    deaf = Path(__file__).with_name("deaf_service.py")
    spec = {"command": ["python", str(deaf)], "terminationGracePeriodSeconds": 2, "probes": {}}
    with system(tmp_path, service(**spec), cluster()) as live:
        live.ready(1)
        victim = live.pool().replicas[0].id
        live.run("drain", victim)
        live.wait(lambda: victim not in {r.id for r in live.pool().replicas}, "the replica is gone")
        texts = [
            e["text"]
            for e in [json.loads(x) for x in live.run("events", "--json").stdout.splitlines()]
            if e["subject"] == victim
        ]
        last = [t.partition(",")[0] for t in texts[-3:]]
        assert last[:2] == ["SIGTERM sent", "SIGKILL sent: terminationGracePeriodSeconds are over"]
        assert last[2].startswith("draining -> gone")
