"""The real proxy: who is served first when requests wait, and that nobody takes all the room."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from gateway.test_live_tenants import bearer, code, key
from gateway.world import Replica, Seen, World, pool, service, snapshot, until, world
from tidegate.model.admission import Admission, TenantRule
from tidegate.spec.access import Access, Priority

ROOM = 64  # places in the queue of one replica with one slot, until something was measured
# A promise so long that places in the queue, which are parts of it, are minutes apart: what stands still meanwhile for
# a moment changes no order.
UNHURRIED_S = 500.0


class Counter:
    """A replica with one slot that answers when told, and remembers the order in which it was given requests."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.order: list[str] = []
        self.open = asyncio.Event()
        self.running: list[asyncio.Task[str]] = []

    async def start(self, within_s: float, access: Access) -> None:
        async def answer(_: Replica, request: Seen) -> tuple[int, bytes]:
            self.order.append(request.headers["x-who"])
            await self.open.wait()
            return 200, b"ok"

        one = await self.here.replica("face-1", answer=answer)
        only = pool(servers=(one.server(),), within_s=within_s)
        await self.here.gateway.publish(snapshot(service(only, access=access)))

    async def send(self, who: str, count: int = 1, **headers: str) -> None:
        """Requests of a tenant, one after the other into the queue (or refused)."""
        for _ in range(count):
            before = await self.inside()
            given = bearer(f"tgk_{who}") | {"x-who": who} | headers
            task = asyncio.create_task(code(self.here, headers=given))
            self.running.append(task)

            async def taken(task: asyncio.Task[str] = task, before: int = before) -> bool:
                return task.done() or await self.inside() > before

            await until(taken)

    async def inside(self) -> int:
        seen = await self.here.gateway._look()
        return next(iter(seen.values()))["face.default"].inside

    async def finish(self) -> list[str]:
        """Let everything be answered; what became of each request."""
        self.open.set()
        return await asyncio.gather(*self.running)


def admission(*tenants: TenantRule) -> Admission:
    return Admission(tenants, tuple(key(f"tgk_{t.name}", t.name) for t in tenants))


def tenant(name: str, priority: Priority = "normal", weight: int = 1) -> TenantRule:
    return TenantRule(name, ("*",), priority=priority, weight=weight)


async def test_who_has_little_waiting_goes_before_who_has_much(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(admission(tenant("greedy"), tenant("modest")))
        counter = Counter(here)
        await counter.start(within_s=UNHURRIED_S, access=Access())
        await counter.send("greedy", 20)
        await counter.send("modest", 2)
        assert set(await counter.finish()) == {"200"}
        assert "modest" in counter.order[1:4]
        assert counter.order.index("modest", counter.order.index("modest") + 1) < 8


async def test_a_weight_of_four_is_four_places_for_one(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(admission(tenant("light"), tenant("heavy", weight=4)))
        counter = Counter(here)
        await counter.start(within_s=UNHURRIED_S, access=Access())
        await counter.send("light", 9)
        await counter.send("heavy", 16)
        await counter.finish()
        first = counter.order[1:11]
        assert 6 <= first.count("heavy") <= 9


async def test_one_tenant_alone_does_not_fill_the_queue_and_there_is_a_place_for_another(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(admission(tenant("greedy"), tenant("modest"), tenant("low", "low")))
        counter = Counter(here)
        await counter.start(within_s=UNHURRIED_S, access=Access())
        await counter.send("greedy", ROOM)
        refused = [t for t in counter.running if t.done()]
        assert {t.result() for t in refused} == {"503 share_full"}
        assert ROOM * 0.75 <= ROOM - len(refused) <= ROOM * 0.85
        await counter.send("modest", 2)
        await counter.send("low", 2)
        ends = await counter.finish()
        assert ends[ROOM:] == ["200"] * 4
        assert "modest" in counter.order[:6]


async def test_a_higher_class_is_first_and_overtakes_only_for_a_quarter_of_the_promise(tmp_path: Path):
    early, late = [f"early{i}" for i in range(4)], [f"late{i}" for i in range(4)]
    async with world(tmp_path) as here:
        highs = [tenant(name, "high") for name in (*early, *late)]
        await here.gateway.admit(admission(tenant("first"), tenant("low", "low"), *highs))
        counter = Counter(here)
        await counter.start(within_s=4.0, access=Access())
        await counter.send("first")
        before = time.monotonic()
        await counter.send("low")
        waits_since = time.monotonic()  # it waits for at least as long as this clock says
        for name in early:
            await counter.send(name)
        soon = time.monotonic() - before < 0.9

        async def later() -> bool:
            return time.monotonic() - waits_since > 1.3

        await until(later)
        for name in late:
            await counter.send(name)
        assert set(await counter.finish()) == {"200"}
        place = counter.order.index("low")
        assert all(counter.order.index(name) > place for name in late)
        assert not soon or all(counter.order.index(name) < place for name in early)


async def test_a_tenant_can_only_go_lower_by_the_header(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(admission(tenant("first"), tenant("a"), tenant("b"), tenant("c")))
        counter = Counter(here)
        await counter.start(within_s=UNHURRIED_S, access=Access(priorityHeader="X-Urgency"))
        await counter.send("first")
        await counter.send("a", **{"x-urgency": "Low"})
        await counter.send("b", **{"x-urgency": "normal"})
        await counter.send("c", **{"x-urgency": "high"})
        await counter.finish()
        assert counter.order == ["first", "b", "c", "a"]


async def test_on_an_open_service_the_header_alone_decides(tmp_path: Path):
    async with world(tmp_path) as here:
        counter = Counter(here)
        await counter.start(within_s=UNHURRIED_S, access=Access(keys="none", priorityHeader="x-urgency"))
        await counter.send("first")
        for who, wish in (("a", "low"), ("b", "urgent"), ("c", "high")):
            await counter.send(who, **{"x-urgency": wish})
        await counter.finish()
        assert counter.order == ["first", "c", "b", "a"]


async def test_limits_of_a_tenant_change_while_it_waits(tmp_path: Path):
    async with world(tmp_path) as here:
        rules = (tenant("a"), tenant("b"))
        await here.gateway.admit(admission(*rules))
        counter = Counter(here)
        await counter.start(within_s=UNHURRIED_S, access=Access())
        await counter.send("a", 3)
        await here.gateway.admit(admission(replace(rules[0], concurrency=3), rules[1]))
        await counter.send("a")
        assert counter.running[-1].result() == "429 concurrency_limited"
        assert set((await counter.finish())[:3]) == {"200"}
