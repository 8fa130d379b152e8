"""Which share of a pool's requests each cluster is to get, and the weight of each replica in the balancer.

Three things decide. *Topology*: each call goes to the cluster nearest to where it comes from (`origins`). *Response
time*, the network's way taken out: a cluster that has become slower than usual beside the others, or fails, is sick,
and calls that would go there go to the next one, all but a few. *Slots*: the gateway gives no replica more than its
slots, so what does not fit goes to the next cluster with a free slot, request by request, without anything decided
here; `share` only foretells it.

A far cluster is not starved for being far, since its distance is not held against it; a near one that is idle but sick
is relieved. A change that all clusters show is nobody's sickness.

Worked example: a service B is called by users half of whom are in gz and half in sz (100 requests a second each), and
by a service A that runs in gz only (30 a second). 130 of the 230 calls come from gz and 100 from sz; with slots for
them in both, the weights of B's clusters are 130 : 100, whatever their numbers of replicas.

Laws (tests/laws/test_weights.py): weights add up to 1; more slots never mean less; sickness moves at most
`FALL_PER_S` a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tidegate.model.memory import BalanceMemory, ClusterHealth, Recent
from tidegate.model.plan import ClusterWeight, Ejection
from tidegate.policy import outliers
from tidegate.policy.outliers import Served, fails_more
from tidegate.spec.resolve import PoolKey

HALF_LIFE_S = 4.0
USUAL_HALF_LIFE_S = 120.0
FORGOTTEN_AFTER_S = 60.0  # what was usual of a cluster that answered nothing for so long is no measure any more
ORIGINS_HALF_LIFE_S = 30.0
ORIGINS_STEP = 0.02  # smaller changes of where calls come from move no weight
LEAST_ANSWERS = 3.0
WELL_TIMES, SICK_TIMES = 1.3, 2.2  # between these beside the others a cluster becomes sick by degrees
CLEARLY_WELL = 1.29  # nobody is sick who takes so many times as long as the others at most
ALONE = 0.3  # as sick as this at most while nobody else can be compared with: some calls go elsewhere and tell
FALL_PER_S, RISE_PER_S, BLIND_RISE_PER_S = 0.25, 0.05, 0.02
PROBED = 0.04  # the part of its calls that the sickest cluster still gets, or its recovery would not be seen
STEPS = 20  # sickness acts in steps of this part, so that not every look changes the routing
HEAVIEST = 256  # the proxy's largest weight; the smallest is 1


class Place(NamedTuple):
    """A cluster with ready replicas of a pool: its name, their slots, its mean distance from the callers in seconds.

    `rank` orders the places for the calls of each region: the smallest is the nearest.
    """

    name: str
    slots: int
    distance_s: float
    rank: Mapping[str, float]


class Looked(NamedTuple):
    """What was seen of one pool: replicas that serve, load, and where its calls come from (shares by region)."""

    at: float
    served: Sequence[Served]
    offered_slots: float
    squares_s2: float
    origins: Mapping[str, float]


class Balance(NamedTuple):
    """Weights per replica (1 to 256; 0: nothing) and per cluster, what to remember, who was ejected or returned."""

    replicas: Mapping[str, int]
    clusters: tuple[ClusterWeight, ...]
    memory: BalanceMemory
    steps: tuple[Ejection, ...] = ()


def balance(key: PoolKey, places: Sequence[Place], looked: Looked, memory: BalanceMemory) -> Balance:
    """One look at one pool. `places` in the order of preference of equally near ones."""
    since_s = min(10.0, max(0.0, looked.at - memory.at)) if memory.at else 0.0
    squares_s2 = memory.squares_s2 * 0.5 ** (since_s / outliers.HALF_LIFE_S) + looked.squares_s2
    cv = _variation(memory, looked, squares_s2)
    judged = outliers.judge(key, looked.served, memory.replicas, at=looked.at, since_s=since_s, cv=cv)
    clusters = _health(places, looked, memory.clusters, since_s)
    origins = _origins(memory.origins, looked.origins, since_s)
    health = {name: _accepted(c.sick) for name, c in clusters.items()}
    near = nearest(places, origins)
    wanted = near if all(part == 1.0 for part in health.values()) else prefer(places, origins, health)
    told = tuple(
        ClusterWeight(p.name, share, p.slots, near[p.name], health[p.name], _mean(clusters[p.name]), p.distance_s)
        for p, share in zip(places, shares(places, wanted, looked.offered_slots), strict=True)
    )
    kept = BalanceMemory(looked.at, judged.health, clusters, origins, squares_s2)
    weights = _per_replica(places, looked.served, wanted, judged)
    return Balance(weights, told, kept, tuple(judged.steps))


def nearest(places: Sequence[Place], origins: Mapping[str, float]) -> dict[str, float]:
    """`prefer` where all are well: the calls of an origin go to the nearest place."""
    wanted = dict.fromkeys((p.name for p in places), 0.0)
    for region, share in origins.items() if places else ():
        place = min(places, key=lambda p: p.rank.get(region, 0.0)) if len(places) > 1 else places[0]
        wanted[place.name] += share
    return wanted


def prefer(places: Sequence[Place], origins: Mapping[str, float], health: Mapping[str, float]) -> dict[str, float]:
    """The share of the calls that should go to each place while all have free slots; they add up to 1.

    The calls of an origin go to the nearest place, all that its health lets it have; what is left to the next. The
    last takes what is left over.
    """
    wanted = dict.fromkeys((p.name for p in places), 0.0)
    for region, share in origins.items():
        left = share
        order = sorted(places, key=lambda p: p.rank.get(region, 0.0))
        well = max((health[p.name] for p in order), default=1.0)
        for p in order[:-1]:
            taken = left * min(1.0, health[p.name] / well)
            wanted[p.name] += taken
            left -= taken
        if order:
            wanted[order[-1].name] += left
    return wanted


def shares(places: Sequence[Place], wanted: Mapping[str, float], offered_slots: float) -> list[float]:
    """What each place gets at a load of `offered_slots` busy slots: what is wanted of it as far as it has slots.

    What does not fit goes to the places with room in their order; beyond all room everybody is full.
    """
    slots = [float(p.slots) for p in places]
    if offered_slots <= 0:
        return [wanted[p.name] for p in places]
    got = [min(s, offered_slots * wanted[p.name]) for p, s in zip(places, slots, strict=True)]
    over = offered_slots - math.fsum(got)
    for i, room in enumerate(slots):
        more = max(0.0, min(over, room - got[i]))
        got[i] += more
        over -= more
    total = math.fsum(got)
    return [g / total for g in got] if total > 0 else [wanted[p.name] for p in places]


def origins_of(
    users: Mapping[str, float], callers: Iterable[tuple[float, Mapping[str, float]]], rate: float
) -> dict[str, float]:
    """Where the calls of a service come from, as shares by region.

    Args:
        users: shares of those who call it from outside, by region.
        callers: of each service that uses it, its requests a second and the share of them in each region. Each of them
            is taken to make one call.
        rate: all calls a second; what the callers do not account for comes from outside.
    """
    calls: dict[str, float] = {}
    inside = 0.0
    for per_s, regions in callers:
        inside += per_s
        for region, share in regions.items():
            calls[region] = calls.get(region, 0.0) + per_s * share
    if inside > rate > 0:  # not every request of a caller leads to a call
        calls = {region: c * rate / inside for region, c in calls.items()}
    outside, everybody = max(0.0, rate - inside), math.fsum(users.values())
    if outside > 0 or not calls:
        for region, share in users.items():
            calls[region] = calls.get(region, 0.0) + (outside or 1.0) * share / everybody
    total = math.fsum(calls.values())
    return {region: c / total for region, c in calls.items() if c > 0}


def _origins(before: Mapping[str, float], now: Mapping[str, float], since_s: float) -> Mapping[str, float]:
    """Smoothed, and left as they are while they change little."""
    if not before or now.keys() - before.keys():
        return now
    if since_s <= 0 or len(before) == 1:  # of one region: all of them, then as now
        return before
    keep = 0.5 ** (since_s / ORIGINS_HALF_LIFE_S)
    mixed = {r: keep * before.get(r, 0.0) + (1 - keep) * now.get(r, 0.0) for r in before}
    mixed = {r: s for r, s in mixed.items() if s > ORIGINS_STEP / 2 or r in now}
    total = math.fsum(mixed.values())
    return {r: s / total for r, s in mixed.items()}


def _variation(memory: BalanceMemory, looked: Looked, squares_s2: float) -> float:
    """The coefficient of variation of service times lately; 1 before anything is known."""
    if not memory.replicas:
        return 1.0
    recent = [h.recent for h in memory.replicas.values()]
    finished, total_s = math.fsum([r.finished for r in recent]), math.fsum([r.service_s for r in recent])
    if finished < LEAST_ANSWERS or total_s <= 0:
        return 1.0
    mean_s = total_s / finished
    return max(0.3, math.sqrt(max(0.0, squares_s2 / finished - mean_s**2)) / mean_s)


# -- sickness of a cluster -----------------------------------------------------------------------------------------


def _health(
    places: Sequence[Place], looked: Looked, before: Mapping[str, ClusterHealth], since_s: float
) -> dict[str, ClusterHealth]:
    sums: dict[str, list[float]] = {p.name: [0.0, 0.0, 0.0] for p in places}
    for _, peers, finished, failed, service_s in looked.served:
        if finished or failed or service_s:
            row = sums[peers[0]]
            row[0] += finished
            row[1] += failed
            row[2] += service_s
    keep = 0.5 ** (since_s / HALF_LIFE_S)
    views = {name: _seen(before.get(name), row, keep, looked.at) for name, row in sums.items()}
    if len(views) < 2:
        return {name: replace(v, sick=0.0) if v.sick else v for name, v in views.items()}
    if _all_well(views.values()):
        keep = 0.5 ** (since_s / USUAL_HALF_LIFE_S)
        return {name: _still_well(v, keep, looked.at) for name, v in views.items()}
    known = [(v.recent.mean_s / v.usual_s, v.usual_s) for v in views.values() if v.usual_s and _told(v)]
    first = min(known, default=(1.0, 0.0))
    return {name: _moved(v, _sickness(name, views), first, looked.at, since_s) for name, v in views.items()}


def _all_well(views: Iterable[ClusterHealth]) -> bool:
    """Whether none of them is sick, fails or is clearly slower beside the others: the usual case, told quickly."""
    means, grown = list[float](), list[float]()
    for v in views:
        r = v.recent
        if v.sick or r.failed or r.finished < LEAST_ANSWERS or r.service_s <= 0.0 or v.usual_s <= 0.0:
            return False
        mean_s = r.service_s / r.finished
        means.append(mean_s)
        grown.append(mean_s / v.usual_s)
    return max(grown) <= CLEARLY_WELL * min(grown) and max(means) <= 2.0 * CLEARLY_WELL * min(means)


def _still_well(view: ClusterHealth, keep: float, at: float) -> ClusterHealth:
    usual_s = keep * view.usual_s + (1 - keep) * view.recent.mean_s
    return ClusterHealth(view.recent, usual_s, at, 0.0)


def _seen(was: ClusterHealth | None, row: Sequence[float], keep: float, at: float) -> ClusterHealth:
    finished, failed, service_s = row
    if was is None:
        return ClusterHealth(Recent(finished, failed, service_s), seen_at=at)
    r = was.recent
    if not (finished or failed or service_s or r.finished or r.failed or r.service_s):
        return was
    recent = Recent(r.finished * keep + finished, r.failed * keep + failed, r.service_s * keep + service_s)
    return ClusterHealth(recent, was.usual_s, was.seen_at, was.sick)


def _told(view: ClusterHealth) -> bool:
    """Whether its last answers are enough to go by."""
    return view.recent.finished >= LEAST_ANSWERS


def _sickness(name: str, views: Mapping[str, ClusterHealth]) -> float | None:
    """How sick a cluster is beside the others, 0 to 1; None when too little was seen of it."""
    mine = views[name]
    if not mine.recent.failed and not _told(mine):
        return None
    others = [v for n, v in views.items() if n != name]
    failing = min((v.recent.failed / v.recent.asked for v in others if v.recent.asked >= LEAST_ANSWERS), default=None)
    if fails_more(mine.recent, failing or 0.0):
        return ALONE if failing is None else 1.0
    if not _told(mine):
        return None
    ratios = [_beside(mine, v) for v in others if _told(v)]
    if ratios:
        return _degree(max(ratios))
    return min(ALONE, _degree(mine.recent.mean_s / mine.usual_s)) if mine.usual_s else 0.0


def _beside(mine: ClusterHealth, other: ClusterHealth) -> float:
    """How many times slower than usual a cluster is, beside what has become of another one in the meantime.

    A cluster of slower machines is not sick for that; half of how much slower it is counts all the same, since a
    cluster that was never well has no better usual.
    """
    plain = mine.recent.mean_s / other.recent.mean_s if other.recent.mean_s > 0 else 1.0
    if not (mine.usual_s and other.usual_s):
        return plain
    grown = (mine.recent.mean_s / mine.usual_s) / max(1e-9, other.recent.mean_s / other.usual_s)
    return max(grown, plain / 2)


def _degree(times: float) -> float:
    return min(1.0, max(0.0, (times - WELL_TIMES) / (SICK_TIMES - WELL_TIMES)))


def _moved(
    view: ClusterHealth, aim: float | None, others: tuple[float, float], at: float, since_s: float
) -> ClusterHealth:
    """One step of sickness, and of what is usual: learnt while well, forgotten when long unseen.

    `others` is how many times slower than usual the best of them is now, and what is usual of it. A cluster first seen
    while they are all slow may be slow as well: its usual is less, though not less than theirs.
    """
    if aim is None:
        sick = max(0.0, view.sick - BLIND_RISE_PER_S * since_s)
    elif aim > view.sick:
        sick = min(aim, view.sick + FALL_PER_S * since_s)
    else:
        sick = max(aim, view.sick - RISE_PER_S * since_s)
    usual_s, seen_at = view.usual_s, at if _told(view) else view.seen_at
    if _told(view) and sick == 0 and not aim:
        keep = 0.5 ** (since_s / USUAL_HALF_LIFE_S)
        first_s = min(view.recent.mean_s, max(view.recent.mean_s / max(1.0, others[0]), others[1]))
        usual_s = keep * usual_s + (1 - keep) * view.recent.mean_s if usual_s else first_s
    elif at - seen_at > FORGOTTEN_AFTER_S:
        usual_s = 0.0
    if (usual_s, seen_at, sick) == (view.usual_s, view.seen_at, view.sick):
        return view
    return ClusterHealth(view.recent, usual_s, seen_at, sick)


def _accepted(sick: float) -> float:
    """The part of the calls meant for it that a cluster gets, in steps."""
    return 1 - (1 - PROBED) * round(sick * STEPS) / STEPS


def _mean(view: ClusterHealth) -> float | None:
    return view.recent.mean_s if _told(view) else None


# -- replicas ------------------------------------------------------------------------------------------------------


def _per_replica(
    places: Sequence[Place], served: Sequence[Served], wanted: Mapping[str, float], judged: outliers.Judged
) -> dict[str, int]:
    """A cluster's share spread over its replicas by their level; the heaviest weighs 256, none less than 1."""
    counts = dict.fromkeys((p.name for p in places), 0.0)
    levels = judged.levels
    for name, peers, *_ in served:
        counts[peers[0]] += levels.get(name, 1.0) if levels else 1.0
    each = {n: wanted[n] / count if count else 0.0 for n, count in counts.items()}
    top = max(each.values(), default=0.0) or 1.0
    if not levels and not judged.out:  # nobody is known to do worse than the others of its cluster
        alike = {n: max(1, round(HEAVIEST * part / top)) for n, part in each.items()}
        return {s[0]: alike[s[1][0]] for s in served}
    heaviest = {n: HEAVIEST * part for n, part in each.items()}
    return {
        s.name: 0 if s.name in judged.out else max(1, round(heaviest[s.peers[0]] * levels.get(s.name, 1.0) / top))
        for s in served
    }
