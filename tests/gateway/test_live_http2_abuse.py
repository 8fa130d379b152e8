"""HTTP/2 that no honest client speaks, on its way to replicas that speak HTTP/1.1: nothing of it becomes a request."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
)

from gateway.test_live_hardening import HIDDEN, refused, two_services
from gateway.world import PATIENCE_S, World

Headers = list[tuple[bytes, bytes]]
PLAIN: Headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/face")]
END, END_HEADERS = "END_STREAM", "END_HEADERS"
INJECTED = b"x\r\ncontent-length: 0\r\n\r\n" + HIDDEN


def replaced(name: bytes, value: bytes) -> Headers:
    return [(n, value if n == name else v) for n, v in PLAIN]


ABUSE: dict[str, tuple[Headers, bytes]] = {
    "line break in a value": ([*PLAIN, (b"x-a", INJECTED)], b""),
    "bare LF in a value": ([*PLAIN, (b"x-a", INJECTED.replace(b"\r", b""))], b""),
    "NUL in a value": ([*PLAIN, (b"x-a", b"a\0b")], b""),
    "line break in a name": ([*PLAIN, (b"x-a: y\r\nx-b", b"c")], b""),
    "colon in a name": ([*PLAIN, (b"x-a:b", b"c")], b""),
    "space in a name": ([*PLAIN, (b"x-a b", b"c")], b""),
    "capitals in a name": ([*PLAIN, (b"X-A", b"c")], b""),
    "no name": ([*PLAIN, (b"", b"c")], b""),
    "line break in the path": (replaced(b":path", b"/face HTTP/1.1\r\nhost: a\r\n\r\nGET /ocr"), b""),
    "space in the path": (replaced(b":path", b"/face HTTP/1.1 "), b""),
    "empty path": (replaced(b":path", b""), b""),
    "path without a slash": (replaced(b":path", b"face"), b""),
    "dot segments": (replaced(b":path", b"/face/../ocr"), b""),
    "line break in the method": (replaced(b":method", b"GET /ocr HTTP/1.1\r\nx: "), b""),
    "space in the method": (replaced(b":method", b"GET /ocr"), b""),
    "line break in the host": (replaced(b":authority", b"a\r\nx: y"), b""),
    "odd scheme": (replaced(b":scheme", b"http://b/ocr?"), b""),
    "two paths": ([*PLAIN, (b":path", b"/ocr")], b""),
    "unknown pseudo header": ([*PLAIN, (b":magic", b"1")], b""),
    "pseudo header behind others": ([*PLAIN[:3], (b"x-a", b"b"), PLAIN[3]], b""),
    "no path": (PLAIN[:3], b""),
    "transfer encoding": ([*PLAIN, (b"transfer-encoding", b"chunked")], b"0\r\n\r\n" + HIDDEN),
    "connection header": ([*PLAIN, (b"connection", b"x-forwarded-for")], b""),
    "upgrade": ([*PLAIN, (b"upgrade", b"h2c")], b""),
    "body longer than its length": ([*PLAIN, (b"content-length", b"5")], b"abcde" + HIDDEN),
    "body shorter than its length": ([*PLAIN, (b"content-length", b"500")], b"abcde"),
    "two lengths": ([*PLAIN, (b"content-length", b"5"), (b"content-length", b"38")], b"abcde" + HIDDEN),
    "length with a line break": ([*PLAIN, (b"content-length", b"5\r\nx: y")], b"abcde"),
    "headers of 400 KB": ([*PLAIN, *((b"x-%d" % i, b"a" * 4000) for i in range(100))], b""),
    "500 headers": ([*PLAIN, *((b"x-%d" % i, b"1") for i in range(500))], b""),
}


async def connect(here: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.settings.listen_port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize())
    return reader, writer


def frames(headers: Headers, body: bytes, stream: int = 1) -> bytes:
    """A request as frames; headers that do not fit in one go on in others."""
    block = hpack.Encoder().encode(headers, huffman=False)
    parts = [block[i : i + 16_000] for i in range(0, len(block), 16_000)]
    sent: list[Frame] = [HeadersFrame(stream, parts[0], flags=[] if body else [END])]
    sent += [ContinuationFrame(stream, part) for part in parts[1:]]
    sent[-1].flags.add(END_HEADERS)
    if body:
        sent.append(DataFrame(stream, body, flags=[END]))
    return b"".join(frame.serialize() for frame in sent)


async def outcome(here: World, headers: Headers, body: bytes) -> str:
    """What came of a request: its status, "reset", "goaway" or "closed"."""
    reader, writer = await connect(here)
    try:
        writer.write(frames(headers, body))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                frame, length = Frame.parse_frame_header(memoryview(await reader.readexactly(9)))
                frame.parse_body(memoryview(await reader.readexactly(length)))
                if isinstance(frame, HeadersFrame):
                    return dict(hpack.Decoder().decode(frame.data))[":status"]
                if isinstance(frame, RstStreamFrame):
                    return "reset"
                if isinstance(frame, GoAwayFrame):
                    return "goaway"
    except (EOFError, ConnectionError):
        return "closed"
    finally:
        writer.close()


async def test_the_plain_request_of_these_tests_is_answered(tmp_path: Path):
    async with two_services(tmp_path) as (here, face, _):
        assert await outcome(here, PLAIN, b"") == "200"
        assert await outcome(here, [*PLAIN, (b"content-length", b"3")], b"abc") == "200"
        assert [s.body_bytes for s in face.seen] == [0, 3]


async def test_nothing_odd_becomes_a_request_of_its_own(tmp_path: Path):
    async with two_services(tmp_path) as (here, face, ocr):
        for case, (headers, body) in ABUSE.items():
            came = await outcome(here, headers, body)
            assert came in ("reset", "goaway", "431" if case == "500 headers" else "400"), (case, came)
            assert (len(face.seen), ocr.seen) == (0, []), case
        assert (await here.client.get("/face")).status_code == 200
        assert sum((await refused(here)).values()) > 0


async def test_the_host_is_the_one_that_decided_the_route(tmp_path: Path):
    async with two_services(tmp_path) as (here, face, _):
        assert await outcome(here, [*PLAIN, (b"host", b"b")], b"") == "200"
        assert face.seen[-1].headers["host"] == "a"


async def test_one_address_holds_as_many_requests_as_connections_however_few_carry_them(tmp_path: Path):
    async with two_services(tmp_path, max_connections=60) as (here, *_):
        reader, writer = await connect(here)
        streams = range(1, 90, 2)
        block = hpack.Encoder().encode([*PLAIN, (b"content-length", b"5")], huffman=False)
        writer.write(b"".join(HeadersFrame(s, block, flags=[END_HEADERS]).serialize() for s in streams))
        refused_streams = 0
        async with asyncio.timeout(PATIENCE_S):
            while refused_streams < len(streams) - 30:
                frame, length = Frame.parse_frame_header(memoryview(await reader.readexactly(9)))
                frame.parse_body(memoryview(await reader.readexactly(length)))
                refused_streams += isinstance(frame, HeadersFrame)
        assert (await refused(here))["too_many_streams"] == len(streams) - 30
        other = await asyncio.open_connection(
            "127.0.0.1", here.gateway.settings.listen_port, local_addr=("127.0.0.2", 0)
        )
        other[1].write(b"GET /face HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b" 200 " in await asyncio.wait_for(other[0].readline(), PATIENCE_S)
        for opened in (writer, other[1]):
            opened.close()


async def test_floods_of_frames_leave_others_served(tmp_path: Path):
    async with two_services(tmp_path) as (here, *_):
        endless = HeadersFrame(1, b"").serialize() + ContinuationFrame(1, b"\x00\x01a\x01b" * 2000).serialize() * 100
        resets = b"".join(
            frames(PLAIN, b"", stream) + RstStreamFrame(stream, 8).serialize() for stream in range(1, 4001, 2)
        )
        settings, pings = SettingsFrame(0).serialize() * 5000, (b"\0\0\x08\x06\0\0\0\0\0" + b"12345678") * 5000
        connections = [await connect(here) for _ in range(12)]
        for i, (_, writer) in enumerate(connections):
            writer.write((endless, resets, settings, pings)[i % 4])
        try:
            answers = [await here.client.get("/face") for _ in range(30)]
        finally:
            for _, writer in connections:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        assert {a.status_code for a in answers} == {200}
