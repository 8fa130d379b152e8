"""The real proxy: who may pass, how fast and how much; changed without a reload."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway.screen.test_hostile import jpeg
from gateway.world import PATIENCE_S, Replica, Seen, World, pool, service, snapshot, until, world
from tidegate.base.errors import GatewayError
from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.model.admission import Admission, AdmittedKey, TenantRule, TenantUse
from tidegate.spec.access import Access
from tidegate.spec.requests import Accepts

ACME, RIVAL = TenantRule("acme", ("face",)), TenantRule("rival", ("*",))


def key(text: str, tenant: str = "acme", expires_at: float | None = None) -> AdmittedKey:
    return AdmittedKey(f"id-{text[-5:]}", tenant, hashlib.sha256(text.encode()).hexdigest(), expires_at)


ALICE, BOB = "tgk_alice", "tgk_bobby"
KEYS = (key(ALICE), key(BOB, "rival"))


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def guarded(here: World, access: Access | None = None, delay_s: float = 0.0, **changes: object) -> Replica:
    """A service `face` that looks at keys, and one called `open` that does not, both on one replica."""
    one = await here.replica("face-1", delay_s)
    two = await here.replica("open-1")
    face = service(pool(servers=(one.server(slots=4),), slots_per_replica=4), access=access or Access(), **changes)
    await here.gateway.publish(snapshot(face, service(pool("open", servers=(two.server(),)), name="open")))
    return one


async def code(here: World, path: str = "/face", **extra: object) -> str:
    """200, or the code of the refusal."""
    answer = await here.client.request("POST", path, **extra)  # type: ignore[arg-type]
    return "200" if answer.status_code == 200 else f"{answer.status_code} {answer.json()['error']['code']}"


async def pid(here: World) -> int | None:
    return (await here.gateway.main.master.workers()).current


async def test_only_who_has_a_key_passes_and_the_replica_learns_who_but_not_the_key(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(Admission((ACME, RIVAL), KEYS))
        replica = await guarded(here)
        for headers, wanted in (
            ({}, "401 key_missing"),
            (bearer("tgk_wrong"), "401 key_invalid"),
            (bearer(ALICE), "200"),
            ({"x-api-key": ALICE}, "200"),
            ({"Authorization": f"bEaReR   {ALICE}"}, "200"),
            ({"authorization": f"Basic {ALICE}"}, "401 key_invalid"),
        ):
            assert await code(here, headers=headers) == wanted, headers
        seen = replica.seen[-1].headers
        assert len(replica.seen) == 3
        assert seen["x-tidegate-tenant"] == "acme"
        assert ALICE not in str(replica.seen)
        assert await code(here, "/open") == "200"
        refused = await here.client.get("/face")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"]["requestId"] == refused.headers["x-request-id"]


async def test_nothing_that_looks_like_a_key_is_one(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(Admission((ACME, RIVAL), KEYS))
        replica = await guarded(here)
        digest = KEYS[0].digest
        hostile = [
            [("authorization", f"Bearer {ALICE}"), ("authorization", f"Bearer {ALICE}")],
            [("authorization", f"Bearer {ALICE}"), ("authorization", "Bearer x")],
            [("authorization", f"Bearer {ALICE}"), ("x-api-key", ALICE)],
            [("x-api-key", ALICE), ("X-API-KEY", BOB)],
            [("x-api-key", f"{ALICE}, {BOB}")],
            [("x-api-key", f"Bearer {ALICE}")],
            [("authorization", f"Bearer {ALICE} trailing")],
            [("authorization", f"Bearer{ALICE}")],
            [("authorization", ALICE)],
            [("authorization", "Bearer")],
            [("authorization", "")],
            [("x-api-key", "")],
            [("x-api-key", digest)],
            [("x-api-key", ALICE.upper())],
            [("x-api-key", ALICE[:-1])],
            [("x-api-key", ALICE + "\xa0")],
            [("x-api-key", ALICE.replace("a", "\N{CYRILLIC SMALL LETTER A}").encode())],
            [("x-api-key", "k" * 30_000)],
            [("x_api_key", ALICE)],
            [("cookie", f"x-api-key={ALICE}")],
            [("x-tidegate-tenant", "acme")],
            [("x-tidegate-tenant", "acme"), ("x-tidegate-class", "1")],
        ]
        for headers in hostile:
            given = [(k.encode(), v if isinstance(v, bytes) else v.encode("latin-1")) for k, v in headers]
            assert (await code(here, headers=given)).split()[0] in ("400", "401"), headers
        for query in (f"?key={ALICE}", f"?x-api-key={ALICE}", f"?access_token={ALICE}"):
            assert await code(here, f"/face{query}") == "401 key_missing"
        assert not replica.seen


async def test_a_spoofed_tenant_is_taken_off_also_where_no_key_is_asked_for(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(Admission((ACME, RIVAL), KEYS))
        replica = await guarded(here, Access(keys="optional"))
        spoofed = {"x-tidegate-tenant": "rival", "X-Tidegate-Class": "1"}
        assert await code(here, headers=spoofed) == "200"
        assert "x-tidegate-tenant" not in replica.seen[-1].headers
        assert await code(here, headers=spoofed | bearer(ALICE)) == "200"
        assert replica.seen[-1].headers["x-tidegate-tenant"] == "acme"
        assert await code(here, headers=bearer("tgk_wrong")) == "401 key_invalid"


async def test_a_large_body_is_let_in_once_and_keeps_its_tenant_through_a_lane(tmp_path: Path):
    async with world(tmp_path, small_body_bytes=64 * 1024) as here:
        limited = replace(ACME, rate_per_s=0.01, burst=3, concurrency=1)
        await here.gateway.admit(Admission((limited,), (key(ALICE),)))
        replica = await guarded(here)
        body = b"x" * 300_000
        for _ in range(3):
            assert await code(here, headers=bearer(ALICE), content=body) == "200"
            assert replica.seen[-1].headers["x-tidegate-tenant"] == "acme"
            assert replica.seen[-1].body_bytes == len(body)
            assert not [k for k in replica.seen[-1].headers if k in ("authorization", "x-tidegate-class")]
        assert await code(here, headers=bearer(ALICE), content=body) == "429 rate_limited"
        uses = await uses_of(here, 4)
        assert (uses["acme"].worked, uses["acme"].in_time, uses["acme"].refused) == (3, 3, {"rate_limited": 1})
        assert uses["acme"].sent_bytes > 3 * len(body)
        assert uses["acme"].key_ids == {"id-alice"}


async def test_media_cost_what_was_read_of_them_and_unread_ones_what_they_may_be(tmp_path: Path):
    async with world(tmp_path, small_body_bytes=64 * 1024) as here:
        await here.gateway.admit(Admission((ACME,), (key(ALICE),)))
        await guarded(here, accepts=Accepts(pixels=50_000_000))
        small, padded = jpeg(64, 48), jpeg(640, 480) + bytes(200_000)  # the second one by way of a lane
        unread = b"unheard of" * 40
        for body in (small, padded):
            assert await code(here, headers=bearer(ALICE), content=body) == "200"
        uses = await uses_of(here, 2)
        assert (uses["acme"].pixels, uses["acme"].media_s) == (64 * 48 + 640 * 480, 0.0)
        assert await code(here, headers=bearer(ALICE), content=unread) == "200"
        use = (await uses_of(here, 1))["acme"]
        assert (use.pixels, use.media_s) == (400 * 1024, 0.4)


async def uses_of(here: World, count: int) -> dict[str, TenantUse]:
    """What was counted, once `count` requests were."""
    total: dict[str, list[TenantUse]] = {}

    async def all_counted() -> bool:
        for name, use in (await here.gateway.observe())[0].admission.uses.items():
            total.setdefault(name, []).append(use)
        seen = [u for uses in total.values() for u in uses]
        return sum(u.worked + u.failed + sum(u.refused.values()) for u in seen) >= count

    await until(all_counted)
    return {name: _added(uses) for name, uses in total.items()}


def _added(uses: list[TenantUse]) -> TenantUse:
    refused: dict[str, int] = {}
    for use in uses:
        for name, n in use.refused.items():
            refused[name] = refused.get(name, 0) + n
    return TenantUse(
        worked=sum(u.worked for u in uses),
        in_time=sum(u.in_time for u in uses),
        failed=sum(u.failed for u in uses),
        gave_up=sum(u.gave_up for u in uses),
        sent_bytes=sum(u.sent_bytes for u in uses),
        pixels=sum(u.pixels for u in uses),
        media_s=sum(u.media_s for u in uses),
        refused=refused,
        key_ids=frozenset().union(*(u.key_ids for u in uses)),
    )


async def test_a_revoked_key_is_refused_on_the_next_request_of_its_kept_connection(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(Admission((ACME, RIVAL), KEYS))
        await guarded(here)
        worker = await pid(here)
        one = httpx.AsyncClient(
            base_url=here.gateway.settings.url, limits=httpx.Limits(max_connections=1), timeout=PATIENCE_S
        )
        async with one:
            assert (await one.post("/face", headers=bearer(ALICE))).status_code == 200
            await here.gateway.admit(Admission((ACME, RIVAL), KEYS[1:]))
            assert (await one.post("/face", headers=bearer(ALICE))).json()["error"]["code"] == "key_invalid"
            assert (await one.post("/face", headers=bearer(BOB))).status_code == 200
            again = "tgk_later"
            await here.gateway.admit(Admission((ACME, RIVAL), (*KEYS[1:], key(again))))
            assert (await one.post("/face", headers=bearer(again))).status_code == 200
        assert await pid(here) == worker


async def test_who_is_refused_in_the_middle_of_an_upload_reads_why(tmp_path: Path):
    async with world(tmp_path) as here:
        spent = {"rival": time.time() + 3600}
        await here.gateway.admit(Admission((replace(ACME, concurrency=1, rate_per_s=0.01), RIVAL), KEYS, spent))
        replica = await guarded(here)
        body = b"x" * 6_000_000

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield body[:100_000]

        assert await code(here, headers=bearer(ALICE)) == "200"
        for content in (body, chunks()):
            assert await code(here, content=content) == "401 key_missing"
        for headers, wanted in (({}, 401), (bearer("tgk_wrong"), 401), (bearer(ALICE), 429), (bearer(BOB), 429)):
            refused = await here.client.post("/face", headers=headers, content=body)
            assert refused.status_code == wanted
            assert refused.json()["error"]["requestId"] == refused.headers["x-request-id"]
            known = refused.headers.get("retry-after" if wanted == 429 else "www-authenticate")
            assert known == "Bearer" if wanted == 401 else int(known or 0) > 50
        expecting = b"POST /face HTTP/1.1\r\nhost: a\r\ncontent-length: 6000000\r\nexpect: 100-continue\r\n\r\n"
        assert b" 401 " in (await here.raw(expecting)).split(b"\r\n")[0]
        assert len(replica.seen) == 1


async def test_a_key_ends_by_itself_at_its_time(tmp_path: Path):
    async with world(tmp_path) as here:
        await guarded(here)
        later = key(BOB, expires_at=time.time() + 3600)
        await here.gateway.admit(Admission((ACME,), (key(ALICE, expires_at=later.expires_at), later)))
        assert await code(here, headers=bearer(ALICE)) == "200"
        soon = time.time() + 1.5
        await here.gateway.admit(Admission((ACME,), (key(ALICE, expires_at=soon), later)))

        async def refused() -> bool:
            asked_at = time.time()
            said = await code(here, headers=bearer(ALICE))
            assert said == "401 key_invalid" or asked_at <= soon + 1, "it still opens"
            return said == "401 key_invalid"

        await until(refused)
        assert time.time() > soon - 1
        assert await code(here, headers=bearer(BOB)) == "200"


async def test_a_tenant_only_gets_into_its_services(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(Admission((replace(ACME, services=("ocr",)), RIVAL), KEYS))
        await guarded(here)
        assert await code(here, headers=bearer(ALICE)) == "403 service_not_allowed"
        assert await code(here, headers=bearer(BOB)) == "200"
        await here.gateway.admit(Admission((ACME,), KEYS))
        assert await code(here, headers=bearer(ALICE)) == "200"
        assert await code(here, headers=bearer(BOB)) == "401 key_invalid"


async def test_the_rate_holds_and_what_is_refused_costs_nothing(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(Admission((replace(ACME, rate_per_s=0.01, burst=3), RIVAL), KEYS))
        await guarded(here)
        answers = [await here.client.post("/face", headers=bearer(ALICE)) for _ in range(3)]
        assert [a.status_code for a in answers] == [200, 200, 200]
        assert answers[0].headers["ratelimit-limit"] == "3"
        assert answers[0].headers["ratelimit-remaining"] == "2"
        for _ in range(10):
            refused = await here.client.post("/face", headers=bearer(ALICE))
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
            assert int(refused.headers["retry-after"]) > 50
            assert refused.headers["ratelimit-remaining"] == "0"
            assert await code(here, headers=bearer(BOB)) == "200"
        await here.gateway.admit(Admission((replace(ACME, rate_per_s=5.0, burst=3), RIVAL), KEYS))
        began, passed = time.monotonic(), 0
        while passed < 8:
            passed += await code(here, headers=bearer(ALICE)) == "200"
        # Three at most from the bucket and five more at five a second, however often it was tried.
        assert time.monotonic() - began > 0.95


async def test_a_reload_does_not_fill_the_bucket(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(Admission((replace(ACME, rate_per_s=0.01, burst=3), RIVAL), KEYS))

        async def ask(command: str) -> str:
            return await here.gateway.main.master.worker(await pid(here) or 0, command)

        async def waits_for_no_other() -> (
            bool
        ):  # a worker that starts alone waits up to 10 s for others to take over from
            return "resync_timeout=<PAST>" in await ask("show peers carry")

        await guarded(here)
        await until(waits_for_no_other)
        for _ in range(3):
            assert await code(here, headers=bearer(ALICE)) == "200"
        for n in range(3):
            before = await pid(here)
            await here.gateway.publish(snapshot(*here.gateway._snapshot.services, service(name=f"more-{n}")))
            assert await pid(here) not in (before, None)

            async def carried_over() -> bool:
                return "key=acme" in await ask("show table tenants")

            await until(carried_over)
            assert await code(here, headers=bearer(ALICE)) == "429 rate_limited"
            assert await code(here, headers=bearer(BOB)) == "200"


async def test_requests_in_progress_are_limited_and_refused_ones_are_not_counted(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(Admission((replace(ACME, concurrency=2), RIVAL), KEYS))
        gate = asyncio.Event()

        async def held(_: Replica, request: Seen) -> tuple[int, bytes]:
            if request.headers.get("x-tidegate-tenant") == "acme":
                await gate.wait()
            return 200, b"ok"

        one = await here.replica("face-1", answer=held)
        face = service(pool(servers=(one.server(slots=8),), slots_per_replica=8), access=Access())
        await here.gateway.publish(snapshot(face))
        running = [asyncio.create_task(code(here, headers=bearer(ALICE))) for _ in range(2)]

        async def two_run() -> bool:
            return one.busy == 2

        await until(two_run)
        seen = (await here.gateway.observe())[0].admission
        assert (seen.in_progress["acme"], seen.queued) == (2, {"acme": 0})
        for _ in range(5):
            assert await code(here, headers=bearer(ALICE)) == "429 concurrency_limited"
        assert await code(here, headers=bearer(BOB)) == "200"
        await here.gateway.admit(Admission((replace(ACME, concurrency=3), RIVAL), KEYS))
        running.append(asyncio.create_task(code(here, headers=bearer(ALICE))))

        async def three_run() -> bool:
            return one.busy == 3

        await until(three_run)
        gate.set()
        assert await asyncio.gather(*running) == ["200"] * 3
        assert await code(here, headers=bearer(ALICE)) == "200"


async def test_who_waits_is_told_from_who_is_served(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(Admission((ACME, RIVAL), KEYS))
        gate = asyncio.Event()

        async def held(_: Replica, __: Seen) -> tuple[int, bytes]:
            await gate.wait()
            return 200, b"ok"

        one = await here.replica("face-1", answer=held)
        await here.gateway.publish(snapshot(service(pool(servers=(one.server(),)), access=Access())))
        running = [asyncio.create_task(code(here, headers=bearer(ALICE))) for _ in range(3)]

        async def counts(**wanted: int) -> bool:
            seen = (await here.gateway.observe())[0].admission
            return (dict(seen.in_progress), dict(seen.queued)) == ({"acme": 3, **wanted}, {"acme": 2, **wanted})

        await until(counts)
        running.append(asyncio.create_task(code(here, headers=bearer(BOB))))

        async def rival_is_in() -> bool:
            seen = (await here.gateway.observe())[0].admission
            return seen.in_progress.get("rival") == 1 and sum(seen.queued.values()) == 3

        await until(rival_is_in)
        gate.set()
        assert await asyncio.gather(*running) == ["200"] * 4


async def test_a_spent_quota_ends_by_itself_at_its_time(tmp_path: Path):
    async with world(tmp_path) as here:
        await guarded(here)
        midnight = time.time() + 3600
        await here.gateway.admit(Admission((ACME, RIVAL), KEYS, {"acme": midnight}))
        refused = await here.client.post("/face", headers=bearer(ALICE))
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exhausted")
        assert 3000 < int(refused.headers["retry-after"]) <= 3601
        assert await code(here, headers=bearer(BOB)) == "200"
        midnight = time.time() + 1.5
        await here.gateway.admit(Admission((ACME, RIVAL), KEYS, {"acme": midnight}))

        async def passes() -> bool:
            return await code(here, headers=bearer(ALICE)) == "200"

        await until(passes)
        assert time.time() > midnight - 1


async def test_a_proxy_that_starts_alone_or_is_adopted_has_the_present_keys(tmp_path: Path):
    async with world(tmp_path) as here:
        await guarded(here)
        await here.gateway.admit(Admission((ACME, RIVAL), KEYS))
        assert await code(here, headers=bearer(ALICE)) == "200"
        await here.gateway.admit(Admission((ACME, RIVAL), KEYS[1:]))
        async with here.gateway._busy:  # nobody tells it anything: it has its files alone
            await here.gateway.main.process.stop(0.0)
            await here.gateway.main.revive()
        async with httpx.AsyncClient(base_url=here.gateway.settings.url, timeout=PATIENCE_S) as fresh:
            assert (await fresh.post("/face", headers=bearer(ALICE))).status_code == 401
            assert (await fresh.post("/face", headers=bearer(BOB))).status_code == 200
        await here.gateway.close(stop=False)
        later = HaproxyGateway(here.gateway.settings)
        await later.start()
        # Before anything is published: the keys of a control process that has just come back.
        await later.admit(Admission((ACME, RIVAL), KEYS[:1]))
        await later.close(stop=False)
        async with httpx.AsyncClient(base_url=here.gateway.settings.url, timeout=PATIENCE_S) as fresh:
            assert (await fresh.post("/face", headers=bearer(ALICE))).status_code == 200
            assert (await fresh.post("/face", headers=bearer(BOB))).status_code == 401


async def test_a_thousand_keys_are_told_and_taken_back(tmp_path: Path):
    async with world(tmp_path) as here:
        await guarded(here)
        many = tuple(key(f"tgk_{i:05}") for i in range(1000))
        worker = await pid(here)
        await here.gateway.admit(Admission((ACME,), many))
        assert [await code(here, headers=bearer(f"tgk_{i:05}")) for i in (0, 500, 999)] == ["200"] * 3
        await here.gateway.admit(Admission((ACME,), many[:10]))
        assert await code(here, headers=bearer("tgk_00009")) == "200"
        assert await code(here, headers=bearer("tgk_00010")) == "401 key_invalid"
        assert await pid(here) == worker


async def test_who_cannot_be_told_is_told_by_the_next_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with world(tmp_path) as here:
        await guarded(here)
        await here.gateway.admit(Admission((ACME,), ()))
        master = here.gateway.main.master
        tell = master.tell

        async def deaf(*_: object, **__: object) -> tuple[str, ...]:
            raise GatewayError("the proxy did not answer")

        monkeypatch.setattr(master, "tell", deaf)
        with pytest.raises(GatewayError):
            await here.gateway.admit(Admission((ACME,), (key(ALICE),)))
        monkeypatch.setattr(master, "tell", tell)
        await here.gateway.admit(Admission((ACME,), (key(ALICE),)))
        assert await code(here, headers=bearer(ALICE)) == "200"
