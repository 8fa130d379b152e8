"""The real proxy under more than it can serve, and beside replicas and clients that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import httpx

from gateway.world import Replica, Seen, holds, pool, service, snapshot, until, world
from tidegate.model.observed import PoolLoad
from tidegate.model.snapshot import Server, Snapshot
from tidegate.spec.resolve import PoolKey

FACE = PoolKey("face")


def face(*servers: Server, **changes: object) -> Snapshot:
    return snapshot(service(pool(servers=servers, **changes)))


async def test_at_three_times_capacity_the_capacity_is_used_and_the_answered_ones_are_in_time(tmp_path: Path):
    slots, service_s, within_s, seconds = 4, 0.2, 1.0, 5.0
    capacity = slots / service_s
    async with world(tmp_path) as here:
        replicas = [await here.replica(f"face-{i}", service_s) for i in range(slots)]
        await here.gateway.publish(face(*(r.server() for r in replicas), within_s=within_s, queue_max_wait_s=within_s))
        loop = asyncio.get_running_loop()
        loads: list[tuple[float, PoolLoad]] = []
        statuses: set[int] = set()

        async def ask() -> None:
            statuses.add((await here.client.get("/face")).status_code)

        async with asyncio.TaskGroup() as group:
            start = looked_at = loop.time()
            for i in range(int(3 * capacity * seconds)):
                await asyncio.sleep(max(0.0, start + i / (3 * capacity) - loop.time()))
                group.create_task(ask())
                if loop.time() > looked_at + 0.25:
                    looked_at = loop.time()
                    loads.append((looked_at - start, (await here.gateway.observe())[1][FACE]))
    # The pace is known after the first requests, and those that came before are gone one promise later. What the
    # gateway measured is what counts here: this client and its replicas share one thread.
    later = [load for at_s, load in loads if at_s > 1.0 + within_s]
    finished, in_time = sum(x.finished for x in later), sum(x.in_time for x in later)
    assert statuses == {200, 503}
    assert sum(x.refused for x in later) > finished
    assert finished >= 0.7 * capacity * sum(x.interval_s for x in later)
    assert in_time >= 0.8 * finished, "without a limit by pace all of them would be late"


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
        statuses = [(await here.client.get("/face")).status_code for _ in range(60)]
        assert statuses.count(500) <= 20, "every other request without a rest"
        assert statuses.count(200) >= 40


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
                    open_ones.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), 5)))
            closed = await asyncio.gather(*(asyncio.to_thread(is_closed, one) for one in open_ones))
            assert closed.count(False) <= 30

        async def served() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await here.client.get("/face")).status_code == 200
            return False

        await until(served)


def is_closed(connection: socket.socket) -> bool:
    """Whether the proxy has closed or reset it within half a second."""
    connection.settimeout(0.5)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def test_drip_fed_headers_are_cut_off_while_others_are_served(tmp_path: Path):
    async with world(tmp_path, header_timeout_s=0.5) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(face(one.server()))
        slow = asyncio.gather(*(here.raw(b"GET /face HTTP/1.1\r\nhost: a\r\n", 3.0) for _ in range(20)))
        for _ in range(5):
            assert (await here.client.get("/face", timeout=1.0)).status_code == 200
        assert all(b" 408 " in got for got in await slow)
        many = b"".join(b"x-%d: 1\r\n" % i for i in range(500))
        assert b" 400 " in await here.raw(b"GET /face HTTP/1.1\r\nhost: a\r\n" + many + b"\r\n", 1.0)
        assert (await here.client.get("/face")).status_code == 200
