"""The real proxy with its helper: media named by URL decide the pool, and nothing private is reached."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from fetch.origin import Origin, answer
from gateway.world import Replica, World, pool, service, snapshot, until, world
from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.spec.by_url import MediaByUrl
from tidegate.spec.requests import Accepts, Match, Range


def picture(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "GIF")
    return file.getvalue()


SMALL, LARGE, HUGE = picture(100, 100), picture(4000, 3000), picture(9000, 9000)


@asynccontextmanager
async def origin() -> AsyncIterator[Origin]:
    async def say(path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/slow":
            await asyncio.sleep(3600)
        base = f"http://127.0.0.1:{here.port}"
        pages = {
            "/small": answer(200, SMALL, content_type="image/gif"),
            "/large": answer(200, LARGE, content_type="image/gif"),
            "/huge": answer(200, HUGE, content_type="image/gif"),
            "/text": answer(200, b"<html>" * 100, content_type="text/html"),
            "/moved": answer(302, location=f"{base}/large"),
            "/trap": answer(302, location="http://169.254.169.254/latest/meta-data/"),
        }
        writer.write(pages.get(path, answer(404)))

    async with Origin(say).listening() as here:
        yield here


async def listens(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def by_url(
    folder: Path, here: Origin, accepts: Accepts | None = None, **changes: Any
) -> AsyncIterator[tuple[World, Replica, Replica]]:
    """A service whose large media go to a pool of their own; the helper listens."""
    usual = {"fields": ("image_url",), "networks": ("127.0.0.0/8",), "ports": (here.port, 80), "timeoutSeconds": 30}
    rules = MediaByUrl(**(usual | changes))
    async with world(folder) as gateway:
        small, large = await gateway.replica("small-1"), await gateway.replica("large-1")
        face = service(
            pool(name="large", servers=(large.server(),), match=Match(pixels=Range(min=10e6))),
            pool(servers=(small.server(),)),
            accepts=accepts or Accepts(pixels=50_000_000),
            media_by_url=rules,
        )
        await gateway.gateway.publish(snapshot(face))
        await until(lambda: listens(gateway.gateway.settings.socket("fetch")))
        try:
            yield gateway, small, large
        finally:
            await gateway.gateway._helper.stop()


async def test_what_is_named_decides_the_pool_like_what_is_sent(tmp_path: Path):
    async with origin() as media, by_url(tmp_path, media) as (here, small, large):
        base = f"http://127.0.0.1:{media.port}"

        async def pool_of(body: Any) -> str:
            content = body if isinstance(body, str) else json.dumps(body)
            reply = await here.client.post("/face", content=content, headers={"content-type": "application/json"})
            assert reply.status_code == 200, reply.text
            return reply.text

        assert await pool_of({"image_url": f"{base}/small"}) == "small-1"
        seen = small.seen[-1].headers
        assert (seen["x-media-width"], seen["x-media-type"], seen["x-media-count"]) == ("100", "gif", "1")
        assert await pool_of({"image_url": {"url": f"{base}/large"}}) == "large-1"
        assert large.seen[-1].headers["x-media-pixels"] == "12000000"
        assert await pool_of({"image_url": [f"{base}/small", f"{base}/large"]}) == "large-1"
        assert large.seen[-1].headers["x-media-count"] == "2"
        assert await pool_of({"image_url": f"{base}/moved"}) == "large-1"
        twice = f'{{"image_url": "{base}/small", "image_url": "{base}/large"}}'
        assert await pool_of(twice) == "large-1", "whichever of the two a replica reads"
        padded = {"image_url": f"{base}/large", "note": "x" * 1_000_000}
        assert await pool_of(padded) == "large-1", "read by a lane"
        hidden = {"content": json.dumps({"image_url": f"{base}/large"}), "headers": {"content-type": "text/plain"}}
        assert (await here.client.post("/face", **hidden)).text == "large-1", "JSON under another name"
        before = len(media.asked)
        assert await pool_of({"other": f"{base}/large"}) == "small-1"
        assert len(media.asked) == before
        assert "authorization" not in "".join(media.asked).lower()


async def test_what_may_not_be_fetched_or_cannot_be_is_refused_with_a_code(tmp_path: Path):
    async with origin() as media, by_url(tmp_path, media, timeoutSeconds=2, required=True) as (here, small, large):
        base = f"http://127.0.0.1:{media.port}"
        cases = (
            (f"{base}/huge", 413, "media_too_many_pixels"),
            (f"{base}/gone", 422, "media_url_failed"),
            (f"{base}/slow", 422, "media_url_timeout"),
            (f"{base}/trap", 422, "media_url_refused"),
            ("http://10.0.0.1/x.png", 422, "media_url_refused"),
            ("http://[::1]/x.png", 422, "media_url_refused"),
            ("http://169.254.169.254/latest/meta-data/", 422, "media_url_refused"),
            (f"http://user@127.0.0.1:{media.port}/small", 422, "media_url_refused"),
            ("http://127.0.0.1:1/small", 422, "media_url_refused"),
            ("file:///etc/passwd", 422, "media_url_refused"),
            (None, 422, "media_missing"),
            ([f"{base}/small"] * 9, 413, "media_too_many"),
        )
        for url, status, code in cases:
            reply = await here.client.post("/face", json={"image_url": url})
            assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), url
            assert "127.0.0.1" not in reply.text
            assert "10.0.0.1" not in reply.text, "nothing is told of what lies behind the gateway"
        assert small.seen == large.seen == []
        refused = (await here.gateway.observe())[0].refused
        assert refused["media_url_refused"] == 7


async def test_requests_without_urls_do_not_wait_for_those_with_slow_ones(tmp_path: Path):
    async with origin() as media, by_url(tmp_path, media) as (here, *_):
        slow = [
            asyncio.create_task(here.client.post("/face", json={"image_url": f"http://127.0.0.1:{media.port}/slow"}))
            for _ in range(20)
        ]
        await until(lambda: asyncio.sleep(0, len(media.asked) >= 20))
        replies = [await here.client.post("/face", content=SMALL) for _ in range(20)]
        assert {r.status_code for r in replies} == {200}
        assert not any(task.done() for task in slow), "answered while the others waited"
        for task in slow:
            task.cancel()


async def test_a_helper_that_ends_is_started_again_and_goes_with_the_last_service_that_needs_it(tmp_path: Path):
    async with origin() as media, by_url(tmp_path, media) as (here, *_):
        body = {"image_url": f"http://127.0.0.1:{media.port}/small"}
        helper = here.gateway._helper
        first = helper.pid()
        assert first is not None
        helper._signal(9)
        statuses: set[int] = set()

        async def served() -> bool:
            reply = await here.client.post("/face", json=body)
            statuses.add(reply.status_code)
            return reply.status_code == 200 and helper.pid() not in (None, first)

        await until(served)
        assert statuses <= {200, 503}, "never passed on unseen"
        again = helper.pid()
        await here.gateway.close(stop=False)
        second = HaproxyGateway(here.gateway.settings)
        await second.start()
        try:
            assert second._helper.pid() == again, "it outlives the control process, and the next one finds it"
            await second.publish(snapshot(service(pool())))
            await until(lambda: asyncio.sleep(0, second._helper.pid() is None))
        finally:
            await second.close(stop=False)
