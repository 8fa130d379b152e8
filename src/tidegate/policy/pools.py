"""One pool in one tick: how many are wanted, which start and which go, and what is told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from tidegate.model.actions import Start
from tidegate.model.lifecycle import ReplicaState
from tidegate.model.memory import ReplicaMemory
from tidegate.model.observed import Verdict
from tidegate.model.plan import PoolPlan
from tidegate.model.reasons import Reason
from tidegate.model.scaling import Scale, ScaleInput, ScaleResult
from tidegate.policy import lifecycle, moves, outliers, reconcile, rollout, room, schedule
from tidegate.policy.lifecycle import STARTUP_GUESS_S, STATIC
from tidegate.policy.rollout import waves
from tidegate.policy.work import Work
from tidegate.spec.resolve import PoolKey, PoolSpec

DRAINING, GONE, READY = ReplicaState.DRAINING, ReplicaState.GONE, ReplicaState.READY
FAIL = Verdict.FAIL


def decide(work: Work, spec: PoolSpec, scale: Scale) -> PoolPlan:
    """Decide for one pool: how many, start or retire the difference, move what stands in the wrong place."""
    at = work.observed.at
    present = _present(work, spec.key)
    asked = _scale_input(work, spec, present)
    result = _made_up_for(work, asked, present, scale(asked, work.pools[spec.key].scale))
    standing = [s for s in present if s.memory.revision != STATIC]
    ours = max(0, result.wanted - sum(s.ready for s in present if s.memory.revision == STATIC))
    if result.look_again_at is not None:
        work.wake.append(result.look_again_at)
    roll = _roll(work, spec, ours, standing)
    standing = list(roll.standing)
    choice = room.options(work, spec, max(ours, roll.split.mains + roll.split.others))
    order = choice.order
    if roll.leaving:
        first_to_go = [c for c in roll.leaving if c in order]
        order = (*(c for c in order if c not in first_to_go), *reversed(first_to_go))  # given back from its end
    need = reconcile.need(spec, ours, roll.split, standing, roll.vacancies, order, at)
    for name, why in need.retire:
        work.replicas[name] = lifecycle.retire(work.replicas[name], work.replicas[name].leaving or why, at)
    if need.blocked_until is not None:
        work.wake.append(need.blocked_until)
    pool = work.pools[spec.key]
    if result.memory is not pool.scale or need.vacancies != pool.vacancies:
        work.pools[spec.key] = pool.now(scale=result.memory, vacancies=need.vacancies)
    placed: list[tuple[str, str]] = []
    for revision, count in need.starts:
        where = roll.clusters if revision == roll.split.main else None
        allowed = choice if where is None else choice._replace(order=tuple(c for c in where if c in choice.order))
        taken = [c for c, _ in placed]
        placed += [(c, revision) for c in room.place(work, spec, count, allowed, standing, taken)]
    _start(work, spec, placed)
    pending = need.start - len(placed)
    if pending and not moves.stay(work, standing):
        moves.displace(work, spec, pending, choice, standing, [c for c, _ in placed])
        if not placed:
            room.make(work, spec, ours, standing, order)
    elif not pending and len(standing) == ours and not roll.under_way:
        moves.move_one(work, spec, standing, choice, asked.startup_s)
    return _plan(work, spec, result, (*roll.reasons, *need.reasons), pending)


def _present(work: Work, key: PoolKey) -> list[reconcile.Standing]:
    """The replicas of a pool that live, do not drain and are not lost."""
    servers = work.observed.gateway.servers if work.observed.gateway else {}
    visible, drained, found = work.observed.clusters, work.drained, []
    for name in work.names.get(key, ()):
        memory = work.replicas[name]
        state, cluster = memory.state, memory.cluster
        if state is DRAINING or state is GONE or (cluster not in visible and work.lost(name, memory)):
            continue
        server, seen = servers.get(name), work.seen.get(name)
        leaves = bool(memory.leaving) or (bool(drained) and (name in drained or cluster in drained))
        stale = leaves or cluster not in work.clusters
        ready = state is READY and (seen is None or seen.readiness is not FAIL)
        found.append(reconcile.Standing(name, memory, ready, server.in_flight if server else 0, stale))
    return found


def _scale_input(work: Work, spec: PoolSpec, standing: list[reconcile.Standing]) -> ScaleInput:
    at, known = work.observed.at, work.pools[spec.key].startups_s
    coming = [s for s in standing if not s.ready]
    timed = [s for s in coming if s.memory.ready_at is None and lifecycle.is_timed(s.id, len(work.names[spec.key]))]
    return ScaleInput(
        at=at,
        spec=spec,
        load=work.observed.loads.get(spec.key),
        ready=len(standing) - len(coming),
        starting_ages_s=tuple(sorted(at - s.memory.created_at for s in coming)),
        startup_s=lifecycle.startup_p95_s(known, STARTUP_GUESS_S, [at - s.memory.created_at for s in timed]),
    )


def _made_up_for(work: Work, asked: ScaleInput, standing: list[reconcile.Standing], result: ScaleResult) -> ScaleResult:
    """As many more as do worse than their peers and are out, or on their way back; within the pool's bounds.

    Those that are replaced anyway have their successors already, and fixed hosts cannot be made more.
    """
    spec = asked.spec
    away = outliers.away(work.pools[spec.key].balance.replicas)
    if not away or not result.wanted:
        return result
    mine = [s.id for s in standing if s.ready and not s.stale and s.memory.revision != STATIC]
    count = min(len({*away}.intersection(mine)), outliers.most_out(len(mine)))
    if not count:
        return result
    ceiling = schedule.bounds(spec.scaling.schedules, asked.at, asked.startup_s).ceiling
    most = spec.scaling.maxReplicas if ceiling is None else ceiling
    wanted = max(result.wanted, min(result.wanted + count, most))
    bound = "maxReplicas" if wanted < result.wanted + count else None
    text = f"{count} of {len(mine)} out or on the way back, since they do worse than their peers: {wanted}"
    return replace(result, wanted=wanted, reasons=(*result.reasons, Reason("ejected", text, wanted, bound)))


def _roll(work: Work, spec: PoolSpec, wanted: int, standing: list[reconcile.Standing]) -> rollout.Step:
    """Let the pool's rollout take one step."""
    pool, seen = work.pools[spec.key], work.observed
    order: waves.Waves = ()
    leaving: list[tuple[str, str]] = []
    if not rollout.at_rest(spec, pool.rollout, seen.intents):  # else nobody asks for the order of clusters
        counts = Counter(s.memory.cluster for s in standing)
        order = waves.plan(spec.service.rollout, work.specs.clusters, counts) if len(counts) > 1 else ()
        leaving = [(n, m.revision) for n, m in work.mine(spec.key) if m.state in (DRAINING, GONE)]
    facts = rollout.Facts(seen.at, wanted, standing, pool.vacancies, seen.gateway, seen.intents, order, leaving)
    roll = rollout.advance(spec, pool.rollout, facts)
    if roll.memory is not pool.rollout:
        work.pools[spec.key] = replace(pool, rollout=roll.memory)
    if roll.held:
        work.held |= roll.held
    if roll.canaries:
        work.canaries[spec.key] = (roll.canaries, roll.only)
    work.rollouts += roll.moves
    if roll.look_again_at is not None:
        work.wake.append(roll.look_again_at)
    return roll


def _start(work: Work, spec: PoolSpec, placed: Iterable[tuple[str, str]]) -> None:
    """Start replicas: (cluster, revision) of each."""
    at, pool = work.observed.at, work.pools[spec.key]
    if not placed and not pool.vacancies:
        return
    due = sorted((v for v in pool.vacancies if v.not_before <= at), key=lambda v: -v.restarts)
    number = pool.next_number
    for cluster, revision in placed:
        vacancy = next((v for v in due if v.revision in (revision, "")), None)
        if vacancy is not None:
            due.remove(vacancy)
        name, number = _free_name(work, spec.key, revision, number)
        restarts = vacancy.restarts if vacancy else 0
        why = f"restart after {vacancy.cause}" if vacancy else "wanted"
        work.replicas[name] = ReplicaMemory(
            spec.key, revision, cluster, created_at=at, since=at, restarts=restarts, cause=why
        )
        work.names.setdefault(spec.key, []).append(name)
        work.actions.append(Start(name, spec.key, revision, cluster, why))
    waiting = tuple(v for v in pool.vacancies if v.not_before > at)
    work.pools[spec.key] = replace(pool, next_number=number, vacancies=(*waiting, *due))


def _free_name(work: Work, key: PoolKey, revision: str, number: int) -> tuple[str, int]:
    while (name := f"{key.service}-{key.pool}-{revision[:4]}-{number}") in work.replicas:
        number += 1
    return name, number + 1


def _plan(work: Work, spec: PoolSpec, result: ScaleResult, why: tuple[Reason, ...], pending: int) -> PoolPlan:
    visible = work.observed.clusters
    placed: dict[str, int] = {}
    states: list[ReplicaState] = []
    for name in work.names.get(spec.key, ()):
        m = work.replicas[name]
        if m.cluster not in visible and work.lost(name, m):
            continue
        states.append(m.state)
        if m.state is not DRAINING and m.state is not GONE:
            placed[m.cluster] = placed.get(m.cluster, 0) + 1
    sick = (Reason("remedy", work.unremedied[spec.key]),) if spec.key in work.unremedied else ()
    reasons = (*result.reasons, *why, *_pending_reason(work, spec, pending), *sick)
    return PoolPlan(
        key=spec.key,
        revision=spec.revision,
        wanted=result.wanted,
        placed=placed,
        pending=pending,
        ready=states.count(READY),
        starting=states.count(ReplicaState.STARTING) + states.count(ReplicaState.PREPARING),
        draining=states.count(DRAINING),
        reasons=reasons,
    )


def _pending_reason(work: Work, spec: PoolSpec, pending: int) -> tuple[Reason, ...]:
    if not pending:
        return ()
    r = spec.resources
    names = (f"{c} (drained)" if c in work.drained else c for c in work.orders[spec.key])
    order = ", ".join(names) or "no cluster"
    text = f"{pending} pending: no room for {r.cpu:g} cores and {r.memory / 2**20:g} MiB in {order}"
    return (Reason("placement", text, bound="capacity"),)
