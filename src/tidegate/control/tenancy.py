"""Tenants while the system runs: their keys, what they use, who has used up the day. The gateway is told at once.

Everything is written before it is acknowledged, and a start reads it again: what the proxy has and what is written
differ only while a call is under way, or the proxy cannot be told; then the next tick tells it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.base.clock import Clock
from tidegate.base.errors import ControlError, GatewayError, StoreError
from tidegate.gateway.protocol import Gateway
from tidegate.model.admission import Admission, AdmissionSeen, AdmittedKey, TenantRule, TenantUse
from tidegate.model.tenancy import Key, KeyStatus, NewKey, TenancyStatus, TenantStatus, Used
from tidegate.policy.quotas import blocked, days_of
from tidegate.spec.tenant import Tenant
from tidegate.store.tenants import TenantStore
from tidegate.web.ports import NotFound

KEY_PREFIX = "tgk_"
KEY_BYTES = 32
HINT_CHARACTERS = 8
LONGEST_NOTE = 200
LAST_USED_EVERY_S = 60.0


@dataclass(slots=True)
class Tenancy:
    """Owns keys and usage. `tenants` are the declared ones; keys of others are kept and let nobody in."""

    store: TenantStore
    gateway: Gateway
    clock: Clock
    tenants: tuple[Tenant, ...] = ()
    _keys: dict[str, Key] = field(default_factory=dict)
    _used: dict[tuple[str, str], Used] = field(default_factory=dict)
    _unwritten: set[tuple[str, str]] = field(default_factory=set)
    _last_used: dict[str, float] = field(default_factory=dict)
    _totals: dict[str, TenantUse] = field(default_factory=dict)
    _in_progress: Mapping[str, int] = field(default_factory=dict)
    _queued: Mapping[str, int] = field(default_factory=dict)
    _told: Admission | None = None

    # -- the loop ------------------------------------------------------------------------------------------------

    async def open(self, tenants: Sequence[Tenant]) -> None:
        """Read what is kept and tell the gateway, before any request is let in by an old state.

        Raises:
            StoreError, GatewayError: it cannot be read or told.
        """
        self._keys = {key.id: key for key in self.store.load_keys()}
        await self.declare(tenants)

    async def declare(self, tenants: Sequence[Tenant]) -> None:
        """These are the tenants from now on.

        Raises:
            StoreError, GatewayError: what they used today cannot be read, or the gateway cannot be told now.
        """
        self.tenants = tuple(tenants)
        days = set(self._days(self.clock.wall()).values()) - self._used.keys()
        self._used |= self.store.usage(days)
        await self._tell()

    async def step(self, seen: AdmissionSeen, at: float) -> str:
        """Take over what was counted, write it, and tell the gateway who has used up the day. A fault as a sentence."""
        days = self._days(at)
        for name, use in seen.uses.items():
            self._totals[name] = _sum(self._totals.get(name, TenantUse()), use)
            if name in days and (use.worked or use.pixels or use.media_s):
                self._used[days[name]] = self._used.get(days[name], Used()).plus(use)
                self._unwritten.add(days[name])
            for key_id in use.key_ids & self._keys.keys():
                self._keys[key_id] = replace(self._keys[key_id], last_used_at=at)
        self._in_progress, self._queued = seen.in_progress, seen.queued
        try:
            self._write(at)
            await self._tell()
        except (StoreError, GatewayError) as error:
            return "; ".join((str(error), *seen.faults))
        return "; ".join(seen.faults)

    def _write(self, at: float) -> None:
        known = {key_id: key.last_used_at for key_id, key in self._keys.items() if key.last_used_at is not None}
        due = {k: t for k, t in known.items() if t - self._last_used.get(k, 0.0) >= LAST_USED_EVERY_S}
        if self._unwritten or due:
            self.store.write({day: self._used[day] for day in self._unwritten}, due)
            self._unwritten.clear()
            self._last_used |= due
        today = set(self._days(at).values())
        self._used = {day: used for day, used in self._used.items() if day in today}

    async def _tell(self) -> None:
        """Have the gateway let in who may come in now; nothing is said when it knows."""
        wanted = self._admission(self.clock.wall())
        if wanted != self._told:
            self._told = None
            await self.gateway.admit(wanted)
            self._told = wanted

    def _admission(self, at: float) -> Admission:
        return Admission(
            tenants=tuple(_rule(t) for t in self.tenants),
            keys=tuple(AdmittedKey(k.id, k.tenant, k.digest, k.expires_at) for k in self._active(at)),
            spent=blocked(self.tenants, self._used, at),
        )

    def _active(self, at: float) -> list[Key]:
        names = self._names()
        return [key for key in self._keys.values() if key.state(at, key.tenant in names) == "active"]

    def _names(self) -> set[str]:
        return {t.name for t in self.tenants}

    def _days(self, at: float) -> dict[str, tuple[str, str]]:
        days = days_of(at, self.tenants)
        return {t.name: (t.name, days[t.spec.quota.timeZone][0]) for t in self.tenants}

    # -- what the API asks ---------------------------------------------------------------------------------------

    async def add_key(self, tenant: str, note: str, expires_s: float | None) -> NewKey:
        """A new key, in force when this returns.

        Raises:
            NotFound: no such tenant is declared.
            ControlError: the note is too long, or the key cannot be put in force; then it is revoked.
        """
        if tenant not in self._names():
            names = ", ".join(t.name for t in self.tenants) or "none"
            raise NotFound(f"no tenant is called {tenant}. There are: {names}")
        if len(note) > LONGEST_NOTE:
            raise ControlError(f"the note has {len(note)} characters, {LONGEST_NOTE} at most. Shorten it")
        at = self.clock.wall()
        secret = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
        key = Key(
            id=f"k{secrets.token_hex(5)}",
            tenant=tenant,
            digest=hashlib.sha256(secret.encode()).hexdigest(),
            hint=secret[:HINT_CHARACTERS],
            note=note,
            created_at=at,
            expires_at=None if expires_s is None else at + expires_s,
        )
        self.store.add_key(key)
        self._keys[key.id] = key
        try:
            await self._tell()
        except GatewayError as error:
            self.store.revoke_key(key.id, at)
            self._keys[key.id] = replace(key, revoked_at=at)
            raise ControlError(f"the key could not be put in force and is revoked: {error}. Try again") from None
        return NewKey(_shown(key, at, declared=True), secret)

    async def revoke_key(self, key_id: str) -> KeyStatus:
        """Take a key out of force; when this returns, the next request with it is refused.

        Raises:
            NotFound: there is no such key.
            ControlError: the proxy cannot be told now; it will be, and the key is revoked for every start of it.
        """
        key = self._keys.get(key_id)
        if key is None:
            raise NotFound(f"no key has the id {key_id}. `tidegate keys list` shows them")
        at = self.clock.wall()
        if key.revoked_at is None:
            self.store.revoke_key(key_id, at)
            key = self._keys[key_id] = replace(key, revoked_at=at)
        try:
            await self._tell()
        except GatewayError as error:
            raise ControlError(
                f"{key_id} is revoked, but the proxy could not be told yet: {error}. It is told again with every tick; "
                "run this again to be sure"
            ) from None
        return _shown(key, at, key.tenant in self._names())

    def key_list(self) -> tuple[KeyStatus, ...]:
        """Every key, oldest first."""
        at, names = self.clock.wall(), self._names()
        return tuple(_shown(key, at, key.tenant in names) for key in self._keys.values())

    def status(self) -> TenancyStatus:
        """Every tenant now."""
        at = self.clock.wall()
        active = Counter(key.tenant for key in self._active(at))
        gone, days = blocked(self.tenants, self._used, at), days_of(at, self.tenants)
        tenants = tuple(self._tenant(t, days, active[t.name], t.name in gone) for t in self.tenants)
        return TenancyStatus(at, tenants, dict(self._totals.get("", TenantUse()).refused))

    def _tenant(
        self, tenant: Tenant, days: Mapping[str, tuple[str, float]], active_keys: int, spent: bool
    ) -> TenantStatus:
        spec, total = tenant.spec, self._totals.get(tenant.name, TenantUse())
        date, ends_at = days[spec.quota.timeZone]
        used = self._used.get((tenant.name, date), Used())
        return TenantStatus(
            name=tenant.name,
            services=spec.services,
            priority=spec.priority,
            weight=spec.weight,
            requests_per_s=spec.rate.requestsPerSecond if spec.rate else None,
            burst=spec.rate.depth if spec.rate else None,
            concurrency=spec.concurrency,
            in_progress=self._in_progress.get(tenant.name, 0),
            queued=self._queued.get(tenant.name, 0),
            active_keys=active_keys,
            requests_today=used.requests,
            requests_per_day=spec.quota.requestsPerDay,
            bytes_today=used.sent_bytes,
            bytes_per_day=spec.quota.bytesPerDay,
            megapixels_today=used.pixels / 1e6,
            megapixels_per_day=spec.quota.megapixelsPerDay,
            media_seconds_today=used.media_s,
            media_seconds_per_day=spec.quota.mediaSecondsPerDay,
            day_ends_at=ends_at,
            time_zone=spec.quota.timeZone,
            spent=spent,
            worked=total.worked,
            in_time=total.in_time,
            failed=total.failed,
            gave_up=total.gave_up,
            refused=dict(total.refused),
        )


def _shown(key: Key, at: float, declared: bool) -> KeyStatus:
    times = (key.created_at, key.expires_at, key.revoked_at, key.last_used_at)
    return KeyStatus(key.id, key.tenant, key.state(at, declared), key.hint, key.note, *times)


def _rule(tenant: Tenant) -> TenantRule:
    spec = tenant.spec
    return TenantRule(
        name=tenant.name,
        services=spec.services,
        rate_per_s=spec.rate.requestsPerSecond if spec.rate else None,
        burst=spec.rate.depth if spec.rate else 1,
        concurrency=spec.concurrency,
        priority=spec.priority,
        weight=spec.weight,
    )


def _sum(a: TenantUse, b: TenantUse) -> TenantUse:
    return TenantUse(
        a.worked + b.worked,
        a.in_time + b.in_time,
        a.failed + b.failed,
        a.gave_up + b.gave_up,
        a.sent_bytes + b.sent_bytes,
        a.pixels + b.pixels,
        a.media_s + b.media_s,
        Counter(a.refused) + Counter(b.refused),
    )
