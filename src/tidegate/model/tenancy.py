"""Tenants and their keys as they are kept and shown. A key's text is in none of these but `NewKey`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tidegate.model.admission import TenantUse

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Key:
    """One key: `digest` is the SHA-256 of its text in hex, `hint` its first characters. Times in epoch seconds."""

    id: str
    tenant: str
    digest: str
    hint: str
    note: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None

    def state(self, at: float, declared: bool) -> str:
        """`active`, or why it lets nobody in."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= at:
            return "expired"
        return "active" if declared else "no tenant"


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """A key as it is listed; `state` is `active`, `expired`, `revoked`, or `no tenant` while that is not declared."""

    id: str
    tenant: str
    state: str
    hint: str
    note: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; `secret` is shown this once."""

    key: KeyStatus
    secret: str


@dataclass(frozen=True, slots=True)
class Used:
    """What a tenant used up in one of its days."""

    requests: int = 0
    sent_bytes: int = 0
    pixels: int = 0
    media_s: float = 0.0

    def plus(self, use: TenantUse) -> Used:
        """With what was seen since. Pixels stop where a database's whole numbers end."""
        return Used(
            self.requests + use.worked,
            self.sent_bytes + use.sent_bytes,
            min(self.pixels + use.pixels, _MOST),
            self.media_s + use.media_s,
        )


@dataclass(frozen=True, slots=True)
class TenantStatus:
    """One tenant: its limits (null: none), its day so far, and counts since this control process began.

    `in_progress` requests are being served now, `queued` of them wait (worked out where several tenants share a pool).
    `worked` requests were answered by a replica or left by the client while one worked on them; `refused` is by code.
    """

    name: str
    services: tuple[str, ...]
    priority: str
    weight: int
    requests_per_s: float | None
    burst: int | None
    concurrency: int | None
    in_progress: int
    queued: int
    active_keys: int
    requests_today: int
    requests_per_day: int | None
    bytes_today: int
    bytes_per_day: int | None
    megapixels_today: float
    megapixels_per_day: float | None
    media_seconds_today: float
    media_seconds_per_day: float | None
    day_ends_at: float
    time_zone: str
    spent: bool
    worked: int = 0
    in_time: int = 0
    failed: int = 0
    gave_up: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TenancyStatus:
    """The declared tenants, and requests that were refused before it was known whose they are, by code.

    Of many tenants a page is told the busiest only; `more` others are left out.
    """

    at: float
    tenants: tuple[TenantStatus, ...] = ()
    refused_unknown: Mapping[str, int] = field(default_factory=dict)
    more: int = 0

    def busiest(self, most: int) -> TenancyStatus:
        """So many of them: whose day is used up, then who has most in progress, then most of today."""
        if len(self.tenants) <= most:
            return self
        order = sorted(self.tenants, key=lambda t: (not t.spent, -t.in_progress, -t.requests_today, t.name))
        return replace(self, tenants=tuple(order[:most]), more=self.more + len(order) - most)
