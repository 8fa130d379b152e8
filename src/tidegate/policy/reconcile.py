"""From wanted and there to start and retire, for one pool.

Laws: never more than wanted + surge alive; ready replicas never fall below wanted while others are on their way (when
maxUnavailable is 0); what is not ready goes first, then what is idle, then what is newest; clusters are given back in
the reverse order of preference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.model.memory import ReplicaMemory, Vacancy
from tidegate.model.reasons import Reason
from tidegate.policy.placement import most_in_one
from tidegate.spec.resolve import PoolSpec


@dataclass(frozen=True, slots=True)
class Standing:
    """A living replica that is not draining, with what is needed to choose between them.

    `ready` ones can serve now (their readiness probe does not fail). `stale` is set on those to be replaced: of another
    revision, drained by an operator, moving to another cluster.
    """

    id: str
    memory: ReplicaMemory
    ready: bool
    in_flight: int
    stale: bool


@dataclass(frozen=True, slots=True)
class Need:
    """What one pool needs now: how many more to start, which to retire (with the cause), and why."""

    start: int
    retire: tuple[tuple[str, str], ...]
    vacancies: tuple[Vacancy, ...]
    blocked_until: float | None
    reasons: tuple[Reason, ...] = ()


def need(
    pool: PoolSpec,
    wanted: int,
    standing: Sequence[Standing],
    vacancies: tuple[Vacancy, ...],
    order: tuple[str, ...],
    at: float,
) -> Need:
    """Compare `wanted` with what stands.

    While stale ones are replaced, one more than wanted (or `maxSurge` of them) may run: 4 wanted with 1 stale among
    4 starts 1; once it is ready the stale one is retired.
    """
    keep = [s for s in standing if not s.stale]
    stale = [s for s in standing if s.stale]
    surge = max(1, pool.service.rollout.surge_of(wanted)) if stale and wanted else 0
    missing = max(0, min(wanted - len(keep), wanted + surge - len(standing)))
    waiting = sorted((v for v in vacancies if v.not_before > at), key=lambda v: v.not_before)[: wanted - len(keep)]
    start = max(0, missing - len(waiting))
    retire = [(s.id, "scale down") for s in _surplus(pool, wanted, keep, order)]
    retire += [(s.id, "replaced") for s in _replaceable(pool, wanted, keep, stale, order)]
    reasons = []
    if waiting:
        left_s = waiting[0].not_before - at
        text = f"{len(waiting)} not restarted yet ({waiting[0].cause}); next try in {left_s:.0f} s"
        reasons.append(Reason("back-off", text))
    if stale:
        fresh = sum(s.ready for s in keep)
        text = f"{fresh} of {wanted} replaced, {len(keep) - fresh} starting, {len(stale)} old ones left"
        reasons.append(Reason("rollout", text))
    due = tuple(v for v in vacancies if v.not_before <= at)
    return Need(
        start=start,
        retire=tuple(retire),
        vacancies=tuple(waiting) + due[: max(0, wanted - len(keep))],
        blocked_until=waiting[0].not_before if waiting else None,
        reasons=tuple(reasons),
    )


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


def _replaceable(
    pool: PoolSpec, wanted: int, keep: Sequence[Standing], stale: Sequence[Standing], order: tuple[str, ...]
) -> list[Standing]:
    """Stale ones that may go now: those not ready, and ready ones above the floor."""
    floor = wanted - pool.service.rollout.unavailable_of(wanted)
    ready = sum(s.ready for s in keep) + sum(s.ready for s in stale)
    idle = [s for s in stale if not s.ready]
    serving = [s for s in stale if s.ready]
    return idle + victims(serving, min(len(serving), ready - floor), order)
