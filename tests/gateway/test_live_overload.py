"""The real proxy under more than it can serve, and beside replicas and clients that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from pathlib import Path

import httpx

from gateway.world import PATIENCE_S, Replica, Seen, World, holds, pool, service, snapshot, until, world
from tidegate.model.snapshot import Server, Snapshot
from tidegate.spec.resolve import PoolKey

FACE = PoolKey("face")
# The proxy looks at a replica that is down so often at most.
SHORTEST_REST_S = 0.5


def face(*servers: Server, **changes: object) -> Snapshot:
    return snapshot(service(pool(servers=servers, **changes)))


async def test_only_as_many_wait_as_can_be_served_in_time_and_the_others_are_told_at_once(tmp_path: Path):
    slots, service_s, within_s, many = 4, 0.2, 1.0, 60
    release, held = asyncio.Event(), False

    async def answers(_: Replica, __: Seen) -> tuple[int, bytes]:
        await (release.wait() if held else asyncio.sleep(service_s))
        return 200, b""

    async with world(tmp_path) as here:
        replicas = [await here.replica(f"face-{i}", answer=answers) for i in range(slots)]
        await here.gateway.publish(face(*(r.server() for r in replicas), within_s=within_s))
        for _ in range(6):
            assert {a.status_code for a in await asyncio.gather(*(ask(here) for _ in range(slots)))} == {200}
        finished = 0

        async def the_pace_is_known() -> bool:
            nonlocal finished
            finished += (await here.gateway.observe())[1][FACE].finished
            return finished == 6 * slots

        await until(the_pace_is_known)
        held = True
        asked = [asyncio.create_task(ask(here)) for _ in range(many)]

        async def each_is_inside_or_told() -> bool:
            load = (await here.gateway.observe())[1][FACE]
            return load.in_flight + load.queued + sum(task.done() for task in asked) == many

        await until(each_is_inside_or_told)
        told = [task.result() for task in asked if task.done()]
        assert {(a.status_code, a.json()["error"]["code"]) for a in told} == {(503, "queue_full")}
        # A service time is 0.2 s or what stood still made of it, never less: at most (1.0 - 0.2) s of waiting at 20 a
        # second; at least one for each slot. Two threads of the proxy may find the same place free.
        assert slots + slots <= many - len(told) <= slots + 16 + 2
        release.set()
        ends = Counter(a.status_code for a in await asyncio.gather(*asked))
        assert ends == {200: many - len(told), 503: len(told)}


async def ask(here: World) -> httpx.Response:
    return await here.client.get("/face")


async def test_who_finds_the_queue_full_is_told_at_once(tmp_path: Path):
    async with world(tmp_path) as here:
        release = asyncio.Event()
        one = await here.replica("face-1", answer=holds(release))
        await here.gateway.publish(face(one.server(), queue_max_length_per_slot=2))
        served = []
        for inside in (1, 2, 3):  # one after the other: two threads of the proxy may find the same place free
            served.append(asyncio.create_task(here.client.get("/face")))

            async def arrived(count: int = inside) -> bool:
                _, loads = await here.gateway.observe()
                return loads[FACE].in_flight + loads[FACE].queued == count

            await until(arrived)
        refused = [await here.client.get("/face") for _ in range(3)]
        assert [(a.status_code, a.json()["error"]["code"]) for a in refused] == [(503, "queue_full")] * 3
        assert {a.headers["retry-after"] for a in refused} == {"1"}
        assert not any(task.done() for task in served), "nobody was served meanwhile"
        release.set()
        assert [a.status_code for a in await asyncio.gather(*served)] == [200, 200, 200]


async def failing(_: Replica, request: Seen) -> tuple[int, bytes]:
    return 500, b"broken"


async def test_a_replica_that_only_fails_rests_while_the_others_serve(tmp_path: Path):
    async with world(tmp_path) as here:
        bad, good = await here.replica("bad", answer=failing), await here.replica("good")
        await here.gateway.publish(face(bad.server(), good.server()))
        began, statuses = time.monotonic(), []
        while len(statuses) < 60 or time.monotonic() - began < 1.0:
            statuses.append((await here.client.get("/face")).status_code)
        rests = 1 + (time.monotonic() - began) / SHORTEST_REST_S
        assert statuses.count(500) <= 5 * (1 + rests), "five in a row, and it rests"
        assert set(statuses) == {200, 500}


async def test_the_only_replica_of_a_pool_answers_for_itself_however_often_it_fails(tmp_path: Path):
    async with world(tmp_path) as here:
        bad = await here.replica("bad", answer=failing)
        await here.gateway.publish(face(bad.server()))
        assert {(await here.client.get("/face")).status_code for _ in range(20)} == {500}


async def test_a_large_request_that_every_replica_breaks_fails_once(tmp_path: Path):
    async with world(tmp_path) as here:
        broken = 0

        async def breaks(replica: Replica, _: Seen) -> tuple[int, bytes]:
            nonlocal broken
            broken += 1
            for writer in list(replica._writers):
                writer.transport.abort()
            return 200, b""

        replicas = [await here.replica(f"face-{i}", answer=breaks) for i in range(3)]
        await here.gateway.publish(face(*(r.server() for r in replicas)))
        answer = await here.client.post("/face", content=b"x" * 2**20)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_answer")
        assert broken == 3
        assert "x-tidegate-status" not in answer.headers
        total = {"arrivals": 0, "failed": 0, "finished": 0}

        async def counted() -> bool:
            _, loads = await here.gateway.observe()
            for name in total:
                total[name] += getattr(loads[FACE], name)
            return total["failed"] > 0

        await until(counted)
        assert total == {"arrivals": 1, "failed": 1, "finished": 0}


async def test_a_large_request_gets_a_second_chance_when_a_replica_says_503(tmp_path: Path):
    async with world(tmp_path) as here:

        async def busy(_: Replica, request: Seen) -> tuple[int, bytes]:
            return 503, b"not me"

        one, two = await here.replica("face-1", answer=busy), await here.replica("face-2")
        await here.gateway.publish(face(one.server(weight=256), two.server(weight=1)))
        for size in (1000, 2**20):
            answers = [await here.client.post("/face", content=b"x" * size) for _ in range(3)]
            assert {a.status_code for a in answers} == {200}, size


async def test_a_body_too_large_to_be_held_is_passed_on_while_it_arrives(tmp_path: Path):
    async with world(tmp_path, largest_held_bytes=2**20) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(face(one.server()))
        answer = await here.client.post("/face", content=b"x" * 6 * 2**20)
        assert (answer.status_code, one.seen[-1].body_bytes) == (200, 6 * 2**20)
        assert (await here.client.post("/face", content=b"x" * 9 * 2**20)).status_code == 413


async def test_one_address_cannot_take_all_connections(tmp_path: Path):
    async with world(tmp_path, max_connections=60) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(face(one.server()))
        port = here.gateway.settings.listen_port
        with contextlib.ExitStack() as stack:
            open_ones = []
            for _ in range(40):
                with contextlib.suppress(ConnectionError):  # reset before it was open
                    open_ones.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S)))

            async def half_of_all_are_left() -> bool:
                open_ones[:] = [one for one in open_ones if not is_closed(one)]
                return len(open_ones) <= 30

            await until(half_of_all_are_left)

        async def served() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await here.client.get("/face")).status_code == 200
            return False

        await until(served)


def is_closed(connection: socket.socket) -> bool:
    """Whether the proxy has closed or reset it."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except BlockingIOError:
        return False


async def test_drip_fed_headers_are_cut_off_while_others_are_served(tmp_path: Path):
    async with world(tmp_path, header_timeout_s=2.0, idle_timeout_s=2.0) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(face(one.server()))
        slow = asyncio.gather(*(here.raw(b"GET /face HTTP/1.1\r\nhost: a\r\n") for _ in range(20)))
        for _ in range(5):
            assert (await here.client.get("/face")).status_code == 200
        assert all(b" 408 " in got for got in await slow)
        many = b"".join(b"x-%d: 1\r\n" % i for i in range(500))
        assert b" 431 " in await here.raw(b"GET /face HTTP/1.1\r\nhost: a\r\n" + many + b"\r\n")
        assert (await here.client.get("/face")).status_code == 200
