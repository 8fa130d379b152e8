"""Keys of issuers are fetched, kept while they cannot be had, and replaced when they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from fetch.origin import Origin, answer
from gateway.test_jwks import jwk, jwks
from tidegate.base.clock import ManualClock
from tidegate.control import issuers
from tidegate.control.issuers import REFRESH_S, RETRY_S, Issuers
from tidegate.model.admission import KeySet
from tidegate.spec.cluster import Capacity
from tidegate.spec.load import load_data
from tidegate.spec.resolve import Specs

OLD, NEW = (jwks(jwk(rsa.generate_private_key(65537, 2048))) for _ in range(2))


PATIENCE_S = 60.0


class Idp(Origin):
    """An issuer whose keys, status and delay can be set."""

    def __init__(self) -> None:
        super().__init__(self._say)
        self.keys, self.status, self.silent = OLD, 200, False

    async def _say(self, _: str, writer: asyncio.StreamWriter) -> None:
        if self.silent:
            await asyncio.sleep(3600)
        writer.write(answer(self.status, self.keys.encode()))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks"


def specs(*urls: str) -> Specs:
    jwt = {"algorithm": "RS256", "issuer": "https://id", "audience": "media"}
    manifests = [
        {
            "apiVersion": "tidegate.dev/v1",
            "kind": "MediaService",
            "metadata": {"name": f"s{i}"},
            "spec": {"command": ["x"], "access": {"jwt": {**jwt, "jwksUrl": url}}},
        }
        for i, url in enumerate(urls)
    ]
    return load_data(manifests, here=Capacity(cpu=8, memory="8Gi")).specs


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.changes = folder, ManualClock(at=1_800_000_000), 0
        self.issuers = self.new()

    def new(self) -> Issuers:
        return Issuers(self.folder, self.clock, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    @asynccontextmanager
    async def running(self, *urls: str) -> AsyncIterator[None]:
        self.issuers.follow(specs(*urls))
        task = asyncio.create_task(self.issuers.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.issuers._news.set()

    async def until(self, url: str, document: str, fault: str) -> KeySet:
        async with asyncio.timeout(PATIENCE_S):
            while (found := self.issuers.known()[url]).document != document or (fault not in found.fault):
                await asyncio.sleep(0.005)
        assert bool(found.fault) == bool(fault)
        return found


@pytest.fixture
def here(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "issuers")


async def test_keys_are_had_at_once_kept_while_they_cannot_be_had_and_replaced(here: Bench):
    idp = Idp()
    async with idp.listening(), here.running(idp.url):
        await here.until(idp.url, OLD, "")
        asked = len(idp.asked)
        await here.later(REFRESH_S - 1)
        await here.later(2)
        idp.status, idp.keys = 500, "{}"
        await here.later(REFRESH_S)
        told = await here.until(idp.url, OLD, "it answered 500")
        assert "stay in force" in told.fault
        idp.status = 200
        await here.later(RETRY_S)
        await asyncio.sleep(0)
        assert await here.until(idp.url, OLD, "it answered 500") == told, "the sentence stays the same until it is over"
        idp.keys = NEW
        await here.later(RETRY_S)
        await here.until(idp.url, NEW, "")
        assert len(idp.asked) > asked
        assert here.changes == 3


async def test_a_restart_has_the_last_keys_also_when_the_issuer_is_away(here: Bench):
    idp = Idp()
    async with idp.listening(), here.running(idp.url):
        await here.until(idp.url, OLD, "")
    here.issuers = here.new()
    here.issuers.follow(specs(idp.url))
    assert here.issuers.known() == {idp.url: KeySet(OLD)}
    async with here.running(idp.url):
        await here.until(idp.url, OLD, "Connect")


async def test_keys_that_cannot_be_written_down_are_in_force_and_that_is_said(here: Bench):
    here.folder.write_text("a file where the folder should be")
    idp = Idp()
    async with idp.listening(), here.running(idp.url):
        told = await here.until(idp.url, OLD, "cannot be kept")
        assert str(here.folder) in told.fault
        here.folder.unlink()
        await here.later(RETRY_S)
        async with asyncio.timeout(PATIENCE_S):
            while here.issuers.known()[idp.url].fault:
                await asyncio.sleep(0.005)
    assert here.new()._kept(idp.url) == OLD


async def test_where_there_never_was_a_key_that_is_said(here: Bench, monkeypatch: pytest.MonkeyPatch):
    mute, html, large = Idp(), Idp(), Idp()
    mute.silent, html.keys, large.keys = True, "<html>", " " * (issuers.MOST_BYTES + 1)
    with monkeypatch.context() as short:
        short.setattr(issuers, "TIMEOUT_S", 0.1)
        async with mute.listening(), here.running(mute.url):
            await here.until(mute.url, "", "no answer within 0.1 s")
    async with html.listening(), large.listening(), here.running(html.url, large.url):
        for idp, why in ((html, "no JWK set"), (large, "is larger than")):
            assert "no token of this issuer lets anybody in" in (await here.until(idp.url, "", why)).fault
        here.issuers.follow(specs(html.url))
        assert set(here.issuers.known()) == {html.url}
