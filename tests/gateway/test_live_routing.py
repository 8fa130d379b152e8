"""The real proxy: where requests go and what it answers itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.world import pool, service, snapshot, world
from tidegate.spec.requests import Route


async def test_a_request_reaches_a_replica_with_the_prefix_taken_off(tmp_path: Path):
    async with world(tmp_path) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(snapshot(service(pool(servers=(one.server(),)))))
        for path, seen in (("/face", "/"), ("/face/", "/"), ("/face/v1/fuse?x=1", "/v1/fuse?x=1")):
            answer = await here.client.get(path)
            assert (answer.status_code, answer.text) == (200, "face-1")
            assert one.seen[-1].path == seen
        assert answer.headers["x-tidegate-replica"] == "face-1"
        assert answer.headers["x-tidegate-pool"] == "face/default"
        assert answer.headers["x-request-id"] == one.seen[-1].headers["x-request-id"]


async def test_the_longest_prefix_wins_and_a_prefix_ends_at_a_slash(tmp_path: Path):
    async with world(tmp_path) as here:
        names = ("root", "a", "ab", "host", "below")
        replicas = {n: await here.replica(n) for n in names}
        routes = {
            "root": Route(pathPrefix="/"),
            "a": Route(pathPrefix="/a"),
            "ab": Route(pathPrefix="/a/b", stripPrefix=False),
            "below": Route(hosts=("*.example.com",)),
            "host": Route(hosts=("Media.Example.com",), pathPrefix="/a"),
        }
        services = [service(pool(n, servers=(replicas[n].server(),)), name=n, route=routes[n]) for n in names]
        await here.gateway.publish(snapshot(*services))
        for path, headers, expected in (
            ("/", {}, "root"),
            ("/ax", {}, "root"),
            ("/a", {}, "a"),
            ("/a/x", {}, "a"),
            ("/a/b", {}, "ab"),
            ("/a/bc", {}, "a"),
            ("/a/x", {"host": "media.example.com:8000"}, "host"),
            ("/b", {"host": "media.example.com"}, "below"),
            ("/a/x", {"host": "a.b.Example.com"}, "below"),
            ("/b", {"host": "example.com"}, "root"),
        ):
            assert (await here.client.get(path, headers=headers)).text == expected, path
        await here.client.get("/a/b/c")
        assert replicas["ab"].seen[-1].path == "/a/b/c"


async def test_what_the_gateway_answers_itself_is_json_with_the_request_id(tmp_path: Path):
    async with world(tmp_path, body_timeout_s=2.0) as here:
        face = service(pool(start_wait_s=0.1), max_body_bytes=1000)
        await here.gateway.publish(snapshot(face))
        chunks = _chunks(2000)
        for method, path, extra, status, code in (
            ("GET", "/nothing", {}, 404, "no_such_service"),
            ("GET", "/.tidegate/x", {}, 404, "no_such_path"),
            ("TRACE", "/face", {}, 405, "method_not_allowed"),
            ("POST", "/face", {"content": b"x" * 1001}, 413, "body_too_large"),
            ("POST", "/face", {"content": chunks}, 413, "body_too_large"),
            ("GET", "/face", {"headers": {"x-big": "x" * 70_000}}, 431, "headers_too_large"),
            ("POST", "/face", {"content": b"x" * 1000}, 503, "not_started"),
        ):
            answer = await here.client.request(method, path, **extra)  # type: ignore[arg-type]
            assert answer.status_code == status, (path, answer.text)
            error = answer.json()["error"]
            assert error["code"] == code
            assert error["requestId"] == answer.headers["x-request-id"]
        assert int(answer.headers["retry-after"]) > 0
        slow = await here.raw(b"POST /face HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab")
        assert b" 408 " in slow
        assert b'"upload_timeout"' in slow


async def _chunks(size: int):
    for _ in range(size // 100):
        yield b"x" * 100


async def test_health_and_metrics_stand_where_they_belong(tmp_path: Path):
    async with world(tmp_path) as here:
        answer = await here.client.get("/.tidegate/healthz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert (await here.client.get("/metrics")).status_code == 404
        management = f"http://127.0.0.1:{here.gateway.settings.management_port}"
        metrics = await here.client.get(f"{management}/metrics")
        assert "haproxy_backend_http_responses_total" in metrics.text or "haproxy_process" in metrics.text


async def test_metrics_on_loopback_are_not_for_a_page_under_a_rebound_name(tmp_path: Path):
    async with world(tmp_path) as here:
        port = here.gateway.settings.management_port
        for host, status in (
            (f"localhost:{port}", 200),
            ("127.0.0.1", 200),
            ("[::1]:80", 200),
            ("evil.example", 421),
            ("127.0.0.1.evil.example", 421),
        ):
            answer = await here.client.get(f"http://127.0.0.1:{port}/metrics", headers={"host": host})
            assert answer.status_code == status, host


async def test_metrics_ask_for_the_token_when_there_is_one(tmp_path: Path):
    async with world(tmp_path, management_token="s3cret") as here:
        management = f"http://127.0.0.1:{here.gateway.settings.management_port}"
        for authorization in (None, "Bearer s3cre", "Bearer S3CRET", "Basic s3cret", "Bearer", "s3cret"):
            headers = {"authorization": authorization} if authorization else {}
            refused = await here.client.get(f"{management}/metrics", headers=headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "token_needed"), authorization
        opened = await here.client.get(f"{management}/metrics", headers={"authorization": "Bearer s3cret"})
        assert opened.status_code == 200
        assert (await here.client.get(f"{management}/healthz")).status_code == 200
        assert "s3cret" not in (tmp_path / "haproxy.cfg").read_text()


async def test_a_well_formed_request_id_is_kept_and_our_headers_cannot_be_forged(tmp_path: Path):
    async with world(tmp_path) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(snapshot(service(pool(servers=(one.server(),)))))
        forged = {"x-request-id": "client-id-1", "x-tidegate-tenant": "root", "x-media-pixels": "1", "a_b": "1"}
        answer = await here.client.get("/face", headers=forged)
        assert answer.headers["x-request-id"] == "client-id-1"
        assert not {"x-tidegate-tenant", "x-media-pixels", "a_b"} & set(one.seen[-1].headers)
        answer = await here.client.get("/face", headers={"x-request-id": "no good\u00e9".encode("latin-1")})
        assert len(answer.headers["x-request-id"]) == 36


async def test_contradicting_lengths_are_refused(tmp_path: Path):
    async with world(tmp_path) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(snapshot(service(pool(servers=(one.server(),)))))
        head = b"POST /face HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
        two_lengths = head + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef"
        assert b" 400 " in await here.raw(two_lengths)
        bad_chunks = head + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"
        assert b" 200 " not in await here.raw(bad_chunks)
        assert one.seen == []
        both = head + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        assert b" 200 " in await here.raw(both)
        assert [s.body_bytes for s in one.seen] == [3]


async def test_the_largest_body_a_service_takes_goes_through(tmp_path: Path):
    async with world(tmp_path) as here:
        one = await here.replica("face-1")
        size = 3 * 2**20
        await here.gateway.publish(snapshot(service(pool(servers=(one.server(),)), max_body_bytes=size)))

        async def chunked():
            for _ in range(size // 4096):
                yield b"x" * 4096

        answers = await asyncio.gather(
            here.client.post("/face", content=b"x" * size), here.client.post("/face", content=chunked())
        )
        assert [a.status_code for a in answers] == [200, 200]
        assert [s.body_bytes for s in one.seen] == [size, size]
        assert (await here.client.post("/face", content=b"x" * (size + 1))).status_code == 413
