"""The real proxy and requests that mean harm: no replica sees what it should not, others are served, all is counted."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gateway.world import PATIENCE_S, Replica, World, pool, service, snapshot, until, world
from tidegate.spec.requests import Route

# For what the proxy is to cut off; long enough that an honest client which stands still for a moment is not.
IMPATIENT = {"header_timeout_s": 2.0, "body_timeout_s": 2.0, "idle_timeout_s": 2.0}


@asynccontextmanager
async def two_services(folder: Path, **changes: object) -> AsyncIterator[tuple[World, Replica, Replica]]:
    """`face`, which is asked, and `ocr`, which nobody should reach."""
    async with world(folder, **changes) as here:
        face, ocr = await here.replica("face-1"), await here.replica("ocr-1")
        services = (
            service(pool(servers=(face.server(),))),
            service(pool("ocr", servers=(ocr.server(),)), name="ocr", route=Route(pathPrefix="/ocr")),
        )
        await here.gateway.publish(snapshot(*services))
        yield here, face, ocr


def statuses(got: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", got)]


async def refused(here: World) -> Counter[str]:
    return Counter((await here.gateway.observe())[0].refused)


POST = b"POST /face HTTP/1.1\r\nhost: a\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
HIDDEN = b"GET /ocr HTTP/1.1\r\nhost: a\r\n\r\n"

SMUGGLED = {
    "CL.TE": b"content-length: 50\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE.CL": b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n22\r\n" + HIDDEN + b"\r\n0\r\n\r\n",
    "TE twice": b"content-length: 5\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE unknown first": b"content-length: 5\r\ntransfer-encoding: x, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE misspelt": b"content-length: 5\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE quoted": b'content-length: 5\r\ntransfer-encoding: "chunked"\r\n\r\n0\r\n\r\n' + HIDDEN,
    "TE identity": b"content-length: 5\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE space before colon": b"content-length: 5\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE vertical tab": b"content-length: 5\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE in a folded line": b"content-length: 5\r\nx: y\r\n\ttransfer-encoding: chunked\r\n\r\nabcde",
    "TE after a bare LF": b"content-length: 5\r\nx: y\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": b"content-length: 5\r\ncontent-length: 38\r\n\r\nabcde" + HIDDEN,
    "list of lengths": b"content-length: 5, 38\r\n\r\nabcde" + HIDDEN,
    "length with a sign": b"content-length: +5\r\n\r\nabcde" + HIDDEN,
    "length below zero": b"content-length: -1\r\n\r\n" + HIDDEN,
    "length that overflows": b"content-length: 18446744073709551621\r\n\r\nabcde" + HIDDEN,
    "length in hex": b"content-length: 0x5\r\n\r\nabcde" + HIDDEN,
    "chunk size that overflows": b"transfer-encoding: chunked\r\n\r\n10000000000000005\r\nabcde\r\n0\r\n\r\n" + HIDDEN,
    "chunk size with 0x": b"transfer-encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n" + HIDDEN,
    "chunk with bare LF": b"transfer-encoding: chunked\r\n\r\n5\nabcde\n0\n\n" + HIDDEN,
    "chunk extension with LF": b"transfer-encoding: chunked\r\n\r\n5;a=\nb\r\nabcde\r\n0\r\n\r\n" + HIDDEN,
    "chunk longer than it says": b"transfer-encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n" + HIDDEN,
    "bare CR in a header": b"x: y\rcontent-length: 38\r\n\r\n" + HIDDEN,
    "NUL in a header": b"x: a\0b\r\n\r\n" + HIDDEN,
    "two hosts": b"host: b\r\n\r\n" + HIDDEN,
    "name with a space": b"x y: 1\r\n\r\n" + HIDDEN,
    "no name": b": 1\r\n\r\n" + HIDDEN,
    "TE chunked twice": b"content-length: 5\r\n" + CHUNKED * 2 + b"\r\n0\r\n\r\n" + HIDDEN,
    "TE chunked not last": b"content-length: 5\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE with a parameter": b"content-length: 5\r\ntransfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE on the next line": b"content-length: 5\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE with a NUL": b"content-length: 5\r\ntransfer-encoding: chunked\0\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE empty": b"content-length: 5\r\ntransfer-encoding:\r\n\r\nabcde" + HIDDEN,
    "name in Latin 1": b"content-length: 5\r\ntransfer\xadencoding: chunked\r\n\r\nabcde" + HIDDEN,
    "name with an underscore": b"content-length: 5\r\ntransfer_encoding: chunked\r\n\r\nabcde",
    "host on two lines": b" b\r\n\r\n" + HIDDEN,
    "length with a space in it": b"content-length: 5 8\r\n\r\nabcde" + HIDDEN,
    "length on the next line": b"content-length:\r\n 5\r\n\r\nabcde",
    "length empty": b"content-length:\r\n\r\n" + HIDDEN,
    "length in other digits": "content-length: ٥\r\n\r\n".encode() + HIDDEN,
    "chunk size with a sign": CHUNKED + b"\r\n+5\r\nabcde\r\n0\r\n\r\n" + HIDDEN,
    "chunk size below zero": CHUNKED + b"\r\n-5\r\nabcde\r\n0\r\n\r\n" + HIDDEN,
    "chunk size empty": CHUNKED + b"\r\n\r\nabcde\r\n0\r\n\r\n" + HIDDEN,
    "chunk size with a space in it": CHUNKED + b"\r\n5 0\r\nabcde\r\n0\r\n\r\n" + HIDDEN,
    "chunk extension with CR": CHUNKED + b"\r\n5;a=\rb\r\nabcde\r\n0\r\n\r\n" + HIDDEN,
    "chunk ends with CR only": CHUNKED + b"\r\n5\r\nabcde\r0\r\n\r\n" + HIDDEN,
    "chunk without its end": CHUNKED + b"\r\n5\r\nabcde0\r\n\r\n" + HIDDEN,
    "length in the trailers": CHUNKED + b"\r\n5\r\nabcde\r\n0\r\ncontent-length: 38\r\n\r\n",
    "TE in the trailers": CHUNKED + b"\r\n5\r\nabcde\r\n0\r\n" + CHUNKED + b"\r\n",
    "chunk extension": CHUNKED + b'\r\n5;a="b";c\r\nabcde\r\n0\r\n\r\n',
}
READ_ONE_WAY = ("TE on the next line", "name with an underscore", "length on the next line", "chunk extension")
READ_ONE_WAY += ("length in the trailers", "TE in the trailers")


async def test_no_way_of_contradicting_oneself_hides_a_request(tmp_path: Path):
    async with two_services(tmp_path, **IMPATIENT) as (here, face, ocr):
        got = await asyncio.gather(*(here.raw(POST + rest) for rest in SMUGGLED.values()))
        for case, answer in zip(SMUGGLED, got, strict=True):
            assert len(statuses(answer)) == 1, case
            assert ocr.seen == [], case
        by_case = {case: statuses(answer)[0] for case, answer in zip(SMUGGLED, got, strict=True)}
        # What can be read in one way only is served as that, without anything behind it.
        served = {case for case, status in by_case.items() if status == 200}
        assert served == {"CL.TE", "TE in a folded line", "TE after a bare LF", *READ_ONE_WAY}
        assert set(by_case.values()) <= {200, 400, 408, 422}
        assert all(s.headers.get("content-length", "0") == str(s.body_bytes) or not s.body_bytes for s in face.seen)
        assert (await here.client.get("/face")).status_code == 200
        counts = await refused(here)
        assert counts["bad_request"] + counts["upload_timeout"] == len(SMUGGLED) - len(served)


async def test_a_path_means_the_same_to_the_gateway_and_to_a_replica(tmp_path: Path):
    paths = (
        *("/face/../ocr", "/face/%2e%2e/ocr", "/face/.%2E/ocr", "/face/..%2focr", "/face/..%5cocr", "/face\\..\\ocr"),
        *("/face/..;/ocr", "/face/..", "/face/.", "/./face", "/.tidegate/../face", "/face/../.tidegate/healthz"),
        *("/face/%00", "/face/a%00.png", "face", "*"),
        *("/face//..", "/face/a/..\\ocr", "/face/a\\.", "/face/.;x", "/face/..;?x", "/face/%252e/.."),
    )
    async with two_services(tmp_path) as (here, face, ocr):
        for path in paths:
            got = await here.raw(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            assert (statuses(got), b'"bad_path"' in got) == ([400], True), path
        assert face.seen == ocr.seen == []
        for path in ("/face%2f..%2focr", "//face", "/%66ace", "/facet", "/FACE", "/face;x", "//.tidegate/healthz"):
            got = await here.raw(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            assert statuses(got)[0] in (400, 404), path
        for path in ("/face/a..b", "/face/...", "/face/.hidden", "/face/a%2fb", "/face?x=/../ocr"):
            assert (await here.client.get(path)).status_code == 200, path
        assert ocr.seen == []
        assert (await refused(here))["bad_path"] >= len(paths)


async def test_an_absolute_target_reaches_the_replica_like_any_other(tmp_path: Path):
    async with two_services(tmp_path, idle_timeout_s=0.5) as (here, face, _ocr):
        got = await here.raw(b"GET http://a/face/x?y=1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert (statuses(got), face.seen[-1].path) == ([200], "/x?y=1")
        other = await here.raw(b"GET http://b/face HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert statuses(other) == [400], "the target and Host name different hosts"
        assert statuses(await here.raw(b"CONNECT ocr:80 HTTP/1.1\r\nhost: ocr:80\r\n\r\n")) == [405]


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        (b"GET /face HTTP/1.1\r\n", "bad_host"),
        (b"GET /face HTTP/3.0\r\nhost: a\r\n", "bad_version"),
        (b"GET http://user@a/face HTTP/1.1\r\nhost: a\r\n", "bad_path"),
        (b"GET ftp://a/face HTTP/1.1\r\nhost: a\r\n", "bad_path"),
        (b"GET http:/face HTTP/1.1\r\nhost: a\r\n", "bad_path"),
        (b"get /face HTTP/1.1\r\nhost: a\r\n", "method_not_allowed"),
    ],
    ids=[
        "no host",
        "another version",
        "user in the target",
        "another scheme",
        "no host in the target",
        "small letters",
    ],
)
async def test_what_another_server_may_read_otherwise_is_refused_by_name(
    tmp_path: Path, request_line: bytes, code: str
):
    async with two_services(tmp_path) as (here, face, _):
        got = await here.raw(request_line + b"connection: close\r\n\r\n")
        assert (json.loads(got.partition(b"\r\n\r\n")[2])["error"]["code"], face.seen) == (code, [])
        assert (await refused(here))[code] == 1


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("size", [0, 100, 3_000_000], ids=["no body", "small", "by a lane"])
async def test_a_hundred_header_lines_arrive_and_more_are_refused_by_name(tmp_path: Path, size: int, http2: bool):
    async with two_services(tmp_path) as (here, face, _):
        # By the client: host and content-length; over HTTP/2 the authority becomes a host.
        ours = 2
        async with httpx.AsyncClient(
            base_url=here.gateway.settings.url, http1=not http2, http2=http2, trust_env=False, timeout=10.0
        ) as client:
            for name in ("accept", "accept-encoding", "connection", "user-agent"):
                client.headers.pop(name)
            lines = {f"x-{n}": str(n) for n in range(100 - ours)}
            answer = await client.post("/face", content=b"x" * size, headers=lines)
            assert answer.status_code == 200
            assert {k: v for k, v in face.seen[-1].headers.items() if k in lines} == lines
            for more in (1, 300, 800):
                many = {f"x-{n}": str(n) for n in range(100 - ours + more)}
                answer = await client.post("/face", content=b"x" * size, headers=many)
                assert (answer.status_code, answer.json()["error"]["code"]) == (431, "headers_too_large")
        assert len(face.seen) == 1
        assert await refused(here) == Counter(headers_too_large=3)


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        ("POST", "/nowhere", {}, "no_such_service"),
        ("POST", "/.tidegate/x", {}, "no_such_path"),
        ("BREW", "/face", {}, "method_not_allowed"),
        ("POST", "/face/%00", {}, "bad_path"),
        ("POST", "/face/" + "a" * 20_000, {}, "uri_too_long"),
        ("POST", "/face", {"x-large": "a" * 40_000}, "headers_too_large"),
    ],
)
async def test_who_sends_a_large_body_along_reads_why_it_was_refused(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], code: str
):
    async with two_services(tmp_path, body_timeout_s=5.0) as (here, face, _):
        for body in (b"x" * 5_000_000, b""):
            answer = await here.client.request(method, path, content=body, headers=headers)
            assert answer.json()["error"]["code"] == code
        asks = f"{method} {path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5000000\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.settings.listen_port)
        writer.write(f"{asks}{lines}\r\n".encode())
        try:
            async with asyncio.timeout(10.0):
                got = await reader.readuntil(b'"}}')
        finally:
            writer.close()
        assert (b"100 Continue" in got, code.encode() in got) == (False, True), "told before it sends"
        assert (face.seen, await refused(here)) == ([], Counter({code: 3}))


async def test_hop_by_hop_headers_stay_with_the_hop_they_are_for(tmp_path: Path):
    async with two_services(tmp_path) as (here, face, _):
        abuse = b"connection: x-forwarded-for, x-request-id, close\r\nte: trailers\r\nproxy-connection: x\r\n"
        await here.raw(b"GET /face HTTP/1.1\r\nhost: a\r\n" + abuse + b"\r\n")
        assert face.seen[-1].headers["x-forwarded-for"] == "127.0.0.1"
        assert not {"te", "proxy-connection"} & set(face.seen[-1].headers)
        assert "forwarded" not in face.seen[-1].headers.get("connection", "")
        key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
        for upgrade, kept in (("h2c", None), ("websocket", "websocket"), ("h2c, websocket", "websocket")):
            before = len(face.seen)
            head = f"GET /face HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: {upgrade}\r\n{key}\r\n"
            sent = asyncio.create_task(here.raw(head.encode()))
            await until(lambda before=before: asyncio.sleep(0, len(face.seen) > before))
            sent.cancel()
            assert face.seen[-1].headers.get("upgrade") == kept, upgrade


async def test_older_and_pipelined_requests_are_answered_one_by_one(tmp_path: Path):
    async with two_services(tmp_path, idle_timeout_s=0.5) as (here, _face, _):
        get = b"GET /face HTTP/1.1\r\nhost: a\r\n\r\n"
        assert statuses(await here.raw(get * 5)) == [200] * 5
        with_body = POST + b"content-length: 38\r\n\r\n" + HIDDEN + b"12345678"
        assert len(HIDDEN) + 8 == 38
        assert statuses(await here.raw(with_body + get)) == [200, 200]
        old = await here.raw(b"GET /face HTTP/1.0\r\n\r\n")
        assert statuses(old) == [200]
        asks = POST + b"expect: 100-continue\r\ncontent-length: 3\r\nconnection: close\r\n\r\n"
        assert statuses(await here.raw(asks + b"abc")) == [100, 200]
        assert b" 413 " in await here.raw(asks.replace(b": 3", b": 99999999"))


async def test_oversized_heads_are_refused_and_others_are_served(tmp_path: Path):
    def get(target: bytes = b"/face", extra: bytes = b"") -> bytes:
        return b"GET " + target + b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + extra + b"\r\n"

    many = b"".join(b"x-%d: 1\r\n" % i for i in range(500))
    async with two_services(tmp_path) as (here, face, _):
        cases = (
            (get(b"/face/" + b"a" * 20_000), 414),
            (get(b"/face/" + b"a" * 400_000), 400),
            (get(extra=b"x: " + b"a" * 40_000 + b"\r\n"), 431),
            (get(extra=b"x: " + b"a" * 400_000 + b"\r\n"), 400),
            (get(extra=many * 5), 400),
            (get(b"/face", b"x-" + b"a" * 40_000 + b": 1\r\n"), 400),
        )
        got = await asyncio.gather(*(here.raw(data) for data, _ in cases for _ in range(5)))
        assert [statuses(g) for g in got] == [[status] for _, status in cases for _ in range(5)]
        assert face.seen == []
        assert (await here.client.get("/face/" + "a" * 10_000)).status_code == 200
        counts = await refused(here)
        assert (counts["uri_too_long"], counts["headers_too_large"], counts["bad_request"]) == (5, 5, 20)


async def drip(here: World, start: bytes, drop: bytes) -> bytes:
    """Send `start`, then one drop every 50 ms, until the proxy has had enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.settings.listen_port)
    reading = asyncio.create_task(reader.read())
    writer.write(start)
    try:
        while not reading.done():
            writer.write(drop)
            await asyncio.sleep(0.05)
        return reading.result()
    except ConnectionError:
        return b""
    finally:
        reading.cancel()
        writer.close()


async def test_dripping_clients_are_cut_off_hold_no_slot_and_are_counted(tmp_path: Path):
    async with two_services(tmp_path, **IMPATIENT) as (here, face, _):
        heads = [drip(here, b"GET /face HTTP/1.1\r\n", b"x-a: b\r\n") for _ in range(15)]
        bodies = [drip(here, POST + b"content-length: 100000\r\n\r\n", b"a") for _ in range(15)]
        chunks = [drip(here, POST + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n") for _ in range(15)]
        large = [drip(here, POST + b"content-length: 2000000\r\n\r\n", b"a") for _ in range(15)]
        dripping = asyncio.gather(*heads, *bodies, *chunks, *large)
        answers = [await here.client.get("/face") for _ in range(50)]
        async with asyncio.timeout(PATIENCE_S):
            got = await dripping
        assert {a.status_code for a in answers} == {200}
        assert face.most_busy == 1
        assert {s for g in got for s in statuses(g)} == {408}
        counts = await refused(here)
        assert counts["header_timeout"] == 15
        assert counts["upload_timeout"] == 45


async def test_an_address_that_takes_all_it_can_leaves_room_for_others(tmp_path: Path):
    most = 128
    async with two_services(tmp_path, max_connections=most) as (here, *_):
        port = here.gateway.settings.listen_port

        def open_from(address: str, count: int, stack: ExitStack) -> int:
            """How many of `count` connections from an address are not closed at once."""
            mine = []
            for _ in range(count):
                try:
                    mine.append(
                        stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S, (address, 0)))
                    )
                    mine[-1].sendall(b"GET /.tidegate/healthz HTTP/1.1\r\nhost: a\r\n\r\n")
                except ConnectionError:
                    continue
            return sum(answered(one) for one in mine)

        with ExitStack() as stack:
            taken = await asyncio.to_thread(open_from, "127.0.0.2", most, stack)
            assert taken == most // 2
            taken += await asyncio.to_thread(open_from, "127.0.0.3", most, stack)
            assert most // 2 < taken <= most * 3 // 4 + 2
            for i in range(4, 8):  # crowded now: a few for each, so that many can come
                few = await asyncio.to_thread(open_from, f"127.0.0.{i}", 20, stack)
                assert 1 <= few <= most // 64
            assert (await here.client.get("/face")).status_code == 200
            assert (await refused(here))["too_many_connections"] >= 100

        async def free_again() -> bool:
            try:
                return (await here.client.get("/face")).status_code == 200
            except httpx.TransportError:
                return False

        await until(free_again)


@pytest.mark.parametrize("limit", ["connections_per_s_of_one", "connections_per_s"])
async def test_who_opens_connections_too_fast_is_turned_away_and_counted(tmp_path: Path, limit: str):
    async with two_services(tmp_path, **{limit: 2 if limit.endswith("one") else 5}) as (here, *_):
        address = ("127.0.0.1", here.gateway.settings.listen_port)

        def opened(source: str) -> bool:
            try:
                with socket.create_connection(address, 5, (source, 0)) as one:
                    one.sendall(b"GET /.tidegate/healthz HTTP/1.1\r\nhost: a\r\n\r\n")
                    return answered(one)
            except ConnectionError:
                return False

        fast = [opened("127.0.0.2") for _ in range(60)]
        assert fast[:3] == [True] * 3
        assert not all(fast)
        if limit == "connections_per_s_of_one":
            assert fast == [True] * 20 + [False] * 40, "twenty in ten seconds"
            assert opened("127.0.0.3")

        async def others_are_served() -> bool:
            try:
                return (await here.client.get("/face")).status_code == 200
            except httpx.TransportError:
                return False

        await until(others_are_served)
        assert (await refused(here))["too_many_connections"] >= fast.count(False)


async def test_clients_whose_body_is_refused_and_who_drip_it_hold_only_so_many_places(tmp_path: Path):
    async with two_services(tmp_path) as (here, *_):
        head = POST + b"content-length: 10000000\r\n\r\nx"
        streams = [await asyncio.open_connection("127.0.0.1", here.gateway.settings.listen_port) for _ in range(200)]
        for _, writer in streams:
            writer.write(head)
        asked = [asyncio.create_task(reader.read(20)) for reader, _ in streams]

        async def the_rest_is_told() -> bool:
            return sum(task.done() and b" 413 " in task.result() for task in asked) >= 200 - 2 * 64

        await until(the_rest_is_told)
        assert (await here.client.get("/face")).status_code == 200
        honest = await here.client.post("/face", content=b"x" * 10_000_000)
        assert honest.status_code == 413
        for task, (_, writer) in zip(asked, streams, strict=True):
            task.cancel()
            writer.close()


async def test_a_body_of_unknown_length_reaches_the_replica_with_its_length_and_without_trailers(tmp_path: Path):
    async with two_services(tmp_path, small_body_bytes=64 * 1024) as (here, face, _):
        end = b"0\r\nx-tidegate-tenant: evil\r\nx-more: 1\r\n\r\n"
        for size in (0, 8, 200_000):
            chunks = b"".join(b"%x\r\n%s\r\n" % (n, b"a" * n) for n in (size // 2, size - size // 2) if n)
            head = POST + b"trailer: x-more\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
            assert statuses(await here.raw(head + chunks + end)) == [200]
            seen = face.seen[-1]
            assert (seen.body_bytes, seen.headers["content-length"]) == (size, str(size))
            assert not {"transfer-encoding", "trailer", "x-more"} & seen.headers.keys()


def answered(connection: socket.socket) -> bool:
    connection.settimeout(PATIENCE_S)
    try:
        return connection.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


async def test_an_idle_connection_is_closed_and_one_that_never_speaks_too(tmp_path: Path):
    async with two_services(tmp_path, header_timeout_s=0.5, idle_timeout_s=0.5) as (here, *_):
        # Closed by the proxy: `raw` waits for that.
        silent, used = await asyncio.gather(here.raw(b""), here.raw(b"GET /face HTTP/1.1\r\nhost: a\r\n\r\n"))
        assert (silent, statuses(used)) == (b"", [200])


@pytest.mark.parametrize("size", [100, 3_000_000])
async def test_nothing_of_ours_can_be_sent_from_outside(tmp_path: Path, size: int):
    ours = ("x-tidegate-service", "x-tidegate-choice", "x-tidegate-limit", "x-tidegate-status", "x-tidegate-refused")
    forged = dict.fromkeys((*ours, "x-media-pixels", "x-client-subject", "x_media_pixels"), "ocr.default")
    async with two_services(tmp_path) as (here, face, ocr):
        answer = await here.client.post("/face", content=b"x" * size, headers=forged)
        assert (answer.status_code, ocr.seen) == (200, [])
        assert not {name for name in face.seen[-1].headers if name.startswith(("x-tidegate", "x-media", "x_"))}
        assert "x-client-subject" not in face.seen[-1].headers
        assert await refused(here) == Counter()
