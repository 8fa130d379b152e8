"""From wanted and there to start and retire, for one pool.

Laws: never more than wanted + surge alive; ready replicas never fall below wanted while others are on their way (when
maxUnavailable is 0); what is not ready goes first, then what is idle, then what is newest; clusters are given back in
the reverse order of preference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tidegate.model.memory import ReplicaMemory, Vacancy
from tidegate.model.reasons import Reason
from tidegate.policy.placement import most_in_one
from tidegate.spec.resolve import PoolSpec


class Standing(NamedTuple):
    """A living replica that is not draining, with what is needed to choose between them.

    `ready` ones can serve now (their readiness probe does not fail). `stale` is set on those to be replaced: of a
    revision that is not wanted, drained by an operator, moving to another cluster.
    """

    id: str
    memory: ReplicaMemory
    ready: bool
    in_flight: int
    stale: bool


class Split(NamedTuple):
    """How many replicas of which revision are to stand (see `policy.rollout`).

    `mains` of revision `main`; `others` that are not of it and not stale, started as revision `other`. No more than
    `most` may be alive while something is replaced; no ready one goes unless `floor` ready ones are left.
    `why` is the cause written to those that go because of their revision.
    """

    main: str
    mains: int
    other: str
    others: int
    most: int
    floor: int
    why: str = "replaced"


class Need(NamedTuple):
    """What one pool needs now: how many of each revision to start, which to retire (with the cause), and why."""

    starts: tuple[tuple[str, int], ...]
    retire: tuple[tuple[str, str], ...]
    vacancies: tuple[Vacancy, ...]
    blocked_until: float | None
    reasons: tuple[Reason, ...] = ()

    @property
    def start(self) -> int:
        return sum(count for _, count in self.starts)


def need(
    pool: PoolSpec,
    wanted: int,
    split: Split,
    standing: Sequence[Standing],
    vacancies: tuple[Vacancy, ...],
    order: tuple[str, ...],
    at: float,
) -> Need:
    """Compare what is to stand with what stands.

    4 wanted with 1 stale among 4 starts 1 (one more than wanted may run); once it is ready the stale one is retired.
    """
    expected = len(standing) == split.mains and not (split.others or vacancies)
    if expected and all(not s.stale and s.memory.revision == split.main for s in standing):
        return Need((), (), (), None)  # what is nearly always the case in a large fleet
    mains = [s for s in standing if not s.stale and s.memory.revision == split.main]
    others = [s for s in standing if not s.stale and s.memory.revision != split.main]
    stale = [s for s in standing if s.stale]
    replacing = bool(stale or others or split.others)
    room = (split.most if replacing else wanted) - len(standing)
    other = _missing(split.others - len(others), room, [v for v in vacancies if v.revision == split.other], at)
    room -= other.count + len(other.waiting)
    own = [v for v in vacancies if v.revision in (split.main, "")]
    main = _missing(split.mains - len(mains), room, own, at)
    retire = _leaving(pool, split, mains, others, stale, order)
    waiting = sorted((*other.waiting, *main.waiting), key=lambda v: v.not_before)
    reasons = []
    if waiting:
        left_s = waiting[0].not_before - at
        text = f"{len(waiting)} not restarted yet ({waiting[0].cause}); next try in {left_s:.0f} s"
        reasons.append(Reason("back-off", text))
    if stale:
        fresh = sum(s.ready for s in mains)
        text = f"{fresh} of {wanted} replaced, {len(mains) - fresh} starting, {len(stale)} old ones left"
        reasons.append(Reason("rollout", text))
    return Need(
        starts=tuple((r, c) for r, c in ((split.other, other.count), (split.main, main.count)) if c),
        retire=retire,
        vacancies=(*other.waiting, *main.waiting, *other.due, *main.due),
        blocked_until=waiting[0].not_before if waiting else None,
        reasons=tuple(reasons),
    )


@dataclass(frozen=True, slots=True)
class _Missing:
    """How many to start of one revision, and the places whose time has not come or that are filled now."""

    count: int
    waiting: tuple[Vacancy, ...]
    due: tuple[Vacancy, ...]


def _missing(short: int, room: int, vacancies: Sequence[Vacancy], at: float) -> _Missing:
    places = max(0, short)
    if not vacancies:
        return _Missing(max(0, min(places, room)), (), ())
    waiting = sorted((v for v in vacancies if v.not_before > at), key=lambda v: v.not_before)[:places]
    due = tuple(v for v in vacancies if v.not_before <= at)[:places]
    return _Missing(max(0, min(places, room) - len(waiting)), tuple(waiting), due)


def _leaving(
    pool: PoolSpec,
    split: Split,
    mains: Sequence[Standing],
    others: Sequence[Standing],
    stale: Sequence[Standing],
    order: tuple[str, ...],
) -> tuple[tuple[str, str], ...]:
    """Who goes now: what is too many, ready ones only above the floor; then what is too many in all, not ready."""
    if not (stale or others or split.others) and len(mains) <= split.mains:
        return ()
    budget = sum(s.ready for s in (*mains, *others, *stale)) - split.floor
    gone: list[tuple[str, str]] = []
    surplus = (
        (victims(stale, len(stale), order), split.why),
        (_surplus(pool, split.others, others, order), split.why),
        (_surplus(pool, split.mains, mains, order), "scale down"),
    )
    for candidates, why in surplus:
        for s in candidates:
            if not s.ready or budget > 0:
                gone.append((s.id, why))
                budget -= s.ready
    if stale or others or split.others:
        names = {name for name, _ in gone}
        excess = len(mains) + len(others) + len(stale) - len(gone) - split.most
        unready = [s for s in (*mains, *others) if not s.ready and s.id not in names]
        gone += [(s.id, "scale down") for s in victims(unready, excess, order)]
    return tuple(gone)


def victims(standing: Sequence[Standing], count: int, order: tuple[str, ...]) -> list[Standing]:
    """The `count` replicas that are missed least: not ready, then last-preferred cluster, idle, newest."""
    if count <= 0:
        return []
    rank = {name: i for i, name in enumerate(order)}

    def missed(s: Standing) -> tuple[bool, int, int, float, str]:
        return (s.ready, -rank.get(s.memory.cluster, len(order)), s.in_flight, -s.memory.created_at, s.id)

    return sorted(standing, key=missed)[:count]


def _surplus(pool: PoolSpec, wanted: int, keep: Sequence[Standing], order: tuple[str, ...]) -> list[Standing]:
    """The victims of a scale-down; among those that serve, first where a cluster has more than its share."""
    most = most_in_one(pool, wanted)
    if most >= wanted:
        return victims(keep, len(keep) - wanted, order)
    left, gone = list(keep), []
    while len(left) > wanted:
        held = Counter(s.memory.cluster for s in left)
        over = [s for s in left if not s.ready] or [s for s in left if held[s.memory.cluster] > most]
        gone += victims(over or left, 1, order)
        left.remove(gone[-1])
    return gone
