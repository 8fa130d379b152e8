"""The real proxy: what is sent again, how often, and what a client that leaves costs."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.world import PATIENCE_S, Answer, Replica, Seen, World, holds, pool, service, snapshot, until, world
from tidegate.model.snapshot import Server, Snapshot
from tidegate.spec.resolve import PoolKey

FACE = PoolKey("face")


def face(*servers: Server, **changes: object) -> Snapshot:
    return snapshot(service(pool(servers=servers, **changes)))


def break_off(replica: Replica) -> None:
    for writer in list(replica._writers):
        writer.transport.abort()


async def breaks(replica: Replica, _: Seen) -> tuple[int, bytes]:
    break_off(replica)
    return 200, b""


async def counted(here: World, total: dict[str, int], key: str, least: int) -> bool:
    """Add what was observed to `total`; whether `key` has come to `least`."""
    _, loads = await here.gateway.observe()
    for name in total:
        total[name] += getattr(loads[FACE], name)
    return total[key] >= least


@pytest.mark.parametrize("tiers", [(0, 0), (0, 1)], ids=["one tier", "near and far"])
async def test_when_two_of_four_replicas_die_with_requests_on_them_none_fails(tmp_path: Path, tiers: tuple[int, int]):
    async with world(tmp_path) as here:
        doomed = [await here.replica(f"doomed-{i}", answer=holds(asyncio.Event())) for i in range(2)]
        others = [await here.replica(f"other-{i}", 0.02) for i in range(2)]
        servers = [r.server(tier=tiers[0]) for r in doomed] + [r.server(tier=tiers[1]) for r in others]
        await here.gateway.publish(face(*servers))
        asked = [asyncio.create_task(here.client.get("/face")) for _ in range(8)]

        async def both_busy() -> bool:
            return all(r.busy for r in doomed)

        await until(both_busy)
        for replica in doomed:
            replica.kill()
        assert [a.status_code for a in await asyncio.gather(*asked)] == [200] * 8


async def test_a_replica_whose_host_does_not_answer_at_all_is_passed_over_within_the_promise(tmp_path: Path):
    async with world(tmp_path, connect_timeout_s=10 * PATIENCE_S) as here:
        with socket.socket() as silent, socket.socket() as only:
            silent.bind(("127.0.0.1", 0))
            silent.listen(0)
            only.connect(silent.getsockname())  # its one place is taken: further ones get no answer
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            there = await here.replica("there")
            servers = (Server("gone", address, 1), there.server(tier=1))
            await here.gateway.publish(face(*servers, within_s=3.0))
            answer = await here.client.get("/face")
            assert (answer.status_code, answer.text) == (200, "there")


async def test_a_service_that_breaks_everything_is_not_hit_several_times_over(tmp_path: Path):
    async with world(tmp_path) as here:
        replicas = [await here.replica(f"face-{i}", answer=breaks) for i in range(3)]
        await here.gateway.publish(face(*(r.server() for r in replicas)))
        for size in (10, 2**19):
            statuses = {(await here.client.post("/face", content=b"x" * size)).status_code for _ in range(50)}
            assert statuses == {502}
        tries = sum(len(r.seen) for r in replicas)
        # One in five, ten that are free, and what the last one allowed may still use.
        assert 100 + 10 <= tries <= 100 + 20 + 10 + 4


def first_breaks_later(after_s: float) -> Answer:
    """The first try breaks off after so many seconds, all others are answered at once."""
    tries: Iterator[bool] = iter((True,))

    async def answer(replica: Replica, _: Seen) -> tuple[int, bytes]:
        if next(tries, False):
            await asyncio.sleep(after_s)
            break_off(replica)
        return 200, b""

    return answer


@pytest.mark.parametrize(("within_s", "status"), [(PATIENCE_S, 200), (0.3, 502)], ids=["in time", "too late"])
async def test_a_large_request_is_not_sent_again_when_the_promise_is_over(tmp_path: Path, within_s: float, status: int):
    async with world(tmp_path) as here:
        answer = first_breaks_later(0.4)
        replicas = [await here.replica(f"face-{i}", answer=answer) for i in range(2)]
        await here.gateway.publish(face(*(r.server() for r in replicas), within_s=within_s))
        assert (await here.client.post("/face", content=b"x" * 2**20)).status_code == status
        assert sum(len(r.seen) for r in replicas) == 1 + (status == 200)


async def test_clients_that_leave_are_no_failures_and_give_their_slot_back(tmp_path: Path):
    async with world(tmp_path) as here:
        held = asyncio.Event()
        one = await here.replica("face-1", answer=holds(held))
        await here.gateway.publish(face(one.server()))
        total = dict.fromkeys(("arrivals", "finished", "failed", "gave_up", "refused"), 0)
        on_it = asyncio.create_task(here.client.get("/face"))

        async def busy() -> bool:
            return one.busy > 0

        await until(busy)
        await here.left()  # leaves the queue
        on_it.cancel()  # leaves the replica
        await until(lambda: counted(here, total, "gave_up", 2))
        one.answer = None
        # Its slot is free although it still works on the one that left.
        assert (await here.client.get("/face")).status_code == 200
        await until(lambda: counted(here, total, "finished", 1))
        assert total == {"arrivals": 3, "finished": 1, "failed": 0, "gave_up": 2, "refused": 0}


async def test_a_new_replica_of_several_slots_gets_them_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tidegate.gateway.names._SLOW_START", "slowstart 2s")
    async with world(tmp_path) as here:
        over = asyncio.Event()

        async def until_over(_: Replica, __: Seen) -> tuple[int, bytes]:
            await over.wait()
            return 200, b""

        first, second = [await here.replica(name, answer=until_over) for name in ("face-1", "face-2")]
        await here.gateway.publish(face(first.server(slots=4)))
        asked = [asyncio.create_task(here.client.get("/face")) for _ in range(12)]

        async def all_slots(replica: Replica) -> bool:
            return replica.busy == 4

        await until(lambda: all_slots(first))  # the only one: it gets all at once
        began = time.monotonic()
        await here.gateway.publish(face(first.server(slots=4), second.server(slots=4)))
        await until(lambda: all_slots(second))
        assert time.monotonic() - began > 1.0, "the fourth when three quarters of the time are over"
        over.set()
        assert {a.status_code for a in await asyncio.gather(*asked)} == {200}
