"""What follows from a rollout for its pool: how many of which revision, who is held back, what is told."""

from __future__ import annotations

from typing import NamedTuple

from tidegate.model.memory import RolloutMemory, Vacancy
from tidegate.model.plan import RolloutStep
from tidegate.model.reasons import Reason
from tidegate.policy.reconcile import Split, Standing
from tidegate.policy.rollout import batches
from tidegate.policy.rollout.walk import (
    ADDING,
    BACK,
    FORWARD,
    GOING_BACK,
    ROLLED_BACK,
    STABLE,
    WATCHING,
    Facts,
    Walk,
    surge_of,
    unavailable_of,
)
from tidegate.policy.rollout.waves import clusters_of
from tidegate.spec.resolve import PoolSpec


class Step(NamedTuple):
    """What follows for a pool.

    `standing` has those of revisions that are not wanted marked stale. `held` replicas get no new requests though they
    are ready. `moves` are the phases it went through. New ones may be started in `clusters` now, best
    first (None: anywhere); old ones of `leaving` go first, in that order. `canaries` get all requests with the headers
    `only` and no others.
    """

    memory: RolloutMemory
    split: Split
    standing: tuple[Standing, ...]
    vacancies: tuple[Vacancy, ...]
    held: frozenset[str] = frozenset()
    moves: tuple[RolloutStep, ...] = ()
    reasons: tuple[Reason, ...] = ()
    look_again_at: float | None = None
    clusters: tuple[str, ...] | None = None
    leaving: tuple[str, ...] = ()
    canaries: frozenset[str] = frozenset()
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def under_way(self) -> bool:
        return self.memory.phase in (ADDING, WATCHING, GOING_BACK)


def rest(spec: PoolSpec, memory: RolloutMemory, facts: Facts) -> Step:
    """What follows while nothing is under way: nearly always, for nearly every pool, so without a walk."""
    main, standing = memory.stable, tuple(facts.standing)
    if any(s.memory.revision != main for s in standing):
        standing = tuple(s if s.stale or s.memory.revision == main else s._replace(stale=True) for s in standing)
    return Step(memory, _settled(spec, memory, main, facts.wanted), standing, facts.vacancies)


def step(walk: Walk) -> Step:
    m, forward = walk.m, walk.m.phase in FORWARD
    main = m.target if forward else m.stable
    standing = tuple(
        s if forward or s.stale or s.memory.revision == main else s._replace(stale=True) for s in walk.facts.standing
    )
    vacancies = walk.vacancies
    if m.phase in BACK:
        vacancies = tuple(v for v in vacancies if v.revision != m.target)
    only = batches.chosen(walk)
    return Step(
        memory=m,
        split=_split(walk, main, forward),
        standing=standing,
        vacancies=vacancies,
        held=_held(walk),
        moves=tuple(walk.moves),
        reasons=_reasons(walk),
        look_again_at=_wake(walk),
        clusters=clusters_of(m.waves, m.wave) if forward and m.wave < len(m.waves) - 1 else None,
        canaries=frozenset(s.id for s in walk.facts.standing if only and walk.is_new(s)),
        only=only,
        leaving=tuple(name for wave in m.waves[: m.wave + 1] for name in wave) if forward else (),
    )


def _split(walk: Walk, main: str, forward: bool) -> Split:
    wanted = walk.facts.wanted
    if not forward:
        return _settled(walk.spec, walk.m, main, wanted)
    why, surge = "replaced", surge_of(walk.spec, walk.m, wanted)
    unavailable = unavailable_of(walk.spec, wanted, surge)
    if walk.strategy == "blueGreen":
        return Split(main, wanted, walk.m.stable, wanted, 2 * wanted, wanted, why)
    goal, done = walk.goal(), walk.done()
    others = wanted if batches.chosen(walk) else max(0, wanted - done - max(0, goal - done - surge))
    return Split(main, goal, walk.m.stable, others, wanted + surge, wanted - unavailable, why)


def _settled(spec: PoolSpec, memory: RolloutMemory, main: str, wanted: int) -> Split:
    """All of the stable revision."""
    surge = surge_of(spec, memory, wanted)
    room = wanted + max(1, surge) if wanted else 0
    floor = wanted - unavailable_of(spec, wanted, surge)
    why = "rolled back" if memory.phase in BACK else "replaced"
    return Split(main, wanted, memory.target or main, 0, room, floor, why)


def _held(walk: Walk) -> frozenset[str]:
    """Blue-green: the new ones until all are ready; the old ones once they are."""
    if walk.strategy != "blueGreen" or walk.m.phase not in FORWARD:
        return frozenset()
    new = walk.m.phase is ADDING
    return frozenset(s.id for s in walk.facts.standing if walk.is_new(s) is new)


def _reasons(walk: Walk) -> tuple[Reason, ...]:
    m = walk.m
    if m.phase is STABLE:
        return ()
    if m.phase in BACK:
        return (Reason("rollout", f"{m.target} {m.phase}: {m.reason}; {m.stable} serves"),)
    what = f"{m.stable} -> {m.target}: {walk.ready()} of {walk.facts.wanted} ready"
    now = f"up to {walk.goal()} are being started" if m.phase is ADDING else "those are watched under traffic"
    if m.paused:
        now = m.reason if m.reason.startswith("paused") else f"paused: {m.reason}"
    now = f"{walk.wave_name()}, {now}" if m.waves else now
    return (Reason("rollout", f"{what}, {now}"),)


def _wake(walk: Walk) -> float | None:
    if walk.moves and walk.m.phase is not ROLLED_BACK:
        return walk.facts.at
    if walk.m.phase is WATCHING and not walk.m.paused:
        due = walk.m.since + batches.watch_s(walk)
        return due if due > walk.facts.at else None
    return None
