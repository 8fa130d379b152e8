"""A day is the tenant's own, and a quota is used up when nothing is left of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidegate.model.tenancy import Used
from tidegate.policy.quotas import blocked, day_of, spent
from tidegate.spec.tenant import Quota, Tenant


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("now", "zone", "date", "ends"),
    [
        ("2026-11-28T12:00", "UTC", "2026-11-28", "2026-11-29T00:00"),
        ("2026-11-28T16:00", "Asia/Shanghai", "2026-11-29", "2026-11-29T16:00"),
        ("2026-11-28T15:59", "Asia/Shanghai", "2026-11-28", "2026-11-28T16:00"),
        # The clock goes back on 25 October: that day has 25 hours.
        ("2026-10-25T12:00", "Europe/Berlin", "2026-10-25", "2026-10-25T23:00"),
        ("2026-10-24T22:30", "Europe/Berlin", "2026-10-25", "2026-10-25T23:00"),
    ],
)
def test_a_day_ends_at_midnight_of_its_time_zone(now: str, zone: str, date: str, ends: str) -> None:
    assert day_of(at(now), zone) == (date, at(ends))


@pytest.mark.parametrize(
    ("quota", "used", "gone"),
    [
        (Quota(), Used(10**9, 10**15), False),
        (Quota(requestsPerDay=10), Used(9), False),
        (Quota(requestsPerDay=10), Used(10), True),
        (Quota(requestsPerDay=0), Used(), True),
        (Quota(requestsPerDay=10, bytesPerDay="1M"), Used(1, 1_000_000), True),
        (Quota(megapixelsPerDay=0.5), Used(1, 1, 499_999), False),
        (Quota(megapixelsPerDay=0.5), Used(1, 1, 500_000), True),
        (Quota(mediaSecondsPerDay="1m"), Used(1, 1, 0, 59.9), False),
        (Quota(mediaSecondsPerDay="1m"), Used(1, 1, 0, 60.0), True),
    ],
)
def test_a_quota_is_spent_when_nothing_is_left(quota: Quota, used: Used, gone: bool) -> None:
    assert spent(quota, used) is gone


def test_only_use_of_the_same_day_counts() -> None:
    tenant = Tenant.model_validate(
        {"metadata": {"name": "acme"}, "spec": {"services": ["*"], "quota": {"requestsPerDay": 5}}}
    )
    used = {("acme", "2026-11-28"): Used(5), ("rival", "2026-11-28"): Used(5)}
    assert blocked([tenant], used, at("2026-11-28T23:59")) == {"acme": at("2026-11-29T00:00")}
    assert blocked([tenant], used, at("2026-11-29T00:00")) == {}
