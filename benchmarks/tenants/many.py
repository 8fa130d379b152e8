"""What many tenants cost the control process: a tick, a status, the page's stream, a scrape.

    python benchmarks/tenants/many.py [--tenants 1000] [--keys 3]

Tenants in three time zones, each with a rate and a quota, so many keys each, all of them in use in every tick; the
proxy is a fake. Times are the least of five, in milliseconds of one core; sizes in bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from tidegate.base.clock import SystemClock
from tidegate.control.tenancy import Tenancy
from tidegate.gateway.fake import FakeGateway
from tidegate.model.admission import AdmissionSeen, TenantUse
from tidegate.model.status import Status
from tidegate.model.tenancy import Key, TenancyStatus
from tidegate.spec.tenant import Tenant
from tidegate.store.journal import Journal
from tidegate.store.tenants import TenantStore
from tidegate.web import metrics
from tidegate.web.stream import MOST_TENANTS

ROUNDS = 5
ZONES = ("UTC", "Asia/Shanghai", "Europe/Berlin")

T = TypeVar("T")


def timed(name: str, call: Callable[[], T]) -> T:
    best, result = float("inf"), None
    for _ in range(ROUNDS):
        began = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - began)
    print(f"{name:34} {best * 1000:8.1f} ms", end="  ")
    assert result is not None
    return result


def tenant(n: int) -> Tenant:
    spec = {
        "services": ["*"],
        "rate": {"requestsPerSecond": 10},
        "quota": {"requestsPerDay": 10**9, "timeZone": ZONES[n % len(ZONES)]},
    }
    return Tenant.model_validate({"metadata": {"name": f"customer-{n:05d}"}, "spec": spec})


async def measure(count: int, keys: int, folder: Path) -> None:
    journal = Journal(f"sqlite:///{folder / 'journal.db'}")
    store, clock = TenantStore(journal), SystemClock()
    tenants = [tenant(n) for n in range(count)]
    for n in range(count * keys):
        store.add_key(Key(f"k{n:010x}", tenants[n % count].name, f"{n:064x}", "tgk_abcd", "", 1.0))
    tenancy = Tenancy(store, FakeGateway(), clock)
    await tenancy.open(tenants)
    use = TenantUse(worked=5, in_time=5, sent_bytes=1000, refused=Counter({"rate_limited": 3, "share_full": 1}))
    seen = AdmissionSeen({t.name: use for t in tenants}, {t.name: 1 for t in tenants})
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await tenancy.step(seen, clock.wall())
        best = min(best, time.perf_counter() - began)
    print(f"{'a tick in which all were used':34} {best * 1000:8.1f} ms")
    status = timed("a status", tenancy.status)
    print()
    whole = TypeAdapter(TenancyStatus)
    print(f"{len(timed('/v1/tenants', lambda: whole.dump_json(status))):9} bytes")
    print(f"{len(timed('a second of the stream', lambda: whole.dump_json(status.busiest(MOST_TENANTS)))):9} bytes")
    text = timed("/metrics", lambda: metrics.text(status, Status(at=0.0, uptime_s=0.0, version="")))
    print(f"{len(text):9} bytes")
    print(f"{len(timed('/metrics as gzip, besides', lambda: gzip.compress(text, metrics.GZIP_LEVEL))):9} bytes")
    journal.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--keys", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(options.tenants, options.keys, Path(folder)))


if __name__ == "__main__":
    main()
