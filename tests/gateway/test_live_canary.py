"""The real proxy: chosen requests go to a canary, and to its pool when the canary does not answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from gateway.world import Replica, Seen, World, holds, pool, service, snapshot, until, world
from tidegate.model.snapshot import ServiceRoute
from tidegate.spec.resolve import PoolKey

FACE, CANARY = PoolKey("face"), PoolKey("face", "default_canary")


CHOSEN = {"x-canary": "yes"}


def routes(old: Replica, *new: Replica, **changes: object) -> ServiceRoute:
    only = (("x-canary", ("yes",)),)
    servers = tuple(r.server() for r in new)
    apart = pool(name="default_canary", servers=servers, canary_of="default", only=only, **changes)
    return service(apart, pool(servers=(old.server(),), **changes))


async def counts(here: World, total: Counter[str], names: tuple[str, ...] = ("new", "old")) -> Counter[str]:
    """Add what was observed: of the replicas, and of the pool with its canary together."""
    seen, loads = await here.gateway.observe()
    for name in names:
        if name in seen.servers:
            total[f"{name} failed"] += seen.servers[name].failed
            total[f"{name} finished"] += seen.servers[name].finished
    for of in ("arrivals", "finished", "failed"):
        total[of] += sum(getattr(loads[key], of) for key in (FACE, CANARY) if key in loads)
    return total


@pytest.mark.parametrize("size", [10, 2**20], ids=["small", "large"])
async def test_the_pool_answers_what_a_dying_canary_breaks_off_and_the_canary_has_failed_it(tmp_path: Path, size: int):
    release = asyncio.Event()
    async with world(tmp_path) as here:
        old, new = await here.replica("old"), await here.replica("new", answer=holds(release))
        await here.gateway.publish(snapshot(routes(old, new)))
        asked = [asyncio.create_task(here.client.post("/face", content=b"x" * size, headers=CHOSEN)) for _ in range(3)]

        async def busy() -> bool:
            return bool(new.busy)

        await until(busy)
        new.kill()
        release.set()
        answers = await asyncio.gather(*asked)
        assert [(a.status_code, a.text) for a in answers] == [(200, "old")] * 3
        told = {(a.headers["x-tidegate-pool"], a.headers["x-tidegate-replica"]) for a in answers}
        assert told == {("face/default", "old")}
        assert {(a.status_code, a.text) for a in [await here.client.get("/face", headers=CHOSEN)]} == {(200, "old")}
        total: Counter[str] = Counter()

        async def all_counted() -> bool:
            return (await counts(here, total))["finished"] >= 4

        await until(all_counted)
        assert (total["finished"], total["failed"], total["old failed"]) == (4, 0, 0)
        assert 1 <= total["new failed"] <= 3, "what it broke off, and what it may have refused"
        assert total["arrivals"] in (4, 5)


async def test_a_request_of_a_canary_that_dies_during_a_reload_is_answered_too(tmp_path: Path):
    release = asyncio.Event()
    async with world(tmp_path) as here:
        old, new = await here.replica("old"), await here.replica("new", answer=holds(release))
        await here.gateway.publish(snapshot(routes(old, new)))
        asked = [asyncio.create_task(here.client.get("/face", headers=CHOSEN)) for _ in range(3)]

        async def busy() -> bool:
            return bool(new.busy)

        await until(busy)
        new.kill()
        await here.gateway.publish(snapshot(service(pool(servers=(old.server(),)))))
        release.set()
        assert {(a.status_code, a.text) for a in await asyncio.gather(*asked)} == {(200, "old")}


async def test_a_canary_that_answers_badly_is_asked_all_the_same(tmp_path: Path):
    async def fails(_: Replica, __: Seen) -> tuple[int, bytes]:
        return 500, b"bad"

    async with world(tmp_path) as here:
        old, new = await here.replica("old"), await here.replica("new", answer=fails)
        await here.gateway.publish(snapshot(routes(old, new)))
        answers = [await here.client.get("/face", headers=CHOSEN) for _ in range(8)]
        assert {(a.status_code, a.text) for a in answers} == {(500, "bad")}
        assert (await here.client.get("/face")).text == "old"


async def test_a_full_queue_of_the_pool_that_stands_in_is_told_as_such(tmp_path: Path):
    release = asyncio.Event()
    async with world(tmp_path) as here:
        old, new = await here.replica("old", answer=holds(release)), await here.replica("new")
        await here.gateway.publish(snapshot(routes(old, new, queue_max_length_per_slot=1)))
        new.kill()
        held = [asyncio.create_task(here.client.get("/face")) for _ in range(2)]

        async def full() -> bool:
            _, loads = await here.gateway.observe()
            return loads[FACE].in_flight + loads[FACE].queued == 2

        await until(full)
        refused = await here.client.get("/face", headers=CHOSEN)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_full")
        release.set()
        assert {a.status_code for a in await asyncio.gather(*held)} == {200}
