"""A document is had whole, small, in time, and only from where it may be had from."""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import ip_address

import pytest
import trustme

from fetch.origin import Origin, answer
from tidegate.fetch.document import document

HERE = ("127.0.0.0/8",)


async def say(path: str, writer: asyncio.StreamWriter) -> None:
    answers = {
        "/keys": answer(200, b'{"keys": []}'),
        "/chunked": b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "/large": answer(200, b"x" * 2000),
        "/elsewhere": answer(302, location="/keys"),
        "/broken": b"HTTP/1.1 2",
        "/gone": answer(404),
    }
    if path == "/endless":
        writer.write(b"HTTP/1.1 200 X\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)
    elif path == "/silent":
        await asyncio.sleep(3600)
    else:
        writer.write(answers[path])


async def had(url: str, **changes: object) -> bytes:
    rules = {"networks": HERE, "most_bytes": 1000, "timeout_s": 60.0} | changes
    return await document(url, **rules)  # type: ignore[arg-type]


async def test_a_document_is_had_whole():
    async with Origin(say).listening() as origin:
        assert await had(f"http://127.0.0.1:{origin.port}/keys") == b'{"keys": []}'
        assert await had(f"http://127.0.0.1:{origin.port}/chunked") == b"hello"
        assert "range" not in origin.asked[0].lower()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("large", "larger than 1000 bytes"),
        ("elsewhere", "it answered 302"),
        ("gone", "it answered 404"),
        ("broken", "RemoteProtocolError"),
    ],
)
async def test_what_is_wrong_is_said(path: str, why: str):
    async with Origin(say).listening() as origin:
        with pytest.raises(OSError, match=why):
            await had(f"http://127.0.0.1:{origin.port}/{path}")
        with pytest.raises(OSError, match="this machine"):
            await had(f"http://127.0.0.1:{origin.port}/keys", networks=("10.0.0.0/8",))
        assert len(origin.asked) == 1


async def test_a_slow_answer_ends_at_its_time_and_an_endless_one_at_its_size():
    async with Origin(say).listening() as origin:
        with pytest.raises(OSError, match=r"no answer within 0.1 s"):
            await had(f"http://127.0.0.1:{origin.port}/silent", timeout_s=0.1)
        with pytest.raises(OSError, match=r"no answer|larger than"):
            await had(f"http://127.0.0.1:{origin.port}/endless", timeout_s=0.2)


async def test_a_name_that_leads_inside_is_not_followed():
    async def inside(*_: object) -> list[object]:
        return [ip_address("93.184.216.34"), ip_address("10.0.0.7")]

    with pytest.raises(OSError, match="private"):
        await had("https://id.example.org/keys", networks=(), resolve=inside)
    with pytest.raises(OSError, match="user name"):
        await had("https://a@id.example.org/keys", networks=(), resolve=inside)


async def test_who_answers_has_to_prove_its_name():
    authority = trustme.CA()
    server, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(trusting)
    async with Origin(say).listening(tls=server) as origin:
        assert await had(f"https://localhost:{origin.port}/keys", tls=trusting) == b'{"keys": []}'
        for host, trust in (("127.0.0.1", trusting), ("localhost", None)):
            with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
                await had(f"https://{host}:{origin.port}/keys", tls=trust)
