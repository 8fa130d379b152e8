"""Who may send requests, as one immutable value: tenants with their limits, keys, and who has used up its day.

A gateway is told to be like this, apart from the routing: it changes without a reload, and nothing in it decides where
a request goes. Keys are known by their SHA-256 alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.spec.access import Priority


@dataclass(frozen=True, slots=True)
class TenantRule:
    """What one tenant may do. None: no limit. `services` may hold "*"; `burst` requests fill at `rate_per_s`."""

    name: str
    services: tuple[str, ...]
    rate_per_s: float | None = None
    burst: int = 1
    concurrency: int | None = None
    priority: Priority = "normal"
    weight: int = 1


@dataclass(frozen=True, slots=True)
class AdmittedKey:
    """A key that is in force. `digest` is the SHA-256 of its text, lower-case hex; `expires_at` epoch seconds."""

    id: str
    tenant: str
    digest: str
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """Tenants and keys in force. `spent` holds tenants without quota left, and the epoch second from which on they
    have some again."""

    tenants: tuple[TenantRule, ...] = ()
    keys: tuple[AdmittedKey, ...] = ()
    spent: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeySet:
    """What an issuer of tokens publishes: the last good document, "" while there never was one; `fault` is a sentence
    while it cannot be had."""

    document: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class TenantUse:
    """What was seen of one tenant since the last look; every request counts once, when it has ended.

    `worked` were answered by a replica, or left by the client while one worked on them; `in_time` of them were answered
    within the promise. `failed` are the service's fault. `refused` are counts by the code they were told. `sent_bytes`
    came from the tenant with what `worked`, and so did media of `pixels` and `media_s` seconds, upper bounds for those
    that could not be read. `key_ids` are the keys it used.
    """

    worked: int = 0
    in_time: int = 0
    failed: int = 0
    gave_up: int = 0
    sent_bytes: int = 0
    pixels: int = 0
    media_s: float = 0.0
    refused: Mapping[str, int] = field(default_factory=dict)
    key_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AdmissionSeen:
    """`uses` since the last look by tenant, "" for requests of nobody known; `in_progress` now, and `queued`, how
    many of them wait in a pool. `faults`: keys of tokens that cannot be used."""

    uses: Mapping[str, TenantUse] = field(default_factory=dict)
    in_progress: Mapping[str, int] = field(default_factory=dict)
    queued: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
