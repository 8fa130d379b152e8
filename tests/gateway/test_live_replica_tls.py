"""The real proxy, and probes, in front of real replicas that speak TLS and ask for a certificate."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvicorn

from free_ports import free_port
from gateway.pki import authority, written
from gateway.world import PATIENCE_S, World, pool, service, snapshot, until, world
from tidegate.model.observed import Verdict
from tidegate.model.snapshot import Server, Snapshot
from tidegate.probes.checks import Asked, Checks
from tidegate.probes.protocol import ProbeTarget
from tidegate.probes.scripts import Scripts
from tidegate.spec.probes import Check, HttpGet, Probes
from tidegate.spec.rollout import Rollout
from tidegate.spec.tls import ReplicaTls

NAME = "replica.internal"


def patient(folder: Path) -> AbstractAsyncContextManager[World]:
    """The replica is in this process: when it stands still, so does the handshake."""
    return world(folder, connect_timeout_s=PATIENCE_S)


class Pki:
    """One authority for replicas, one for the gateway, and a stranger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.replicas, self.gateways, strangers = trustme.CA(), trustme.CA(), trustme.CA()
        self.ca, self.gateway_ca = authority(folder, self.replicas), authority(folder, self.gateways, "gateways")
        self.wrong_ca = authority(folder, strangers, "strangers")
        self.replica = written(folder, self.replicas.issue_cert(NAME), "replica")
        self.gateway = written(folder, self.gateways.issue_cert("gateway.internal"), "gateway")

    def tls(self, **changes: Any) -> ReplicaTls:
        certificate, key = str(self.gateway.certificate), str(self.gateway.key)
        usual = {"ca": str(self.ca), "certificate": certificate, "key": key, "serverName": NAME}
        return ReplicaTls(**{k: v for k, v in (usual | changes).items() if v is not None})


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-scheme", scope["scheme"].encode())]})
    await send({"type": "http.response.body", "body": str(size).encode()})


class Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


@asynccontextmanager
async def replica(pki: Pki) -> AsyncIterator[int]:
    """A replica that lets in only who shows a certificate of the gateways' authority."""
    port = free_port()
    config = uvicorn.Config(
        echo,
        port=port,
        log_config=None,
        lifespan="off",
        proxy_headers=False,
        ssl_certfile=str(pki.replica.certificate),
        ssl_keyfile=str(pki.replica.key),
        ssl_ca_certs=str(pki.gateway_ca),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
    )
    server = Quiet(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = server.force_exit = True
        await task


def face(tls: ReplicaTls, *ports: int, **changes: object) -> Snapshot:
    servers = tuple(Server(f"face-{port}", f"127.0.0.1:{port}", 2) for port in ports)
    return snapshot(service(pool(servers=servers, tls=tls, **changes)))


async def test_requests_reach_replicas_that_ask_for_a_certificate(tmp_path: Path, pki: Pki):
    async with replica(pki) as one, replica(pki) as two, patient(tmp_path) as here:
        await here.gateway.publish(face(pki.tls(), one))
        for size in (10, 1_000_000):
            answer = await here.client.post("/face", content=b"x" * size)
            assert (answer.status_code, answer.text, answer.headers["x-scheme"]) == (200, str(size), "https")
        await here.gateway.publish(face(pki.tls(), two))  # added and removed over the socket, without a reload
        answer = await here.client.post("/face", content=b"x" * 10)
        assert answer.headers["x-tidegate-replica"] == f"face-{two}"


@pytest.mark.parametrize(
    ("changes", "served"),
    [
        ({}, True),
        ({"serverName": None}, True),
        ({"serverName": None, "ca": None, "verify": False}, True),
        ({"ca": "wrong"}, False),
        ({"serverName": "other.internal"}, False),
        ({"certificate": None, "key": None}, False),
    ],
    ids=["right", "any name", "unverified", "other authority", "other name", "no certificate"],
)
async def test_only_the_right_ones_are_spoken_to_and_probes_say_why(
    tmp_path: Path, pki: Pki, changes: dict[str, Any], served: bool
):
    tls = pki.tls(**(changes | ({"ca": str(pki.wrong_ca)} if changes.get("ca") == "wrong" else {})))
    async with replica(pki) as port, patient(tmp_path) as here:
        await here.gateway.publish(face(tls, port, **({} if served else {"start_wait_s": 0.5})))
        answer = await here.client.get("/face")
        assert answer.status_code in ((200,) if served else (502, 503))
        address = f"127.0.0.1:{port}"
        target = ProbeTarget("face-1", "face", address, None, str(tmp_path), {}, Probes(), Rollout(), tls=tls)
        check = Check(httpGet=HttpGet(path="/"))
        result = await Checks(Scripts()).run(target, check, Asked("readiness"))
        assert result.verdict is (Verdict.PASS if served else Verdict.FAIL), result
        assert served or result.reason


async def test_a_certificate_that_is_missing_is_named_and_used_when_it_comes(tmp_path: Path, pki: Pki):
    late = tmp_path / "late.pem"
    async with replica(pki) as port, patient(tmp_path / "g") as here:
        wanted = face(pki.tls(certificate=str(late), key=None), port, start_wait_s=0.5)
        await here.gateway.publish(wanted)
        assert (await here.client.get("/face")).status_code == 503
        seen, _ = await here.gateway.observe()
        fault = next(c for c in seen.certificates if c.file == str(late))
        assert (fault.fault.startswith(f"{late}: No such file"), fault.in_force) == (True, False)
        late.write_bytes(pki.gateway.certificate.read_bytes() + pki.gateway.key.read_bytes())
        await here.gateway.observe()
        seen, _ = await here.gateway.observe()
        assert seen.version is None, "so that the snapshot comes again"
        await here.gateway.publish(wanted)

        async def served() -> bool:
            return (await here.client.get("/face")).status_code == 200

        await until(served)
        seen, _ = await here.gateway.observe()
        assert {c.fault for c in seen.certificates} == {""}
        assert replace(wanted, services=()).version == seen.version
