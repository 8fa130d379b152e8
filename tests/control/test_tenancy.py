"""Keys and quotas over crashes, refusals of the proxy and midnight: what is acknowledged holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tidegate.base.clock import ManualClock
from tidegate.base.errors import ControlError, StoreError
from tidegate.control.exposure import open_services
from tidegate.control.metering import unmetered
from tidegate.control.tenancy import KEY_PREFIX, Tenancy
from tidegate.gateway import access
from tidegate.gateway.fake import FakeGateway
from tidegate.model.admission import AdmissionSeen, TenantUse
from tidegate.spec.cluster import Capacity
from tidegate.spec.load import load_data
from tidegate.spec.tenant import Tenant
from tidegate.store.journal import Journal
from tidegate.store.tenants import TenantStore
from tidegate.web.ports import NotFound

MIDNIGHT = 1_764_028_800.0  # 2025-11-25 00:00 UTC


def tenant(name: str = "acme", **spec: Any) -> Tenant:
    return Tenant.model_validate({"metadata": {"name": name}, "spec": {"services": ["*"], **spec}})


class World:
    """A tenancy whose process can be ended at any time: what is written stays."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(f"sqlite:///{folder / 'journal.db'}")
        self.clock = ManualClock(at=MIDNIGHT - 3600)
        self.gateway = FakeGateway()
        self.tenancy = self._new()

    def _new(self) -> Tenancy:
        return Tenancy(TenantStore(self.journal), self.gateway, self.clock)

    async def restart(self, *tenants: Tenant) -> None:
        """As after kill -9, with a proxy that has forgotten everything."""
        self.gateway = FakeGateway()
        self.tenancy = self._new()
        await self.tenancy.open(tenants)

    def admitted(self) -> set[str]:
        return {k.id for k in self.gateway.admission.keys}

    async def use(self, requests: int, sent_bytes: int = 0, name: str = "acme") -> str:
        seen = AdmissionSeen({name: TenantUse(worked=requests, sent_bytes=sent_bytes)}, {name: 1})
        return await self.tenancy.step(seen, self.clock.wall())


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.journal.close()


async def test_a_key_is_long_unlike_any_other_and_kept_only_as_its_digest(here: World, tmp_path: Path):
    await here.tenancy.open([tenant()])
    made = [await here.tenancy.add_key("acme", "camera", None) for _ in range(20)]
    secrets = {m.secret for m in made}
    assert len(secrets) == len({m.key.id for m in made}) == 20
    assert all(s.startswith(KEY_PREFIX) and len(s) >= 4 + 43 for s in secrets)
    digests = {k.digest for k in here.gateway.admission.keys}
    assert digests == {hashlib.sha256(s.encode()).hexdigest() for s in secrets}
    written = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert not [s for s in secrets if s.encode() in written]
    assert KEY_PREFIX == access.KEY_PREFIX


async def test_no_acknowledged_key_or_revocation_is_lost(here: World):
    await here.tenancy.open([tenant()])
    one = (await here.tenancy.add_key("acme", "", None)).key
    two = (await here.tenancy.add_key("acme", "", None)).key
    await here.restart(tenant())
    assert here.admitted() == {one.id, two.id}
    assert (await here.tenancy.revoke_key(one.id)).state == "revoked"
    await here.restart(tenant())
    assert here.admitted() == {two.id}
    assert {k.id: k.state for k in here.tenancy.key_list()} == {one.id: "revoked", two.id: "active"}
    await here.tenancy.revoke_key(one.id)  # again: nothing happens


async def test_a_revocation_the_proxy_did_not_hear_is_told_with_the_next_tick(here: World):
    await here.tenancy.open([tenant()])
    key = (await here.tenancy.add_key("acme", "", None)).key
    here.gateway.refuses = True
    with pytest.raises(ControlError, match="is revoked, but the proxy could not be told yet"):
        await here.tenancy.revoke_key(key.id)
    assert "refused" in await here.use(1)
    here.gateway.refuses = False
    assert await here.use(1) == ""
    assert here.admitted() == set()


async def test_a_key_that_cannot_be_put_in_force_is_revoked(here: World):
    await here.tenancy.open([tenant()])
    here.gateway.refuses = True
    with pytest.raises(ControlError, match="is revoked"):
        await here.tenancy.add_key("acme", "", None)
    await here.restart(tenant())
    assert here.admitted() == set()


async def test_a_key_that_cannot_be_written_is_not_given_out(here: World, monkeypatch: pytest.MonkeyPatch):
    await here.tenancy.open([tenant()])

    def full(*_: object) -> None:
        raise StoreError("disk is full")

    monkeypatch.setattr(TenantStore, "add_key", full)
    with pytest.raises(StoreError):
        await here.tenancy.add_key("acme", "", None)
    assert here.admitted() == set()
    assert here.tenancy.key_list() == ()


async def test_who_is_not_declared_has_no_keys_until_declared_again(here: World):
    await here.tenancy.open([tenant(), tenant("rival")])
    with pytest.raises(NotFound, match=r"no tenant is called acne. There are: acme, rival"):
        await here.tenancy.add_key("acne", "", None)
    key = (await here.tenancy.add_key("acme", "", None)).key
    await here.tenancy.declare([tenant("rival")])
    assert here.admitted() == set()
    assert here.tenancy.key_list()[0].state == "no tenant"
    await here.tenancy.declare([tenant()])
    assert here.admitted() == {key.id}


async def test_a_key_ends_at_its_time(here: World):
    await here.tenancy.open([tenant()])
    key = (await here.tenancy.add_key("acme", "", 60.0)).key
    here.clock.advance(61)
    await here.use(0)
    assert here.admitted() == set()
    assert {k.id: k.state for k in here.tenancy.key_list()} == {key.id: "expired"}


async def test_a_quota_ends_the_day_survives_a_crash_and_begins_anew_at_midnight(here: World):
    limited = tenant(quota={"requestsPerDay": 100})
    await here.tenancy.open([limited])
    await here.use(60)
    assert here.gateway.admission.spent == {}
    await here.restart(limited)
    await here.use(40)
    assert here.gateway.admission.spent == {"acme": MIDNIGHT}
    await here.restart(limited)
    assert here.gateway.admission.spent == {"acme": MIDNIGHT}
    (status,) = here.tenancy.status().tenants
    assert (status.requests_today, status.requests_per_day, status.spent) == (100, 100, True)
    here.clock.advance(3600)
    await here.use(1)
    assert here.gateway.admission.spent == {}
    assert here.tenancy.status().tenants[0].requests_today == 1


async def test_media_of_the_day_are_kept_too(here: World):
    limited = tenant(quota={"megapixelsPerDay": 12, "mediaSecondsPerDay": 90})
    await here.tenancy.open([limited])
    now = here.clock.wall()
    await here.tenancy.step(AdmissionSeen({"acme": TenantUse(worked=2, pixels=11_500_000, media_s=30.5)}), now)
    await here.restart(limited)
    await here.tenancy.step(AdmissionSeen({"acme": TenantUse(worked=1, pixels=400_000, media_s=30.5)}), now)
    (acme,) = here.tenancy.status().tenants
    assert (acme.megapixels_per_day, acme.media_seconds_per_day, acme.spent) == (12, 90, False)
    await here.tenancy.step(AdmissionSeen({"acme": TenantUse(pixels=2**70)}), now)
    await here.restart(limited)
    (acme,) = here.tenancy.status().tenants
    assert (acme.megapixels_today, acme.spent) == ((2**63 - 1) / 1e6, True)
    assert here.gateway.admission.spent == {"acme": MIDNIGHT}


def test_a_quota_of_media_is_told_where_nobody_reads_media():
    face = {"kind": "MediaService", "metadata": {"name": "face"}, "spec": {"command": ["x"]}}
    read = {"kind": "MediaService", "metadata": {"name": "read"}, "spec": {"command": ["x"], "accepts": {"count": 2}}}
    quota = {"services": ["*"], "quota": {"megapixelsPerDay": 5}}
    acme = {"kind": "Tenant", "metadata": {"name": "acme"}, "spec": quota}
    manifests = [{"apiVersion": "tidegate.dev/v1", **m} for m in (face, read, acme)]
    (said,) = unmetered(load_data(manifests, here=Capacity(cpu=8, memory="8Gi")).specs)
    assert said.startswith("tenant acme: media sent to face cost none")
    assert unmetered(load_data(manifests[1:], here=Capacity(cpu=8, memory="8Gi")).specs) == ()


async def test_a_bigger_quota_lets_in_at_once(here: World):
    await here.tenancy.open([tenant(quota={"bytesPerDay": "1k"})])
    await here.use(1, 1000)
    assert here.gateway.admission.spent
    await here.tenancy.declare([tenant(quota={"bytesPerDay": "2k"})])
    assert here.gateway.admission.spent == {}


async def test_use_that_could_not_be_written_is_written_later(here: World, monkeypatch: pytest.MonkeyPatch):
    limited = tenant(quota={"requestsPerDay": 10})
    await here.tenancy.open([limited])
    write = TenantStore.write

    def full(*_: object) -> None:
        raise StoreError("disk is full")

    monkeypatch.setattr(TenantStore, "write", full)
    assert await here.use(5) == "disk is full"
    monkeypatch.setattr(TenantStore, "write", write)
    assert await here.use(5) == ""
    await here.restart(limited)
    assert here.gateway.admission.spent == {"acme": MIDNIGHT}


async def test_counts_and_last_use_are_shown(here: World):
    await here.tenancy.open([tenant(rate={"requestsPerSecond": 5})])
    key = (await here.tenancy.add_key("acme", "", None)).key
    use = TenantUse(worked=3, in_time=2, failed=1, refused={"rate_limited": 4}, key_ids=frozenset({key.id}))
    nobody = TenantUse(refused={"key_missing": 9})
    for _ in range(2):
        await here.tenancy.step(AdmissionSeen({"acme": use, "": nobody}, {"acme": 7}), here.clock.wall())
    status = here.tenancy.status()
    assert status.refused_unknown == {"key_missing": 18}
    (acme,) = status.tenants
    assert (acme.worked, acme.in_time, acme.failed, acme.refused) == (6, 4, 2, {"rate_limited": 8})
    assert (acme.in_progress, acme.requests_per_s, acme.burst, acme.active_keys) == (7, 5.0, 5, 1)
    await here.restart(tenant())
    assert here.tenancy.key_list()[0].last_used_at == here.clock.wall()


def test_a_service_that_asks_for_no_key_is_named_when_others_can_reach_it():
    service = {"apiVersion": "tidegate.dev/v1", "kind": "MediaService", "metadata": {"name": "a"}}
    declared: list[dict[str, Any]] = [
        service | {"spec": {"command": ["x"]}},
        service | {"metadata": {"name": "b"}, "spec": {"command": ["x"], "access": {"keys": "none"}}},
        service | {"metadata": {"name": "c"}, "spec": {"command": ["x"], "access": {}}},
    ]
    specs = load_data(declared, here=Capacity(cpu=8, memory=2**34)).specs
    assert open_services(specs, "127.0.0.1") == ()
    (said,) = open_services(specs, "0.0.0.0")
    assert said.startswith("a answers everybody who can reach 0.0.0.0: no key is asked for.")
    assert open_services(replace(specs, services=specs.services[1:]), "0.0.0.0") == ()
