"""Pools for tests, with good defaults."""

from __future__ import annotations

from tidegate.model.scaling import ScaleInput
from tidegate.sim.engine import IntervalStats
from tidegate.spec.common import Metadata
from tidegate.spec.resolve import PoolSpec, pools_of
from tidegate.spec.scaling import Scaling
from tidegate.spec.service import MediaService, MediaServiceSpec, Promise


def pool_spec(*, slots: int = 1, within_s: float = 5.0, least: int = 1, most: int = 1000) -> PoolSpec:
    """The only pool of a service."""
    spec = MediaServiceSpec(
        concurrency=slots,
        promise=Promise(within=within_s, success=0.9995),
        scaling=Scaling(minReplicas=least, maxReplicas=most),
    )
    return pools_of(MediaService(metadata=Metadata(name="ocr"), spec=spec))[0]


def seen(
    at: float,
    *,
    ready: int,
    demand: float = 0.0,
    busy: float | None = None,
    arrivals: int = 0,
    interval_s: float = 15.0,
    starting: int = 0,
    spec: PoolSpec | None = None,
) -> ScaleInput:
    """What a policy sees when `busy` slots of `demand` were in use on average over the last interval."""
    busy = demand if busy is None else busy
    load = IntervalStats(
        at=at,
        interval_s=interval_s,
        arrivals=arrivals,
        busy_slot_s=busy * interval_s,
        queued_s=(demand - busy) * interval_s,
        in_flight=round(busy),
        queued=round(demand - busy),
    )
    return ScaleInput(at, spec or pool_spec(), load, ready, (1.0,) * starting, 120.0)
