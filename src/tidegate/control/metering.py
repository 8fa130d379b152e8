"""What a quota would not hold for: media of services whose requests nobody reads."""

from __future__ import annotations

from tidegate.spec.resolve import Specs
from tidegate.spec.tenant import Tenant


def unmetered(specs: Specs) -> tuple[str, ...]:
    """A sentence for every tenant with a quota of media that may use services which do not look at media."""
    return tuple(sentence for tenant in specs.tenants if (sentence := _unmetered(tenant, specs)))


def _unmetered(tenant: Tenant, specs: Specs) -> str:
    quota, granted = tenant.spec.quota, tenant.spec.services
    if quota.megapixelsPerDay is None and quota.mediaSecondsPerDay is None:
        return ""
    names = [s.name for s in specs.services if not s.spec.reads_media and {"*", s.name} & {*granted}]
    if not names:
        return ""
    which = f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
    return (
        f"tenant {tenant.name}: media sent to {which} cost none of its quota, since nobody reads them there. Say in "
        "`accepts` what the service takes, or leave the service out of the tenant's services"
    )
