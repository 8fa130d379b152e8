"""What a fleet that never changes would have cost: the counterfactual that needs no knowledge of any policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tidegate.report import loads
from tidegate.report.loads import Interval, Traffic
from tidegate.report.values import HOUR_S, Case, Measured, Static, Window
from tidegate.spec.resolve import PoolSpec

STATIC_SHARE = 0.7
"""A static fleet is sized so that the peak uses this share of it: the usual rule where nothing scales."""


def static_fleet(
    spec: PoolSpec,
    of: Sequence[Interval],
    traffic: Traffic,
    price_per_h: float | None,
    window: Window,
    simulate: Callable[[PoolSpec, Case], float | None],
) -> Static | None:
    """The fleet that somebody who knew the peak would have set up; None when its size cannot be told.

    One replica where nothing was asked. Not known when nothing was measured, or nothing was finished.

    Peak: the highest five-minute mean of arrivals times the mean service time, so that what a short fleet delayed or
    refused counts too.
    """
    if not traffic.measured_s or (traffic.arrivals and not traffic.service_s_mean):
        return None
    work_s = traffic.service_s_mean or 0.0
    peak_slots = loads.peak_arrivals_per_s(of) * work_s
    count = max(1, math.ceil(peak_slots / (STATIC_SHARE * spec.concurrency) - 1e-9))
    # Only the time that was measured: a fleet is not charged for hours in which nobody was looking.
    replica_h = count * min(window.seconds, traffic.measured_s) / HOUR_S
    slot_h = replica_h * spec.concurrency
    case = case_of(spec, of, traffic, window, count)
    return Static(
        replicas=count,
        replica_h=replica_h,
        slot_h=slot_h,
        cost=None if price_per_h is None else replica_h * price_per_h,
        utilisation=traffic.service_s_sum / HOUR_S / slot_h if slot_h else None,
        success=simulate(spec, case) if traffic.arrivals else None,
    )


def case_of(spec: PoolSpec, of: Sequence[Interval], traffic: Traffic, window: Window, replicas: int = 0) -> Case:
    """What a simulation must be told of a pool's traffic."""
    return Case(
        replicas=replicas,
        slots=spec.concurrency,
        within_s=spec.promise.within,
        rate=loads.rate_points(of, window.since),
        seconds=window.seconds,
        requests=traffic.arrivals,
        service_s_mean=traffic.service_s_mean or 0.0,
        service_cv=traffic.service_cv,
    )


def together(pools: Sequence[Measured]) -> Static | None:
    """All static fleets as one, known only when each pool's is; its success weighs each pool by its requests."""
    known = [(pool, pool.static) for pool in pools if pool.static is not None]
    if not known or len(known) < len(pools):
        return None
    costs = [static.cost for _, static in known]
    slot_h = math.fsum(static.slot_h for _, static in known)
    busy_h = math.fsum(pool.traffic.service_s_sum for pool, _ in known) / HOUR_S
    return Static(
        replicas=sum(static.replicas for _, static in known),
        replica_h=math.fsum(static.replica_h for _, static in known),
        slot_h=slot_h,
        cost=None if None in costs else math.fsum(cost for cost in costs if cost is not None),
        utilisation=busy_h / slot_h if slot_h else None,
        success=_weighted([(static.success, pool.traffic.ended) for pool, static in known]),
    )


def _weighted(shares: Sequence[tuple[float | None, int]]) -> float | None:
    total = sum(n for _, n in shares)
    if not total or any(share is None for share, n in shares if n):
        return None
    return math.fsum((share or 0.0) * n for share, n in shares) / total
