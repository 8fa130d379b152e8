"""Both doors with real sockets."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import stat

import httpx
import pytest
import trustme

from gateway.pki import written
from tidegate.base.errors import ControlError
from tidegate.web import secure, server
from tidegate.web.server import Listen, serving
from web.world import FakeControl


def over_socket(path) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://tidegate")


async def test_serves_a_socket_for_its_owner_and_a_port_for_browsers(tmp_path):
    path = tmp_path / "control.sock"
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with serving(FakeControl(), Listen(path)) as served:
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with over_socket(path) as http:
            assert (await http.post("/v1/down")).status_code == 202
        async with httpx.AsyncClient(base_url=served.page, trust_env=False) as http:
            assert (await http.get("/v1/status")).status_code == 200
            assert (await http.post("/v1/down")).status_code == 403
            assert "server" not in (await http.get("/")).headers
            rebound = await http.get("/v1/status", headers={"host": "evil.example"})
            assert rebound.status_code == 421
    assert not path.exists()


async def test_stopping_does_not_wait_for_followers(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "STOP_WITHIN_S", 3600.0)
    door = serving(FakeControl(), Listen(tmp_path / "control.sock"))
    served = await door.__aenter__()
    async with (
        httpx.AsyncClient(base_url=served.page, trust_env=False) as http,
        http.stream("GET", "/v1/stream") as stream,
        http.stream("GET", "/v1/events?follow=1"),
    ):
        await anext(stream.aiter_bytes())
        async with asyncio.timeout(60):
            await door.__aexit__(None, None, None)


async def test_a_socket_left_by_a_dead_process_is_replaced(tmp_path):
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with serving(FakeControl(), Listen(path, port=None)) as served, over_socket(path) as http:
        assert served.page == ""
        assert (await http.get("/v1/status")).status_code == 200


async def refusal_of(listen: Listen) -> str:
    with pytest.raises(ControlError) as error:
        async with serving(FakeControl(), listen):
            pass
    return str(error.value)


async def test_says_why_an_address_cannot_be_used(tmp_path):
    path = tmp_path / "control.sock"
    async with serving(FakeControl(), Listen(path)) as served:
        assert "another Tidegate answers" in await refusal_of(Listen(path))
        port = int(served.page.rsplit(":", 1)[1].strip("/"))
        assert f"127.0.0.1:{port} is taken" in await refusal_of(Listen(port=port))
        async with over_socket(path) as http:  # the refused one has left the first alone
            assert (await http.get("/v1/status")).status_code == 200
    assert "too long for a socket" in await refusal_of(Listen(tmp_path / ("x" * 120)))
    (tmp_path / "file").write_text("")
    assert "not a socket" in await refusal_of(Listen(tmp_path / "file"))
    assert "set a token" in await refusal_of(Listen(host="0.0.0.0"))
    assert "cannot listen on no.such.host.invalid" in await refusal_of(Listen(host="no.such.host.invalid", token="t"))


async def test_beyond_loopback_everything_but_the_empty_page_needs_the_token():
    async with (
        serving(FakeControl(), Listen(host="0.0.0.0", token="s3cret")) as served,
        httpx.AsyncClient(base_url=served.page, trust_env=False) as http,
    ):
        assert (await http.get("/")).status_code == 200
        assert (await http.get("/v1/status")).status_code == 401
        allowed = await http.get("/v1/status", headers={"authorization": "Bearer s3cret"})
        assert allowed.status_code == 200


async def test_a_renewed_certificate_is_served_to_new_connections(tmp_path, monkeypatch):
    monkeypatch.setattr(secure, "_LOOK_S", 0.05)
    ca = trustme.CA()
    files = written(tmp_path, ca.issue_cert("127.0.0.1", "old.example.org"))
    listen = Listen(host="0.0.0.0", token="s3cret", certificate=files.certificate, key=files.key)
    async with serving(FakeControl(), listen) as served:
        assert served.page.startswith("https://")
        port = int(served.page.rsplit(":", 1)[1].strip("/"))
        context = ssl.create_default_context()
        ca.configure_trust(context)

        async def name() -> str:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            names = writer.get_extra_info("peercert")["subjectAltName"]
            writer.close()
            return next(value for kind, value in names if kind == "DNS")

        assert await name() == "old.example.org"
        written(tmp_path, ca.issue_cert("127.0.0.1", "new.example.org"))
        async with asyncio.timeout(60):
            while await name() != "new.example.org":
                await asyncio.sleep(0.02)


async def test_a_certificate_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "a.pem").write_text("nothing")
    said = await refusal_of(Listen(host="0.0.0.0", token="t", certificate=tmp_path / "a.pem"))
    assert "a.pem cannot be used for the status page" in said


def test_a_token_is_not_printed():
    assert "s3cret" not in repr(Listen(token="s3cret"))
