"""Which tenants have used up their day, and when they may go on. Pure.

A day is that of the tenant's time zone, from midnight to midnight, whatever its length (23 or 25 hours when the clock
is changed).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tidegate.model.tenancy import Used
from tidegate.spec.tenant import Quota, Tenant


def day_of(at: float, zone: str) -> tuple[str, float]:
    """The date (`2026-11-28`) at an epoch second in a time zone, and the epoch second at which it ends."""
    here = ZoneInfo(zone)
    date = datetime.fromtimestamp(at, UTC).astimezone(here).date()
    midnight = datetime.combine(date + timedelta(days=1), time.min, here)
    return date.isoformat(), midnight.timestamp()


def spent(quota: Quota, used: Used) -> bool:
    """Whether there is nothing left of a day's quota."""
    limits = (
        (quota.requestsPerDay, used.requests),
        (quota.bytesPerDay, used.sent_bytes),
        (quota.megapixelsPerDay, used.pixels / 1e6),
        (quota.mediaSecondsPerDay, used.media_s),
    )
    return any(most is not None and so_far >= most for most, so_far in limits)


def days_of(at: float, tenants: Iterable[Tenant]) -> dict[str, tuple[str, float]]:
    """The `day_of` each time zone that a tenant has: many tenants share few."""
    return {zone: day_of(at, zone) for zone in {t.spec.quota.timeZone for t in tenants}}


def blocked(tenants: Collection[Tenant], used: Mapping[tuple[str, str], Used], at: float) -> dict[str, float]:
    """The tenants without quota, and until when. `used` is by tenant and date."""
    found, days = {}, days_of(at, tenants)
    for tenant in tenants:
        date, ends_at = days[tenant.spec.quota.timeZone]
        if spent(tenant.spec.quota, used.get((tenant.name, date), Used())):
            found[tenant.name] = ends_at
    return found
