"""The routes over a made-up system."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from tidegate.base.errors import ControlError, SpecError
from tidegate.model.status import History, PoolHistory, parse_status
from tidegate.spec.cluster import Cluster
from tidegate.spec.load import load_data
from tidegate.spec.service import MediaService
from tidegate.web import api
from tidegate.web.api import build_app
from tidegate.web.guard import Access
from tidegate.web.ports import Event, LogLine, manifest_json
from web.world import AT, FakeControl

FACE = {
    "apiVersion": "tidegate.dev/v1",
    "kind": "MediaService",
    "metadata": {"name": "face"},
    "spec": {"command": ["serve"], "scaling": {"maxReplicas": 8}},
}

HERE = {"apiVersion": "tidegate.dev/v1", "kind": "Cluster", "metadata": {"name": "here"}}


def client(control: FakeControl, access: Access | None = None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(build_app(control, access), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081")


async def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_the_last_minutes_are_told_by_pool():
    control = FakeControl(before=History((AT - 5, AT), (PoolHistory("face", "default", (1, 2), (2, 2)),)))
    async with client(control) as http:
        told = (await http.get("/v1/history")).json()
    assert told["at"] == [AT - 5, AT]
    assert told["pools"][0]["ready"] == [1, 2]


async def test_status_reads_back_as_it_was():
    control = FakeControl()
    async with client(control) as http:
        answer = await http.get("/v1/status")
    assert answer.headers["cache-control"] == "no-store"
    assert parse_status(answer.content) == control.now


async def test_apply_hands_over_typed_manifests():
    control = FakeControl()
    async with client(control) as http:
        body = {"manifests": [FACE, HERE], "prune": True}
        answer = await http.post("/v1/apply", json=body)
    assert {"verb": "add", "kind": "MediaService", "name": "face", "fields": []} in answer.json()["changes"]
    verb, manifests, prune = control.told[0]
    assert (verb, prune) == ("apply", True)
    assert [type(m) for m in manifests] == [Cluster, MediaService]
    assert manifests[1].spec.scaling.maxReplicas == 8


async def test_plan_answers_what_would_be_wanted():
    async with client(FakeControl()) as http:
        answer = await http.post("/v1/plan", json={"manifests": [FACE]})
    assert answer.json()["pools"][0]["wanted"] == 1


async def test_a_manifest_survives_the_way_to_the_api():
    window = {"days": ["fri"], "from": "19:30", "to": "23:00", "timeZone": "UTC", "minReplicas": 2}
    spec = {
        "command": ["serve"],
        "probes": {"readiness": {"http": "/healthz", "every": "1s"}, "prepare": {"python": "/opt/warm.py"}},
        "scaling": {"schedules": [window | {"except": ["2026-10-01"]}]},
        "rollout": {"verify": {"python": "/opt/golden.py"}},
        "pools": [{"name": "large", "match": {"pixels": {"min": 8e6}}}],
    }
    written = load_data([FACE | {"spec": spec}], partial=True).manifests[0]
    control = FakeControl()
    async with client(control) as http:
        answer = await http.post("/v1/plan", json={"manifests": [manifest_json(written)]})
    assert answer.status_code == 200, answer.text
    assert control.told[0][1] == (written,)


async def test_all_faults_of_all_manifests_come_at_once():
    bad = [FACE | {"spec": {"scaling": {"minReplicas": 9, "maxReplicas": 2}}}, HERE | {"kind": "Pod"}, 7]
    async with client(FakeControl()) as http:
        answer = await http.post("/v1/apply", json={"manifests": bad})
    assert answer.status_code == 422
    faults = answer.json()["error"]["faults"]
    assert [fault.split(":")[0] for fault in faults] == ["manifests[0]", "manifests[1]", "manifests[2]"]
    assert "maxReplicas: 2 is below minReplicas: 9" in faults[0]


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}", b'{"manifests": 3}', b'{"manifests": [], "x": 1}'])
async def test_a_body_that_is_no_declaration_is_refused(body):
    async with client(FakeControl()) as http:
        answer = await http.post("/v1/apply", content=body, headers={"content-type": "application/json"})
    assert await code_of(answer) == (400, "bad_request")


async def test_a_body_of_another_type_is_refused_because_a_foreign_page_may_send_it():
    control = FakeControl()
    async with client(control) as http:
        answer = await http.post("/v1/apply", content=b'{"manifests": []}', headers={"content-type": "text/plain"})
    assert await code_of(answer) == (415, "media_type")
    assert control.told == []


async def test_a_body_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(api.bodies, "MAX_BODY_BYTES", 1000)
    async with client(FakeControl()) as http:
        answer = await http.post("/v1/apply", content=b"x" * 1001, headers={"content-type": "application/json"})
    assert await code_of(answer) == (413, "too_large")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ControlError("a rollout is under way"), (409, "refused")),
        (SpecError(("spec.port: taken",)), (422, "spec")),
        (RuntimeError("boom"), (500, "internal")),
    ],
)
async def test_what_the_system_says_becomes_the_answer(error, expected):
    async with client(FakeControl(fail=error)) as http:
        answer = await http.post("/v1/drain", json={"subject": "here"})
    assert await code_of(answer) == expected
    assert "boom" not in answer.text


async def test_a_stuck_system_is_an_answer_too(monkeypatch):
    monkeypatch.setattr(api, "ANSWER_WITHIN_S", 0.01)
    async with client(FakeControl(hang=True)) as http:
        assert await code_of(await http.get("/v1/status")) == (504, "stuck")


async def test_explain_drain_and_down():
    control = FakeControl()
    async with client(control) as http:
        assert (await http.get("/v1/explain/face-fusion")).json()["pools"][0]["service"] == "face-fusion"
        assert await code_of(await http.get("/v1/explain/none")) == (404, "not_found")
        assert (await http.post("/v1/drain", json={"subject": "here"})).json()["message"] == "here will be drained"
        assert await code_of(await http.post("/v1/drain", json={})) == (400, "bad_request")
        wish = {"service": "ocr", "verb": "undo"}
        assert (await http.post("/v1/rollout", json=wish)).json()["message"] == "ocr: undo"
        assert await code_of(await http.post("/v1/rollout", json={"verb": "undo"})) == (400, "bad_request")
        assert (await http.post("/v1/down")).status_code == 202
    assert control.told[-1] == ("down",)


async def test_logs_come_as_lines_of_json():
    control = FakeControl(lines=[LogLine("a-1", "one"), LogLine("a-2", "two"), LogLine("a-1", "<three>")])
    async with client(control) as http:
        all_lines = (await http.get("/v1/logs/a?tail=2")).text.splitlines()
        one = (await http.get("/v1/logs/a?replica=a-1&tail=9")).text.splitlines()
        refused = await http.get("/v1/logs/a?tail=-1")
    assert [json.loads(line)["text"] for line in all_lines] == ["two", "<three>"]
    assert [json.loads(line) for line in one][1] == {"replica": "a-1", "text": "<three>"}
    assert await code_of(refused) == (400, "bad_request")


async def test_an_error_before_the_first_line_keeps_its_status():
    async with client(FakeControl(fail=ControlError("cannot be read"))) as http:
        assert await code_of(await http.get("/v1/logs/a")) == (409, "refused")


async def test_events_since_a_time():
    control = FakeControl(past=[Event(AT + n, "decision", "a/default", f"number {n}") for n in range(3)])
    async with client(control) as http:
        lines = (await http.get(f"/v1/events?since={AT}")).text.splitlines()
        refused = await http.get("/v1/events?since=yesterday")
    assert [json.loads(line)["text"] for line in lines] == ["number 1", "number 2"]
    assert await code_of(refused) == (400, "bad_request")
    assert control.followers == []


@pytest.mark.parametrize(
    ("method", "path", "expected"), [("GET", "/v2", 404), ("GET", "/v1/apply", 405), ("POST", "/", 405)]
)
async def test_what_is_not_there_says_so_in_json(method, path, expected):
    async with client(FakeControl()) as http:
        answer = await http.request(method, path)
    assert answer.status_code == expected
    assert answer.json()["error"]["message"]


async def test_refusals_of_the_door_are_json_and_reach_nothing():
    control = FakeControl()
    async with client(control, Access.loopback("s3cret")) as http:
        answer = await http.post("/v1/down")
        assert await code_of(answer) == (401, "token_needed")
        assert answer.headers["www-authenticate"] == "Bearer"
        allowed = await http.post("/v1/down", headers={"authorization": "Bearer s3cret"})
    assert allowed.status_code == 202
    assert control.told == [("down",)]


async def test_too_many_streams_are_refused_and_ended_ones_make_room(monkeypatch):
    monkeypatch.setattr(api, "MAX_STREAMS", 0)
    async with client(FakeControl()) as http:
        assert await code_of(await http.get("/v1/events")) == (503, "busy")
        monkeypatch.setattr(api, "MAX_STREAMS", 1)
        for _ in range(3):
            assert (await http.get("/v1/events")).status_code == 200


async def test_the_page_may_run_only_its_own_script():
    async with client(FakeControl()) as http:
        first, second = await http.get("/"), await http.get("/")
    policy = first.headers["content-security-policy"]
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert "default-src 'none'" in policy
    assert first.text.count(f'nonce="{nonce}"') == 2
    assert "@" + "NONCE@" not in first.text
    assert nonce not in second.text
    for loaded in (' src="', ' href="http', "url(", "@import"):
        assert loaded not in first.text


async def test_closing_ends_a_follower():
    closing = asyncio.Event()
    control = FakeControl(lines=[LogLine("a-1", "one")])
    transport = httpx.ASGITransport(build_app(control, closing=closing))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
        following = asyncio.create_task(http.get("/v1/logs/a?follow=true"))
        await asyncio.sleep(0)
        closing.set()
        answer = await asyncio.wait_for(following, 5)
    assert answer.text.splitlines() in ([], ['{"replica":"a-1","text":"one"}'])


async def test_what_if_hands_over_the_changes_and_refuses_others():
    control = FakeControl()
    async with client(control) as http:
        answer = await http.post("/v1/what-if", json={"changes": ["cluster=here:down"]})
        assert answer.json()["pools"][0]["pending"] == 1
        for body in ({}, {"changes": []}, {"changes": [1]}, {"changes": ["x"], "more": 1}):
            assert await code_of(await http.post("/v1/what-if", json=body)) == (400, "bad_request")
    assert control.told == [("what_if", ("cluster=here:down",))]


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip", True), ("deflate, GZIP;q=0.5", True), ("*", True), ("identity", False), ("gzip;q=0", False), ("", False)],
)
async def test_metrics_are_packed_for_who_takes_that(accepted: str, packed: bool):
    async with client(FakeControl()) as http:
        answer = await http.get("/metrics", headers={"accept-encoding": accepted})
    assert (answer.headers.get("content-encoding") == "gzip") is packed
    assert answer.headers["vary"] == "Accept-Encoding"
    assert 'tidegate_tenant_worked_requests_total{tenant="acme"}' in answer.text
