"""tcp, http and grpc checks against real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from free_ports import free_port
from gateway.pki import authority, written
from probes.servers import Web, reply
from probes.targets import target
from tidegate.model.observed import Verdict
from tidegate.probes import grpc, network
from tidegate.probes.checks import Asked, Checks, timed
from tidegate.probes.scripts import Scripts
from tidegate.probes.verdicts import Result
from tidegate.spec.probes import Probe
from tidegate.spec.tls import ReplicaTls

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN


async def look(address: str, **probe: object) -> Result:
    return await Checks(Scripts()).run(target(address), Probe(**({"timeout": "60s"} | probe)), Asked("readiness"))


def closed_port() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize(
    ("answer", "verdict", "reason"),
    [
        pytest.param(reply(200, "ok"), PASS, "", id="200"),
        pytest.param(reply(399), PASS, "", id="399"),
        pytest.param(b"HTTP/1.0 204 No Content\r\n\r\n", PASS, "", id="no length"),
        pytest.param(reply(400), FAIL, "/: HTTP 400", id="400"),
        pytest.param(reply(503, "no\n model  yet"), FAIL, "/: HTTP 503: no model yet", id="503 with its body"),
        pytest.param(b"SSH-2.0-x\r\n", FAIL, "/: not HTTP: b'SSH-2.0-x\\r\\n'", id="not http"),
        pytest.param(b"", FAIL, "/: closed without an answer", id="nothing"),
        pytest.param(reply(302, Location="http://elsewhere.invalid/"), PASS, "", id="redirect to another host"),
        pytest.param(reply(302, Location="/"), FAIL, "http://ADDRESS/: more than 10 redirects", id="redirect loop"),
    ],
)
async def test_http_answers(answer: bytes, verdict: Verdict, reason: str):
    async with Web(lambda _: answer).listening() as web:
        result = await look(web.address, http="/")
        assert (result.verdict, result.reason) == (verdict, reason.replace("ADDRESS", web.address))


async def test_a_redirect_on_the_same_host_is_followed():
    pages = {"/healthz": reply(301, Location="/healthz/"), "/healthz/": reply(500)}
    async with Web(pages.get).listening() as web:
        assert (await look(web.address, http="/healthz")).reason == "/healthz/: HTTP 500"


async def test_the_request_carries_what_the_manifest_says():
    async with Web(lambda _: reply(200)).listening() as web:
        headers = [{"name": "X-Key", "value": "k"}, {"name": "User-Agent", "value": "mine"}]
        await look(web.address, httpGet={"path": "/a?b=c", "httpHeaders": headers})
        (head,) = web.asked
    assert head.startswith("GET /a?b=c HTTP/1.1\r\n")
    assert f"Host: {web.address}\r\n" in head and "X-Key: k\r\n" in head and "User-Agent: mine\r\n" in head
    assert head.count("User-Agent") == 1


async def test_no_answer_in_time_is_a_failure():
    async with Web(lambda _: None).listening() as web:
        result = await look(web.address, http="/", timeout="100ms")
    assert (result.verdict, result.reason) == (FAIL, "no answer within 0.1 s")
    assert result.took_s >= 0.1


async def test_a_time_that_ran_out_while_the_prober_itself_stood_still_says_nothing_about_the_replica():
    async def look_at() -> Result:
        time.sleep(0.8)  # all of this process
        await asyncio.sleep(60)
        return Result(PASS)

    result = await timed(look_at(), 0.1)
    assert result.verdict is UNKNOWN and result.reason.startswith("could not be run: this machine stood still for")


async def test_an_endless_answer_is_cut():
    async with Web(lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000).listening() as web:
        assert (await look(web.address, http="/")).verdict is PASS


@pytest.mark.parametrize("probe", [{"tcp": True}, {"http": "/"}])
async def test_a_closed_port_is_refused(probe):
    result = await look(closed_port(), **probe)
    assert result.verdict is FAIL and "connection refused" in result.reason


async def test_an_open_port_is_enough_for_tcp_also_another_one():
    async with Web(lambda _: None).listening() as web:
        assert (await look(web.address, tcp=True)).verdict is PASS
        port = int(web.address.rpartition(":")[2])
        assert (await look(closed_port(), tcp=port)).verdict is PASS


async def test_names_are_resolved():
    async with Web(lambda _: reply(200)).listening() as web:
        assert (await look(web.address.replace("127.0.0.1", "localhost"), http="/")).verdict is PASS


def test_the_probers_own_shortage_says_nothing_about_the_replica():
    result = network.failed(OSError(24, "Too many open files"), "/")
    assert (result.verdict, result.reason) == (UNKNOWN, "could not be run: Too many open files")


async def test_grpc_says_what_to_install_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "grpc", None)
    result = await look("127.0.0.1:1", grpc=True)
    assert result.verdict is UNKNOWN and "pip install 'tidegate[grpc]'" in result.reason


@asynccontextmanager
async def grpc_server(credentials: Any = None) -> AsyncIterator[int]:
    """A server that is well as "" and not as "sick"; its port."""
    aio = pytest.importorskip("grpc.aio")
    health = pytest.importorskip("grpc_health.v1.health")
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    servicer = health.aio.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    await servicer.set("sick", health_pb2.HealthCheckResponse.NOT_SERVING)
    server = aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    plain, secured = server.add_insecure_port, server.add_secure_port
    port = secured("127.0.0.1:0", credentials) if credentials else plain("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    ("service", "verdict", "reason"),
    [("", PASS, ""), ("sick", FAIL, "grpc: NOT_SERVING"), ("nobody", FAIL, "grpc: NOT_FOUND")],
)
async def test_grpc_health(service: str, verdict: Verdict, reason: str):
    async with grpc_server() as port:
        result = await look(f"127.0.0.1:{port}", grpc={"service": service})
    assert (result.verdict, result.reason) == (verdict, reason)


async def test_grpc_speaks_to_a_replica_over_tls_as_the_gateway_does(tmp_path: Path):
    grpcio = pytest.importorskip("grpc")
    ours, other = trustme.CA(), trustme.CA()
    server = written(tmp_path, ours.issue_cert("replica.internal"))
    own = written(tmp_path, ours.issue_cert("gateway"), "own")
    trusted, foreign = authority(tmp_path, ours), authority(tmp_path, other, "other")
    pair = [(server.key.read_bytes(), server.certificate.read_bytes())]
    credentials = grpcio.ssl_server_credentials(pair, trusted.read_bytes(), require_client_auth=True)
    mutual = {"certificate": str(own.certificate), "key": str(own.key), "serverName": "replica.internal"}

    async def looked(port: int, **tls: object) -> Result:
        aimed = replace(target(f"127.0.0.1:{port}"), tls=ReplicaTls.model_validate(tls))
        return await Checks(Scripts()).run(aimed, Probe(grpc=True, timeout="60s"), Asked("readiness"))

    async with grpc_server(credentials) as port:
        good = mutual | {"ca": str(trusted)}
        assert (await looked(port, **good)).verdict is PASS
        for tls in (good | {"ca": str(foreign)}, good | {"serverName": "else"}, {"ca": str(trusted)}):
            assert (await looked(port, **tls)).verdict is FAIL
        assert "No such file" in (await looked(port, ca=str(tmp_path / "none"))).reason
        assert "name its authority in tls.ca" in (await looked(port, verify=False)).reason


async def test_grpc_without_a_server():
    pytest.importorskip("grpc.aio")
    result = await look(closed_port(), grpc=True)
    assert result.verdict is FAIL and result.reason.startswith("grpc: UNAVAILABLE")


def test_grpc_messages_by_hand():
    assert grpc._request("") == b"" and grpc._request("ab") == b"\x0a\x02ab"
    assert grpc._request("x" * 200)[:3] == b"\x0a\xc8\x01"
    assert grpc._status(b"") == 0 and grpc._status(b"\x08\x01") == 1
