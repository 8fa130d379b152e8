"""The real proxy: queue, first replica, drain, retries, counters."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import httpx
import pytest

from gateway.world import Replica, Seen, World, pool, service, snapshot, until, world
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
        one, two = await here.replica("face-1", 0.05), await here.replica("face-2", 0.05)
        await here.gateway.publish(face(one.server(), two.server(slots=2)))
        answers = asyncio.gather(*(here.client.post("/face", content=b"x" * 1000) for _ in range(30)))

        async def queued() -> bool:
            now = await load(here)
            return now.in_flight == 3 and now.queued > 10

        await until(queued)
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
        loop = asyncio.get_running_loop()
        ready_at = loop.time()
        assert [a.status_code for a in await first] == [200] * 5
        assert loop.time() - ready_at < 0.5


async def test_a_wait_without_end_ends(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.publish(face(start_wait_s=0.2))
        answer = await here.client.get("/face")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_started")
        slow = await here.replica("face-1", 1.0)
        await here.gateway.publish(face(slow.server(), queue_max_wait_s=0.2))
        answers = await asyncio.gather(here.client.get("/face"), here.client.get("/face"))
        assert sorted(a.status_code for a in answers) == [200, 503]
        refused = max(answers, key=lambda a: a.status_code)
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
        one, two = await here.replica("face-1", 0.3), await here.replica("face-2")
        await here.gateway.publish(face(one.server()))
        running = asyncio.create_task(here.client.get("/face"))
        await until(lambda: _busy(one))
        await here.gateway.publish(face(one.server(draining=True), two.server()))
        seen, _ = await here.gateway.observe()
        assert (seen.servers["face-1"].draining, seen.servers["face-1"].in_flight) == (True, 1)
        assert {(await here.client.get("/face")).text for _ in range(5)} == {"face-2"}
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
        await here.gateway.publish(face(one.server(), start_wait_s=0.1))
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
        lines = [f"x-{n}: {'v' * 530}" for n in range(60)]
        lines += ["transfer-encoding: chunked" if chunk_bytes else f"content-length: {size}", "connection: close"]
        head = "\r\n".join(["POST /face HTTP/1.1", "host: a", *lines, "", ""]).encode()
        assert 31 * 1024 < len(head) < 32 * 1024
        body = b"b" * size
        if chunk_bytes:
            full, rest = divmod(size, chunk_bytes)
            parts = [b"%x\r\n%s\r\n" % (n, b"b" * n) for n in (chunk_bytes, rest)]
            body = parts[0] * full + (parts[1] if rest else b"") + b"0\r\n\r\n"
        answer = await here.raw(head + body, within_s=10.0)
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"face-2")
        assert [(r.seen[-1].body_bytes, r.seen[-1].headers["x-59"]) for r in (one, two)] == [(size, "v" * 530)] * 2


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
        far, near = await here.replica("a-far", 0.1), await here.replica("b-near", 0.1)
        await here.gateway.publish(face(far.server(tier=1, weight=1, slots=2), near.server(weight=256, slots=2)))
        for at_once, expected in ((1, ["b-near"]), (2, ["b-near"] * 2), (3, ["a-far", "b-near", "b-near"])):
            answers = await asyncio.gather(*(here.client.get("/face") for _ in range(at_once)))
            assert sorted(a.text for a in answers) == expected


async def test_a_slow_upload_holds_no_slot(tmp_path: Path):
    async with world(tmp_path) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(face(one.server()))
        port = here.gateway.settings.listen_port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /face HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nsome")
        await writer.drain()
        for _ in range(5):
            assert (await here.client.get("/face", timeout=1.0)).status_code == 200
        now = await load(here)
        assert (now.in_flight, now.queued) == (0, 0)
        writer.close()


async def test_every_request_is_counted_once_for_what_it_was(tmp_path: Path):
    async with world(tmp_path) as here:

        async def by_path(_: Replica, request: Seen) -> tuple[int, bytes]:
            await asyncio.sleep(0.1)
            return int(request.path.strip("/")), b""

        one = await here.replica("face-1", answer=by_path)
        await here.gateway.publish(face(one.server(), within_s=0.15))
        await load(here)
        answers = await asyncio.gather(*(here.client.get(f"/face/{code}") for code in (200, 404, 500)))
        assert sorted(a.status_code for a in answers) == [200, 404, 500]
        with pytest.raises(httpx.ReadTimeout):
            await here.client.get("/face/200", timeout=0.05)
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
        assert total == {"arrivals": 4, "finished": 3, "failed": 1, "gave_up": 1, "in_time": 1, "refused": 0}
        assert server == {"finished": 3, "failed": 1}
        # Three requests of 0.1 s on one slot: the second waits 0.1 s, the third 0.2 s.
        assert times["service_s_sum"] == pytest.approx(0.3, abs=0.08)
        assert times["service_s2_sum"] == pytest.approx(0.03, abs=0.02)
        assert times["wait_s_sum"] == pytest.approx(0.3, abs=0.12)


async def test_a_client_that_leaves_the_queue_is_not_served(tmp_path: Path):
    async with world(tmp_path) as here:
        one = await here.replica("face-1", 0.3)
        await here.gateway.publish(face(one.server()))
        running = asyncio.create_task(here.client.get("/face"))
        await until(lambda: _busy(one))
        with contextlib.suppress(httpx.ReadTimeout):
            await here.client.get("/face", timeout=0.05)
        await running
        assert (await here.client.get("/face")).status_code == 200
        assert len(one.seen) == 2
