"""Tenants as an operator has them: the commands, a crash in between, and what the day's quota leaves."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx

from e2e.system import PATIENCE_S, System, cluster, service, system
from tidegate.base.errors import TidegateError
from tidegate.cli.client import Client


def tenant(name: str, **spec: Any) -> dict[str, Any]:
    body = {"services": ["echo"]} | spec
    return {"apiVersion": "tidegate.dev/v1", "kind": "Tenant", "metadata": {"name": name}, "spec": body}


def say(live: System, *args: str) -> Any:
    return json.loads(live.run(*args, "--json").stdout)


def code(live: System, key: str | None) -> str:
    """200, or the code of the refusal."""
    answer = live.get(headers={"x-api-key": key} if key else {})
    return "200" if answer.status_code == 200 else answer.json()["error"]["code"]


def test_every_key_that_was_acknowledged_before_a_crash_works_after_it(tmp_path: Path):
    acknowledged: list[str] = []
    with system(tmp_path, service(access={"keys": "required"}), cluster(), tenant("acme")) as live:
        live.ready(1)

        def add() -> None:
            client = Client(live.state)
            try:
                while True:
                    acknowledged.append(client.add_key("acme", "", None).secret)
            except TidegateError:  # the control process is gone
                pass

        adding = [threading.Thread(target=add) for _ in range(2)]
        for thread in adding:
            thread.start()
        live.wait(lambda: len(acknowledged) >= 20, "keys are made")
        live.kill()
        for thread in adding:
            thread.join(PATIENCE_S)
        assert {code(live, key) for key in acknowledged} == {"200"}
        live.up().ready(1)
        assert {code(live, key) for key in acknowledged} == {"200"}


def test_keys_and_quotas_from_the_command_line_through_a_crash(tmp_path: Path):
    echo, small = service(access={"keys": "required"}), tenant("acme", quota={"requestsPerDay": 5})
    with system(tmp_path, echo, cluster(), small) as live:
        live.ready(1)
        assert code(live, None) == "key_missing"
        made = say(live, "keys", "add", "acme", "--note", "test")
        other = say(live, "keys", "add", "acme")
        assert code(live, made["secret"]) == "200"
        live.wait(lambda: say(live, "tenants")["tenants"][0]["requests_today"] == 1, "the request is counted")
        live.kill()
        assert code(live, made["secret"]) == "200"  # nobody is there to count it now
        live.up().ready(1)
        live.wait(lambda: say(live, "tenants")["tenants"][0]["requests_today"] == 2, "it is counted later")
        assert say(live, "keys", "revoke", made["key"]["id"])["state"] == "revoked"
        assert code(live, made["secret"]) == "key_invalid"
        assert {k["id"]: k["state"] for k in say(live, "keys", "list")} == {other["key"]["id"]: "active"}

        live.wait(lambda: code(live, other["secret"]) == "quota_exhausted", "five requests use up the day")
        (acme,) = say(live, "tenants")["tenants"]
        assert acme["spent"]
        assert acme["requests_today"] >= 5

        def metrics() -> str:
            return httpx.get(f"http://127.0.0.1:{live.page_port}/metrics").text

        assert 'tidegate_tenant_requests_today{tenant="acme"}' in metrics()
        refused = 'tidegate_tenant_refused_requests_total{code="quota_exhausted",tenant="acme"}'
        live.wait(lambda: refused in metrics(), "the refusal is counted")

        live.write(echo, cluster(), tenant("acme", quota={"requestsPerDay": 1000}))
        live.run("apply", "-f", str(live.manifests))
        assert code(live, other["secret"]) == "200"
