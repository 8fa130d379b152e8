"""The prober on real sockets: what follows what, how soon a change is noticed, and that it lets go of everything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from free_ports import free_port
from probes.servers import Web, reply
from probes.targets import PATIENCE_S, target, until
from tidegate.model.observed import Verdict
from tidegate.probes.prober import AsyncProber
from tidegate.probes.protocol import Upstream, Verdicts
from tidegate.spec.rollout import Rollout

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
OFTEN = {"every": "50ms", "timeout": f"{PATIENCE_S}s"}


@pytest.fixture
async def prober() -> AsyncIterator[AsyncProber]:
    prober = AsyncProber()
    yield prober
    await prober.close()


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A replica that answers 200 to everything until told otherwise."""
    async with Web(lambda _: reply(200)).listening() as web:
        yield web


async def test_without_probes_a_replica_is_ready_when_its_port_is_open(prober: AsyncProber, web: Web):
    prober.watch(target(web.address))
    assert prober.verdicts("web-1") == Verdicts()
    await until(lambda: prober.verdicts("web-1").readiness is PASS)
    assert prober.verdicts("web-1").startup is PASS
    assert prober.verdicts("web-1").liveness is UNKNOWN  # nobody asked for it


async def test_a_replica_that_opens_late_is_noticed_within_a_fraction_of_the_period(prober: AsyncProber):
    web, port = Web(lambda _: reply(200)), free_port()
    prober.watch(target(f"127.0.0.1:{port}", {"readiness": {"http": "/", "every": "1h"}}))
    await until(lambda: "connection refused" in prober.verdicts("web-1").detail)
    async with web.listening(port):
        await until(lambda: prober.verdicts("web-1").readiness is PASS)  # the period is an hour


async def test_startup_gates_readiness_and_liveness(prober: AsyncProber, web: Web):
    pages = {"/started": reply(503)}
    web.says = lambda path: pages.get(path, reply(200))
    probes = {
        "startup": {"http": "/started", "timeout": "60s"},
        "readiness": {"http": "/ready"} | OFTEN,
        "liveness": {"http": "/"} | OFTEN,
    }
    prober.watch(target(web.address, probes))
    await until(lambda: len(web.asked) >= 3)
    assert all("/started" in head for head in web.asked)
    assert prober.verdicts("web-1").detail == "startup: /started: HTTP 503"
    pages["/started"] = reply(200)
    await until(lambda: prober.verdicts("web-1") == Verdicts(PASS, UNKNOWN, PASS, PASS))


async def test_a_startup_that_uses_up_its_time_has_failed_and_is_asked_no_more(prober: AsyncProber, web: Web):
    web.says = lambda _: reply(500)
    prober.watch(target(web.address, {"startup": {"http": "/", "failureThreshold": 2} | OFTEN}))
    await until(lambda: prober.verdicts("web-1").startup is FAIL)
    assert prober.verdicts("web-1").readiness is UNKNOWN
    assert all(task.done() for task in prober._watched["web-1"].tasks)


async def test_readiness_follows_the_replica_both_ways_and_every_change_wakes_the_loop(web: Web):
    woken = asyncio.Event()
    prober = AsyncProber(woken.set)
    answer = reply(200)
    web.says = lambda _: answer
    prober.watch(target(web.address, {"readiness": {"http": "/", "failureThreshold": 1} | OFTEN}))
    async with asyncio.timeout(PATIENCE_S):
        for wanted in (PASS, FAIL, PASS):
            answer = reply(200) if wanted is PASS else reply(503)
            while prober.verdicts("web-1").readiness is not wanted:
                await woken.wait()
                woken.clear()
    await prober.close()


async def test_liveness_fails_after_its_threshold_with_the_reason(prober: AsyncProber, web: Web):
    prober.watch(target(web.address, {"liveness": {"http": "/alive"} | OFTEN}))
    await until(lambda: prober.verdicts("web-1").liveness is PASS)
    web.says = lambda _: reply(500, "stuck")
    await until(lambda: prober.verdicts("web-1").liveness is FAIL)
    assert prober.verdicts("web-1").detail == "liveness: /alive: HTTP 500: stuck"


async def test_prepare_steps_run_in_order_once_and_then_verify(prober: AsyncProber, web: Web, tmp_path: Path):
    note = "import pathlib; f = pathlib.Path('order.txt'); f.write_text((f.read_text() if f.exists() else '') + '{}')"
    for name in ("one", "three", "verify"):
        (tmp_path / f"{name}.py").write_text(note.format(name[0]))
    probes = {
        "prepare": [{"python": "one.py"}, {"exec": ["sh", "-c", "printf x >> order.txt"]}, {"python": "three.py"}]
    }
    rollout = Rollout(verify={"python": "verify.py"})
    prober.watch(target(web.address, probes, directory=str(tmp_path), rollout=rollout))
    assert prober.verdicts("web-1").prepared is UNKNOWN
    prober.prepare("web-1")
    prober.prepare("web-1")
    await until(lambda: prober.verdicts("web-1").verify is PASS)
    assert prober.verdicts("web-1").prepared is PASS
    assert (tmp_path / "order.txt").read_text() == "oxtv"


async def test_without_steps_prepare_and_verify_pass_when_asked_for(prober: AsyncProber, web: Web):
    prober.watch(target(web.address))
    prober.prepare("web-1")
    await until(lambda: prober.verdicts("web-1").verify is PASS)
    assert prober.verdicts("web-1").prepared is PASS


async def test_a_prepare_step_that_fails_for_good_ends_the_preparation(prober: AsyncProber, web: Web, tmp_path: Path):
    (tmp_path / "warm.py").write_text("import sys; sys.exit('no weights')")
    steps = [{"python": "warm.py", "name": "warm up", "retries": 0}, {"exec": ["touch", "never"]}]
    prober.watch(target(web.address, {"prepare": steps}, directory=str(tmp_path)))
    prober.prepare("web-1")
    await until(lambda: prober.verdicts("web-1").prepared is FAIL)
    assert prober.verdicts("web-1").detail == "prepare: warm up failed: no weights"
    assert not (tmp_path / "never").exists()
    assert prober.verdicts("web-1").verify is UNKNOWN


async def test_a_prepare_step_is_tried_again(prober: AsyncProber, web: Web, tmp_path: Path):
    script = (
        "import pathlib, sys; f = pathlib.Path('tried'); tried = f.exists(); f.touch(); sys.exit(0 if tried else 1)"
    )
    (tmp_path / "warm.py").write_text(script)
    prober.watch(target(web.address, {"prepare": {"python": "warm.py", "retries": 1}}, directory=str(tmp_path)))
    prober.prepare("web-1")
    await until(lambda: prober.verdicts("web-1").prepared is PASS)


@pytest.mark.parametrize("code", ["import sys; sys.exit(9)", "1/0", "import sys; sys.exit('wrong face')"])
async def test_a_verify_script_that_does_not_pass_has_failed(prober, web, tmp_path, code):
    (tmp_path / "golden.py").write_text(code)
    rollout = Rollout(verify={"python": "golden.py"})
    prober.watch(target(web.address, directory=str(tmp_path), rollout=rollout))
    prober.prepare("web-1")
    await until(lambda: prober.verdicts("web-1").verify is FAIL)
    assert prober.verdicts("web-1").prepared is PASS
    assert prober.verdicts("web-1").detail.startswith("verify: ")


async def test_files_are_waited_for(prober: AsyncProber, web: Web, tmp_path: Path):
    prober.watch(target(web.address, {"prepare": {"files": ["model.bin"]}}, directory=str(tmp_path)))
    prober.prepare("web-1")
    await until(lambda: prober.verdicts("web-1").readiness is PASS)
    assert prober.verdicts("web-1").prepared is UNKNOWN
    (tmp_path / "model.bin").touch()
    await until(lambda: prober.verdicts("web-1").prepared is PASS)


async def test_files_that_do_not_come_are_named(prober: AsyncProber, web: Web, tmp_path: Path):
    step = {"files": ["model.bin", "labels.txt"], "timeout": "2s", "retries": 0}
    (tmp_path / "labels.txt").touch()
    prober.watch(target(web.address, {"prepare": step}, directory=str(tmp_path)))
    prober.prepare("web-1")
    await until(lambda: prober.verdicts("web-1").prepared is FAIL)
    detail = prober.verdicts("web-1").detail
    assert detail == "prepare: step 1 (files) failed: model.bin: does not exist within 2 s"


NOT_ROUTED = reply(404, '{"error": {"code": "no_such_service"}}')


async def test_routes_are_waited_for_until_every_upstream_answers_through_the_gateway(prober: AsyncProber, web: Web):
    pages = {"/ocr/": NOT_ROUTED, "/api/face/": reply(503)}
    gateway = Web(pages.get)
    async with gateway.listening():
        url = f"http://{gateway.address}"
        given = target(web.address, {"prepare": {"routes": True}}, uses=("ocr", "face"), gateway=url)
        prober.watch(replace(given, upstreams={"face": Upstream(f"{url}/api/face/", "faces.example")}))
        prober.prepare("web-1")
        await until(lambda: len(gateway.asked) >= 4)
        assert prober.verdicts("web-1").prepared is UNKNOWN
        assert any("Host: faces.example" in head for head in gateway.asked)
        pages["/ocr/"] = reply(404, "the service's own 404 is an answer")
        pages["/api/face/"] = reply(200)
        await until(lambda: prober.verdicts("web-1").prepared is PASS)


async def test_routes_that_do_not_answer_are_named(prober: AsyncProber, web: Web):
    async with Web(lambda _: NOT_ROUTED).listening() as gateway:
        step = {"routes": True, "timeout": "2s", "retries": 0}
        given = target(web.address, {"prepare": step}, uses=("ocr",), gateway=f"http://{gateway.address}")
        prober.watch(given)
        prober.prepare("web-1")
        await until(lambda: prober.verdicts("web-1").prepared is FAIL)
    assert prober.verdicts("web-1").detail == "prepare: step 1 (routes) failed: ocr: HTTP 404 within 2 s"


async def test_a_remedy_script_runs_and_liveness_is_judged_anew(prober: AsyncProber, web: Web, tmp_path: Path):
    (tmp_path / "alive.py").write_text("import os, sys; sys.exit(0 if os.path.exists('cured') else 'sick')")
    (tmp_path / "cure.py").write_text("open('cured', 'w')")
    liveness = {"python": "alive.py", "every": "100ms", "failureThreshold": 1, "timeout": "60s"}
    liveness |= {"remedy": "script", "remedyScript": "cure.py"}
    prober.watch(target(web.address, {"liveness": liveness}, directory=str(tmp_path)))
    await until(lambda: prober.verdicts("web-1").liveness is FAIL)
    prober.remedy("web-1")
    prober.remedy("web-1")
    await until(lambda: prober.verdicts("web-1").liveness is PASS)


async def test_watching_twice_changes_nothing_and_unknown_ids_are_ignored(prober: AsyncProber, web: Web):
    prober.watch(target(web.address))
    first = prober._watched["web-1"]
    prober.watch(target("127.0.0.1:2"))
    assert prober._watched["web-1"] is first
    prober.prepare("nobody")
    prober.forget("nobody")
    prober.remedy("nobody")
    assert prober.verdicts("nobody") == Verdicts()


async def test_a_forgotten_replica_is_asked_no_more(prober: AsyncProber, web: Web):
    prober.watch(target(web.address, {"readiness": {"http": "/"} | OFTEN}))
    await until(lambda: prober.verdicts("web-1").readiness is PASS)
    tasks = prober._watched["web-1"].tasks
    prober.forget("web-1")
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    assert prober.verdicts("web-1") == Verdicts()


async def test_a_script_is_told_earlier_results_and_traffic(web: Web, tmp_path: Path):
    code = "from tidegate.probe import replica, healthy\nhealthy(f'{len(replica.last)} {dict(replica.traffic)}')"
    (tmp_path / "p.py").write_text(code)
    prober = AsyncProber(traffic=lambda name: {"in_flight": 2})
    prober.watch(target(web.address, {"liveness": {"python": "p.py"} | OFTEN}, directory=str(tmp_path)))
    history = prober._watched["web-1"].history
    await until(lambda: len(history.get("liveness", ())) >= 3)
    assert [r.reason for _, r in reversed(history["liveness"])][:3] == [f"{n} {{'in_flight': 2}}" for n in range(3)]
    await prober.close()


async def test_a_check_that_cannot_run_leaves_the_verdict_and_says_why(prober: AsyncProber, web: Web):
    probe = {"python": "missing.py", "every": "50ms", "failureThreshold": 1}
    prober.watch(target(web.address, {"liveness": probe}))
    await until(lambda: "missing.py does not exist" in prober.verdicts("web-1").detail)
    assert prober.verdicts("web-1").liveness is UNKNOWN
