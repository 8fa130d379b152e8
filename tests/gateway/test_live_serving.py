"""The real proxy: queue, first replica, drain, retries, counters."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.world import PATIENCE_S, Replica, Seen, World, holds, pool, service, snapshot, until, world
from tidegate.model.observed import PoolLoad
from tidegate.model.snapshot import Server
from tidegate.spec.resolve import PoolKey

FACE = PoolKey("face")


def face(*servers: Server, **changes: object):
    return snapshot(service(pool(servers=servers, **changes)))


async def load(here: World) -> PoolLoad:
    _, loads = await here.gateway.observe()
    return loads[FACE]


async def test_a_replica_never_gets_more_than_its_slots_and_the_rest_waits_in_one_queue(tmp_path: Path):
    async with world(tmp_path) as here:
        release = asyncio.Event()
        one, two = [await here.replica(name, answer=holds(release)) for name in ("face-1", "face-2")]
        await here.gateway.publish(face(one.server(), two.server(slots=2)))
        answers = asyncio.gather(*(here.client.post("/face", content=b"x" * 1000) for _ in range(30)))

        async def queued() -> bool:
            now = await load(here)
            return now.in_flight == 3 and now.queued == 27

        await until(queued)
        release.set()
        assert {a.status_code for a in await answers} == {200}
        assert (one.most_busy, two.most_busy) == (1, 2)


async def test_requests_wait_for_the_first_replica_and_are_seen_waiting(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.publish(face())
        first = asyncio.gather(*(here.client.get("/face") for _ in range(5)))
        arrivals = 0

        async def waiting() -> bool:
            nonlocal arrivals
            now = await load(here)
            arrivals += now.arrivals
            return now.queued == 5

        await until(waiting)
        assert arrivals == 5
        one = await here.replica("face-1")
        await here.gateway.publish(face(one.server()))
        async with asyncio.timeout(PATIENCE_S / 2):  # not only when `start_wait_s` is over
            assert [a.status_code for a in await first] == [200] * 5


async def test_a_wait_without_end_ends(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.publish(face(start_wait_s=0.2))
        answer = await here.client.get("/face")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_started")
        release = asyncio.Event()
        slow = await here.replica("face-1", answer=holds(release))
        await here.gateway.publish(face(slow.server(), queue_max_wait_s=0.2))
        served = asyncio.create_task(here.client.get("/face"))
        await until(lambda: _busy(slow))
        refused = await here.client.get("/face")
        release.set()
        assert ((await served).status_code, refused.status_code) == (200, 503)
        assert (refused.json()["error"]["code"], refused.headers["retry-after"]) == ("no_capacity", "1")
        await until(lambda: _counted(here, refused=1, finished=1))


async def _counted(here: World, **wanted: int) -> bool:
    """Add up what is observed until it is at least what is wanted."""
    total = getattr(here, "_total", {})
    now = await load(here)
    for name in wanted:
        total[name] = total.get(name, 0) + getattr(now, name)
    here._total = total  # type: ignore[attr-defined]
    return all(total[n] >= wanted[n] for n in wanted)


async def test_a_draining_server_finishes_its_request_gets_no_new_one_and_is_acknowledged(tmp_path: Path):
    async with world(tmp_path) as here:
        release = asyncio.Event()
        one, two = await here.replica("face-1", answer=holds(release)), await here.replica("face-2")
        await here.gateway.publish(face(one.server()))
        running = asyncio.create_task(here.client.get("/face"))
        await until(lambda: _busy(one))
        await here.gateway.publish(face(one.server(draining=True), two.server()))
        seen, _ = await here.gateway.observe()
        assert (seen.servers["face-1"].draining, seen.servers["face-1"].in_flight) == (True, 1)
        assert {(await here.client.get("/face")).text for _ in range(5)} == {"face-2"}
        release.set()
        assert (await running).text == "face-1"

        async def empty() -> bool:
            server = (await here.gateway.observe())[0].servers["face-1"]
            return server.draining and server.in_flight == 0

        await until(empty)
        await here.gateway.publish(face(two.server()))

        async def gone() -> bool:
            return set((await here.gateway.observe())[0].servers) == {"face-2"}

        await until(gone)


async def _busy(replica: Replica) -> bool:
    return replica.busy > 0


async def test_a_drained_server_may_come_back(tmp_path: Path):
    async with world(tmp_path) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(face(one.server()))
        await here.gateway.publish(face(one.server(draining=True), start_wait_s=0.1))
        assert (await here.client.get("/face")).status_code == 503
        await here.gateway.publish(face(one.server()))
        assert (await here.client.get("/face")).status_code == 200


async def test_a_5_mb_request_is_answered_by_another_replica_when_the_first_dies_on_it(tmp_path: Path):
    async with world(tmp_path) as here:

        async def die(replica: Replica, _: Seen) -> tuple[int, bytes]:
            replica.kill()
            return 200, b""

        one, two = await here.replica("face-1", answer=die), await here.replica("face-2")
        far = two.server(weight=1)
        await here.gateway.publish(face(one.server(weight=256), far))
        answer = await here.client.post("/face", content=b"x" * 5 * 2**20)
        assert (answer.status_code, answer.text) == (200, "face-2")
        assert [one.seen[-1].body_bytes, two.seen[-1].body_bytes] == [5 * 2**20] * 2


@pytest.mark.parametrize(
    ("lane_bytes", "chunk_bytes"), [(0, 0), (0, 50), (4 * 2**20, 0)], ids=["main proxy", "in chunks", "lane"]
)
async def test_the_largest_head_and_the_largest_body_fit_beside_each_other(
    tmp_path: Path, lane_bytes: int, chunk_bytes: int
):
    async with world(tmp_path) as here:

        async def die(replica: Replica, _: Seen) -> tuple[int, bytes]:
            replica.kill()
            return 200, b""

        one, two = await here.replica("face-1", answer=die), await here.replica("face-2")
        await here.gateway.publish(face(one.server(weight=256), two.server(weight=1)))
        size = lane_bytes or here.gateway.settings.small_body_bytes
        lines = [f"x-{n}: {'v' * 320}" for n in range(97)]  # 100 in all
        lines += ["transfer-encoding: chunked" if chunk_bytes else f"content-length: {size}", "connection: close"]
        head = "\r\n".join(["POST /face HTTP/1.1", "host: a", *lines, "", ""]).encode()
        assert 31 * 1024 < len(head) < 32 * 1024
        body = b"b" * size
        if chunk_bytes:
            full, rest = divmod(size, chunk_bytes)
            parts = [b"%x\r\n%s\r\n" % (n, b"b" * n) for n in (chunk_bytes, rest)]
            body = parts[0] * full + (parts[1] if rest else b"") + b"0\r\n\r\n"
        answer = await here.raw(head + body)
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"face-2")
        assert [(r.seen[-1].body_bytes, r.seen[-1].headers["x-96"]) for r in (one, two)] == [(size, "v" * 320)] * 2


async def test_a_request_that_may_not_be_repeated_is_not(tmp_path: Path):
    async with world(tmp_path) as here:

        async def die(replica: Replica, _: Seen) -> tuple[int, bytes]:
            replica.kill()
            return 200, b""

        one, two = await here.replica("face-1", answer=die), await here.replica("face-2")
        servers = (one.server(weight=256), two.server(weight=1))
        await here.gateway.publish(snapshot(service(pool(servers=servers), retry=False)))
        answer = await here.client.post("/face", content=b"x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_answer")
        assert two.seen == []
        # A refused connection carried nothing, so that one goes on to the other replica.
        assert (await here.client.post("/face", content=b"x")).text == "face-2"


@pytest.mark.parametrize("retry", [True, False], ids=["idempotent", "not idempotent"])
async def test_a_service_of_small_bodies_is_followed_when_its_pace_changes(tmp_path: Path, retry: bool):
    async with world(tmp_path) as here:
        one = await here.replica("face-1", 0.02)
        small = service(pool(servers=(one.server(),)), retry=retry, max_body_bytes=1000)
        await here.gateway.publish(snapshot(small))
        for _ in range(3):
            assert (await here.client.get("/face")).status_code == 200
            await until(lambda: _counted(here, finished=1))


async def test_near_replicas_are_filled_first(tmp_path: Path):
    async with world(tmp_path) as here:
        release = asyncio.Event()
        far, near = [await here.replica(name, answer=holds(release)) for name in ("a-far", "b-near")]
        await here.gateway.publish(face(far.server(tier=1, weight=1, slots=2), near.server(weight=256, slots=2)))
        asked = []
        for busy in ((0, 1), (0, 2), (1, 2)):
            asked.append(asyncio.create_task(here.client.get("/face")))

            async def given(busy: tuple[int, int] = busy) -> bool:
                return (far.busy, near.busy) == busy

            await until(given)
        release.set()
        assert sorted(a.text for a in await asyncio.gather(*asked)) == ["a-far", "b-near", "b-near"]


async def test_a_slow_upload_holds_no_slot(tmp_path: Path):
    async with world(tmp_path) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(face(one.server()))
        port = here.gateway.settings.listen_port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /face HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nsome")
        await writer.drain()
        for _ in range(5):
            assert (await here.client.get("/face")).status_code == 200
        now = await load(here)
        assert (now.in_flight, now.queued) == (0, 0)
        writer.close()


@pytest.mark.parametrize(("within_s", "in_time"), [(PATIENCE_S, 2), (0.05, 0)], ids=["in time", "too late"])
async def test_every_request_is_counted_once_for_what_it_was(tmp_path: Path, within_s: float, in_time: int):
    async with world(tmp_path) as here:
        worked_s: list[float] = []

        async def by_path(_: Replica, request: Seen) -> tuple[int, bytes]:
            began = loop.time()
            await asyncio.sleep(0.1)
            worked_s.append(loop.time() - began)
            return int(request.path.strip("/")), b""

        loop = asyncio.get_running_loop()
        one = await here.replica("face-1", answer=by_path)
        await here.gateway.publish(face(one.server(), within_s=within_s))
        await load(here)
        began = loop.time()
        answers = await asyncio.gather(*(here.client.get(f"/face/{code}") for code in (200, 404, 500)))
        took_s = loop.time() - began
        assert sorted(a.status_code for a in answers) == [200, 404, 500]
        await here.left("/face/200")
        total = dict.fromkeys(("arrivals", "finished", "failed", "gave_up", "in_time", "refused"), 0)
        times = {"service_s_sum": 0.0, "service_s2_sum": 0.0, "wait_s_sum": 0.0}
        server = dict.fromkeys(("finished", "failed"), 0)

        async def complete() -> bool:
            seen, loads = await here.gateway.observe()
            for name in total:
                total[name] += getattr(loads[FACE], name)
            for name in times:
                times[name] += getattr(loads[FACE], name)
            for name in server:
                server[name] += getattr(seen.servers["face-1"], name)
            return total["finished"] + total["gave_up"] >= 4

        await until(complete)
        assert total == {"arrivals": 4, "finished": 3, "failed": 1, "gave_up": 1, "in_time": in_time, "refused": 0}
        assert server == {"finished": 3, "failed": 1}
        # Whatever stands still meanwhile: a replica's work is part of the service time, and one slot does one thing.
        first, second, third = worked_s[:3]
        rounding_s = 0.005
        assert first + second + third - rounding_s <= times["service_s_sum"] <= took_s + rounding_s
        assert sum(s * s for s in worked_s[:3]) - rounding_s <= times["service_s2_sum"] <= took_s**2 + rounding_s
        assert times["wait_s_sum"] <= 3 * took_s


async def test_a_client_that_leaves_the_queue_is_not_served(tmp_path: Path):
    async with world(tmp_path) as here:
        release = asyncio.Event()
        one = await here.replica("face-1", answer=holds(release))
        await here.gateway.publish(face(one.server()))
        running = asyncio.create_task(here.client.get("/face"))
        await until(lambda: _busy(one))
        await here.left()
        await until(lambda: _counted(here, gave_up=1))
        release.set()
        await running
        assert (await here.client.get("/face")).status_code == 200
        assert len(one.seen) == 2
