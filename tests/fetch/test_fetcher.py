"""Fetching heads of media: what is connected to was judged, and nothing takes longer or more than it may."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
import trustme

from fetch.origin import Origin, answer
from tidegate.fetch.addresses import Address
from tidegate.fetch.fetcher import Failed, Fetcher, resolve
from tidegate.fetch.rules import Rules
from tidegate.fetch.targets import Refused

BODY = bytes(range(256)) * 1000


class Names:
    """A resolver that knows some names; several answers are given one after the other."""

    def __init__(self, **known: list[list[str]]) -> None:
        self.known = known
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        answers = self.known.get(host.split(".", maxsplit=1)[0])
        if not answers:
            return [ip_address(host)]
        return [ip_address(text) for text in (answers.pop(0) if len(answers) > 1 else answers[0])]


@asynccontextmanager
async def origin(**pages: bytes) -> AsyncIterator[Origin]:
    async def say(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(pages.get(path.strip("/").split("?")[0], answer(404)))

    async with Origin(say).listening() as here:
        yield here


def rules(here: Origin, **changes: Any) -> Rules:
    return replace(Rules(networks=("127.0.0.0/8",), ports=(here.port,), head_bytes=4096, timeout_s=60.0), **changes)


HERE = {"good": [["127.0.0.1"]]}


async def test_the_first_bytes_come_with_the_size_of_all_and_the_type():
    async with origin(x=answer(200, BODY, content_type="image/png")) as here:
        head = await Fetcher(Names(**HERE)).head("face", f"http://good.example:{here.port}/x?y=1", rules(here))
        assert (head.data, head.total, head.content_type) == (BODY[:4096], len(BODY), "image/png")
        asked = here.asked[0].lower()
        assert asked.startswith("get /x?y=1 ")
        assert f"host: good.example:{here.port}" in asked
        assert "range: bytes=0-4095" in asked
        assert not any(name in asked for name in ("authorization", "cookie", "referer", "x-forwarded", "proxy"))


async def test_a_part_is_taken_for_what_it_says():
    pages = {
        "good": answer(206, BODY[:4096], content_range=f"bytes 0-4095/{len(BODY)}"),
        "unknown": answer(206, BODY[:4096], content_range="bytes 0-4095/*"),
        "other": answer(206, BODY[:4096], content_range=f"bytes 5-4100/{len(BODY)}"),
        "silent": answer(206, BODY[:4096]),
    }
    async with origin(**pages) as here:
        fetcher, base, its = Fetcher(Names(**HERE)), f"http://good.example:{here.port}", rules(here)
        assert (await fetcher.head("face", f"{base}/good", its)).total == len(BODY)
        assert (await fetcher.head("face", f"{base}/unknown", its)).total == its.max_bytes
        for page in ("other", "silent"):
            with pytest.raises(Failed, match="another part"):
                await fetcher.head("face", f"{base}/{page}", its)


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::ffff:10.0.0.1"], ["64:ff9b::a00:1"], ["0.0.0.0"]]
)
async def test_a_name_with_one_address_that_is_not_public_is_not_connected_to(addresses: list[str]):
    with pytest.raises(Refused):
        await Fetcher(Names(evil=[addresses])).head("face", "http://evil.example/x", Rules())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"]
)
async def test_no_way_of_writing_this_machine_reaches_it(host: str):
    """With the real resolver: the forms that it understands are judged by what they mean."""
    with pytest.raises((Refused, Failed)) as told:
        await Fetcher(resolve).head("face", f"http://{host}/", Rules())
    assert "this machine" in str(told.value) or "has no address" in str(told.value)


async def test_a_name_is_resolved_once_and_that_address_is_connected_to():
    names = Names(rebound=[["127.0.0.1"], ["10.0.0.1"]])
    async with origin(x=answer(200, BODY)) as here:
        await Fetcher(names).head("face", f"http://rebound.example:{here.port}/x", rules(here))
        assert names.asked == ["rebound.example"]
        with pytest.raises(Refused):  # and judged again the next time
            await Fetcher(names).head("face", f"http://rebound.example:{here.port}/x", rules(here))


async def test_every_redirect_is_judged_like_the_first_url():
    async with origin() as here:
        base = f"http://good.example:{here.port}"
        pages = {
            "relative": answer(302, location="/x"),
            "x": answer(200, BODY),
            "private": answer(302, location=f"http://evil.example:{here.port}/x"),
            "numbers": answer(307, location="http://169.254.169.254:80/latest/meta-data/"),
            "file": answer(301, location="file:///etc/passwd"),
            "port": answer(308, location="http://good.example:1/x"),
            "user": answer(302, location=f"http://a:b@good.example:{here.port}/x"),
            "again": answer(302, location="/again"),
            "nowhere": answer(302),
        }

        async def say(path: str, writer: asyncio.StreamWriter) -> None:
            writer.write(pages[path.strip("/")])

        here.say = say
        names = Names(**HERE, evil=[["10.0.0.1"]])
        fetcher, its = Fetcher(names), rules(here)
        assert (await fetcher.head("face", f"{base}/relative", its)).total == len(BODY)
        for page in ("private", "numbers", "file", "port", "user"):
            with pytest.raises(Refused):
                await fetcher.head("face", f"{base}/{page}", its)
        with pytest.raises(Refused):
            await fetcher.head("face", f"{base}/numbers", replace(its, ports=(here.port, 80)))
        here.asked.clear()
        with pytest.raises(Failed, match="more than 3 redirects"):
            await fetcher.head("face", f"{base}/again", its)
        assert len(here.asked) == 4
        with pytest.raises(Failed, match="answered 302"):
            await fetcher.head("face", f"{base}/nowhere", its)


async def test_no_more_is_read_than_was_asked_for():
    sent = 0

    async def endless(_: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(answer(200, content_length=None, transfer_encoding="chunked"))
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            sent += 4096
            await writer.drain()

    async with Origin(endless).listening() as here:
        its = rules(here, head_bytes=8192)
        head = await Fetcher(Names(**HERE)).head("face", f"http://good.example:{here.port}/", its)
        assert (len(head.data), head.total) == (8192, its.max_bytes), "of unknown length: as large as may be"
        assert sent < 20 * 2**20


async def test_what_cannot_be_had_is_told_by_a_code():
    pages = {
        "gone": answer(404),
        "empty": b"",
        "nonsense": b"SSH-2.0-OpenSSH\r\n\r\n",
        "short": answer(200, b"abc", content_length=5000),
        "large": answer(200, content_length=10**12),
        "packed": answer(200, BODY, content_encoding="gzip"),
        "headers": b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"a" * 200_000 + b"\r\n\r\n",
    }
    codes = {"large": "media_too_many_bytes", "packed": "media_encoded"}
    async with origin(**pages) as here:
        for page in pages:
            with pytest.raises(Failed) as told:
                await Fetcher(Names(**HERE)).head("face", f"http://good.example:{here.port}/{page}", rules(here))
            assert told.value.code == codes.get(page, "media_url_failed"), page
        closed = Rules(networks=("127.0.0.0/8",), ports=(1,))
        with pytest.raises(Failed):
            await Fetcher(Names(**HERE)).head("face", "http://good.example:1/", closed)


async def test_time_and_number_are_limited():
    async def drips(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200, content_length=100_000))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with Origin(drips).listening() as here:
        fetcher, url = Fetcher(Names(**HERE)), f"http://good.example:{here.port}/"
        its = rules(here, timeout_s=0.3, at_once=3)
        found = await asyncio.gather(*(fetcher.head("face", url, its) for _ in range(5)), return_exceptions=True)
        codes = [failed.code for failed in found if isinstance(failed, Failed)]
        assert sorted(codes) == ["media_url_busy"] * 2 + ["media_url_timeout"] * 3
        with pytest.raises(Failed, match="within"):  # the places are free again
            await fetcher.head("face", url, its)


async def test_certificates_are_verified_by_name_although_the_address_was_chosen_before():
    ca = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("good.example").configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)

    async def say(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200, BODY))

    async with Origin(say).listening(tls=server) as here:
        fetcher = Fetcher(Names(**HERE, other=[["127.0.0.1"]]), client)
        head = await fetcher.head("face", f"https://good.example:{here.port}/", rules(here))
        assert head.total == len(BODY)
        with pytest.raises(Failed):
            await fetcher.head("face", f"https://other.example:{here.port}/", rules(here))
