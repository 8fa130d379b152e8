"""The real proxy: the pool a request is sent to, and what is refused for its media."""

from __future__ import annotations

import asyncio
import base64
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.world import World, holds, pool, service, snapshot, until, world
from tidegate.model.media import MediaCounts
from tidegate.model.snapshot import ServiceRoute
from tidegate.spec.requests import Accepts, Match, Range
from tidegate.spec.resolve import PoolKey


def png(width: int, height: int, size: int = 0) -> bytes:
    """The head of a picture of that many pixels, and as many bytes of it as such a picture takes, or `size`."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return head + chunk(b"IDAT", b"\0" * (size or width * height * 3 // 1000)) + chunk(b"IEND", b"")


SMALL, LARGE = png(100, 100), png(4000, 3000)
GIF = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
IMAGE = {"content-type": "image/png"}


async def pools(here: World, *matches: tuple[str, Match], **changes: object) -> ServiceRoute:
    """A service with a replica in each pool, named as the pool is; published."""
    routes = []
    for name, match in (*matches, ("default", None)):
        replica = await here.replica(name)
        routes.append(pool(name=name, match=match, servers=(replica.server(),)))
    route = service(*routes, **changes)
    await here.gateway.publish(snapshot(route))
    return route


def multipart(*files: bytes) -> tuple[bytes, dict[str, str]]:
    parts = b"".join(
        b'--sep\r\ncontent-disposition: form-data; name="f%d"; filename="f"\r\n\r\n' % i + f + b"\r\n"
        for i, f in enumerate(files)
    )
    return parts + b"--sep--\r\n", {"content-type": "multipart/form-data; boundary=sep"}


async def test_the_first_pool_whose_conditions_hold_gets_the_request(tmp_path: Path):
    huge, large = Match(pixels=Range(min=50_000_000)), Match(pixels=Range(min=8_000_000))
    async with world(tmp_path) as here:
        await pools(here, ("huge", huge), ("large", large))
        json_body = b'{"image": "data:image/png;base64,' + base64.b64encode(LARGE) + b'"}'
        for body, headers, expected in (
            (SMALL, IMAGE, "default"),
            (LARGE, IMAGE, "large"),
            (png(9000, 9000), {}, "huge"),
            (png(4000, 3000, 1_000_000), IMAGE, "large"),
            (png(100, 100, 1_000_000), IMAGE, "default"),
            (*multipart(SMALL, LARGE), "large"),
            (*multipart(png(100, 100, 400_000), LARGE), "large"),
            (json_body, {"content-type": "application/json"}, "large"),
            (b"", {}, "default"),
        ):
            answer = await here.client.post("/face", content=body, headers=headers)
            assert (answer.status_code, answer.text) == (200, expected), (len(body), headers, answer.text)
            assert answer.headers["x-tidegate-pool"] == f"face/{expected}"


async def test_the_replica_is_told_what_was_seen_in_small_and_large_bodies(tmp_path: Path):
    async with world(tmp_path) as here:
        await pools(here, ("large", Match(pixels=Range(min=8_000_000))))
        for size in (0, 1_000_000):
            body = png(640, 480, size)
            await here.client.post("/face", content=body, headers=IMAGE | {"x-media-pixels": "1"})
            headers = here.replicas[1].seen[-1].headers
            assert (headers["x-media-width"], headers["x-media-height"]) == ("640", "480")
            assert headers["x-media-pixels"] == "307200"
            assert here.replicas[1].seen[-1].body_bytes == len(body)
        await until(lambda: counted(here, lambda media: media.pools["face/default"].requests == {"image/png": 2}))


@pytest.mark.parametrize(
    ("match", "body", "headers", "taken"),
    [
        (Match(bytes={"min": 1000}), b"x" * 1000, {}, True),
        (Match(bytes={"min": 1000}), b"x" * 999, {}, False),
        (Match(bytes={"min": 500_000}), b"x" * 600_000, {}, True),
        (Match(type=("image/*",)), SMALL, {}, True),
        (Match(type=("image/jpeg", "application/pdf")), SMALL, IMAGE, False),
        (Match(type=("image/jpeg", "application/pdf")), b"%PDF", {"content-type": "application/pdf; v=1"}, True),
        (Match(header={"X-Tier": "it's gold"}), b"", {"x-tier": "it's gold"}, True),
        (Match(header={"X-Tier": "it's gold"}), b"", {"x-tier": "gold"}, False),
        (Match(pixels=Range(min=15_000), aggregate="sum"), *multipart(SMALL, SMALL), True),
        (Match(pixels=Range(min=15_000), aggregate="max"), *multipart(SMALL, SMALL), False),
        (Match(pixels=Range(min=1), header={"x-tier": "gold"}), SMALL, {}, False),
    ],
    ids=lambda value: None,
)
async def test_each_kind_of_condition(tmp_path: Path, match: Match, body: bytes, headers: dict[str, str], taken: bool):
    async with world(tmp_path) as here:
        await pools(here, ("other", match))
        answer = await here.client.post("/face", content=body, headers=headers)
        assert answer.text == ("other" if taken else "default")


REFUSED = {
    "media_too_many_pixels": 2,
    "media_contradictory": 1,
    "media_unsupported_type": 1,
    "media_missing": 1,
    "media_too_many": 1,
}


async def counted(here: World, wanted: Callable[[MediaCounts], bool]) -> bool:
    media = (await here.gateway.observe())[0].media
    return bool(media.pools or media.refused) and wanted(media)


async def test_what_a_service_does_not_accept_is_refused_before_a_replica_is_bothered(tmp_path: Path):
    accepts = Accepts(pixels=20_000_000, kinds=("image",), types=("png",), count=2, required=True)
    async with world(tmp_path) as here:
        await pools(here, accepts=accepts)
        for body, headers, status, code in (
            (png(5000, 5000), IMAGE, 413, "media_too_many_pixels"),
            (png(5000, 5000, 1_000_000), IMAGE, 413, "media_too_many_pixels"),
            (png(100_000, 100_000, 200), IMAGE, 422, "media_contradictory"),
            (GIF, {}, 415, "media_unsupported_type"),
            (b"", {}, 422, "media_missing"),
            (*multipart(SMALL, SMALL, SMALL), 413, "media_too_many"),
        ):
            answer = await here.client.post("/face", content=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
            assert answer.json()["error"]["requestId"] == answer.headers["x-request-id"]
        assert here.replicas[0].seen == []
        await until(lambda: counted(here, lambda media: media.refused.get("face", {}) == REFUSED))
        assert (await here.client.post("/face", content=SMALL, headers=IMAGE)).status_code == 200


async def test_a_full_pool_is_helped_by_a_bigger_one_and_never_by_a_smaller_one(tmp_path: Path):
    async with world(tmp_path) as here:
        release = asyncio.Event()
        small, big = await here.replica("small", answer=holds(release)), await here.replica("big")
        route = service(
            pool(name="big", match=Match(bytes={"min": 1000}), servers=(big.server(),)),
            pool(servers=(small.server(),), fallback="big"),
        )
        await here.gateway.publish(snapshot(route))
        held = asyncio.create_task(here.client.get("/face"))
        await until(lambda: asyncio.sleep(0, small.busy == 1))
        assert {(await here.client.get("/face")).text for _ in range(2)} == {"big"}
        release.set()
        assert (await held).text == "small"
        answers = await asyncio.gather(*(here.client.post("/face", content=b"x" * 1000) for _ in range(3)))
        assert {a.text for a in answers} == {"big"}

        async def counted() -> bool:
            _, loads = await here.gateway.observe()
            return {k.pool: load.in_flight for k, load in loads.items()} == {"big": 0, "default": 0}

        await until(counted)
        assert PoolKey("face", "big") in (await here.gateway.observe())[1]
