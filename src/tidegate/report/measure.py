"""From a journal to the numbers of each pool and of all of them; every definition is in docs/report.md."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tidegate.model.journal import Entry
from tidegate.model.lifecycle import ReplicaState
from tidegate.report import durations, loads, others
from tidegate.report.durations import Durations, Phases
from tidegate.report.lives import ALIVE, Life, lives
from tidegate.report.loads import Traffic
from tidegate.report.price import price_of
from tidegate.report.static import case_of, static_fleet, together
from tidegate.report.values import HOUR_S, Case, Measured, Other, Report, Starts, Window
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolSpec, Specs

Play = Callable[[PoolSpec, Case, Starts, float | None], tuple[Other, ...]]


def report(
    entries: Sequence[Entry],
    specs: Specs,
    window: Window,
    simulate: Callable[[PoolSpec, Case], float | None],
    play: Play = lambda *_: (),
) -> Report:
    """Compute everything. `entries` must also hold the transitions before the window, or older replicas are missed.

    Args:
        specs: the manifests: concurrency, promise, resources and prices are read from them as they are now.
        simulate: the success rate a static fleet would have had, or None when it cannot be told.
        play: what other policies would have done with a pool's arrivals, given its start-up times and price an hour.
    """
    clusters = {c.name: c for c in specs.clusters}
    by_pool = _by_pool(entries)
    alive = lives(entries)
    found = []
    for spec in specs.pools:
        key = (spec.key.service, spec.key.pool)
        mine = by_pool.get(key, ())
        parts = _parts(spec, clusters, mine, alive.get(key, ()), window)
        measured = _measured(*key, parts, window)
        of = loads.intervals(mine, window.since, window.until)
        price_per_h = _price_per_h(parts, spec, clusters)
        measured = replace(
            measured,
            promised=spec.promise.success,
            within_s=spec.promise.within,
            static=static_fleet(spec, of, parts.traffic, price_per_h, window, simulate),
            preview=others.preview(mine, window),
        )
        if parts.traffic.finished or (parts.traffic.measured_s and not parts.traffic.arrivals):
            case = case_of(spec, of, parts.traffic, window)
            measured = replace(measured, others=play(spec, case, others.starts(parts.start_up), price_per_h))
        found.append((parts, measured))
    pools = tuple(measured for _, measured in found)
    total = _measured("", "", sum((parts for parts, _ in found), _Parts()), window)
    return Report(
        window,
        pools,
        replace(total, static=together(pools), others=others.together(pools), preview=others.previews(pools)),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """What adds up over pools: seconds, money, requests, durations."""

    alive_s: float = 0.0
    slot_s: float = 0.0
    ready_slot_s: float = 0.0
    cost: float = 0.0
    priced_s: float = 0.0
    traffic: Traffic = Traffic()
    scale_out: Durations = Durations()
    start_up: Durations = Durations()
    upgrade: Durations = Durations()
    phases: Phases = Phases()

    def __add__(self, other: _Parts) -> _Parts:
        return _Parts(*(getattr(self, name) + getattr(other, name) for name in _Parts.__slots__))


def _by_pool(entries: Iterable[Entry]) -> Mapping[tuple[str, str], Sequence[Entry]]:
    found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.service, entry.pool].append(entry)
    return found


def _parts(
    spec: PoolSpec, clusters: Mapping[str, Cluster], entries: Sequence[Entry], of: Sequence[Life], window: Window
) -> _Parts:
    since, until = window.since, window.until
    spent = [(life, life.seconds(since, until, ALIVE)) for life in of]
    prices = [(price_of(life.cluster, spec, clusters), seconds) for life, seconds in spent]
    alive_s = math.fsum(seconds for _, seconds in spent)
    ready_s = math.fsum(life.seconds(since, until, (ReplicaState.READY,)) for life in of)
    decisions, starts = durations.decisions_of(entries), durations.starts_of(entries)
    return _Parts(
        alive_s=alive_s,
        slot_s=alive_s * spec.concurrency,
        ready_slot_s=ready_s * spec.concurrency,
        cost=math.fsum(price * seconds / HOUR_S for price, seconds in prices if price is not None),
        priced_s=math.fsum(seconds for price, seconds in prices if price is not None),
        traffic=loads.traffic(loads.intervals(entries, since, until)),
        scale_out=durations.scale_outs(decisions, of, since, until),
        start_up=durations.start_ups(of, since, until),
        upgrade=durations.upgrades(decisions, starts, of, since, until),
        phases=durations.phases(entries, since, until),
    )


def _price_per_h(parts: _Parts, spec: PoolSpec, clusters: Mapping[str, Cluster]) -> float | None:
    """What a replica of this pool cost an hour on average; its price in the only cluster when none ran."""
    return parts.cost / parts.priced_s * HOUR_S if parts.priced_s else price_of("", spec, clusters)


def _measured(service: str, pool: str, parts: _Parts, window: Window) -> Measured:
    busy_s = parts.traffic.service_s_sum
    return Measured(
        service=service,
        pool=pool,
        promised=None,
        within_s=None,
        replica_h=parts.alive_s / HOUR_S,
        mean_replicas=parts.alive_s / window.seconds if window.seconds else 0.0,
        cost=parts.cost if parts.priced_s or not parts.alive_s else None,
        unpriced_h=(parts.alive_s - parts.priced_s) / HOUR_S,
        utilisation=busy_s / parts.slot_s if parts.slot_s else None,
        utilisation_ready=busy_s / parts.ready_slot_s if parts.ready_slot_s else None,
        traffic=parts.traffic,
        scale_out=parts.scale_out.spread(),
        start_up=parts.start_up.spread(),
        upgrade=parts.upgrade.spread(),
        phases_p95_s=parts.phases.p95_s(),
        static=None,
    )
