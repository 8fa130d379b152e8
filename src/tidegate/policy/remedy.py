"""What follows when a liveness probe fails: restart, drain, run a script and probe again, or only say so.

Never for more than the pool's share of replicas at a time (`maxShare`), so that a probe that is wrong itself cannot
restart a fleet; beyond that the others wait, and that is said. A place counts until what is started there serves: when
nothing comes back, nothing more is taken away, but for one every ten minutes: the probe may be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tidegate.model.actions import Remedy
from tidegate.model.lifecycle import ReplicaState
from tidegate.model.memory import ReplicaMemory, Vacancy
from tidegate.model.observed import ReplicaSeen, Verdict
from tidegate.model.plan import Mark
from tidegate.policy import lifecycle
from tidegate.policy.work import Work
from tidegate.spec.probes import Liveness
from tidegate.spec.resolve import PoolKey

SCRIPT_S = 310.0  # a script has 300 s; one that said nothing by then is lost, with the process that ran it
AGAIN_S = 600.0  # a replica that fails later than this after its remedy gets the script again, not a restart


@dataclass(frozen=True, slots=True)
class Treated:
    """A sick replica after one look. `refused`: its remedy waits, since enough others are under remedy."""

    memory: ReplicaMemory
    marks: tuple[Mark, ...] = ()
    vacancy: Vacancy | None = None
    action: Remedy | None = None
    refused: bool = False


def budget(
    liveness: Liveness, sick: ReplicaMemory, replicas: Sequence[ReplicaMemory], vacancies: Iterable[Vacancy], at: float
) -> int:
    """How many more of a pool's replicas of the revision of `sick` may be put under remedy now."""
    empty = sum(v.revision == sick.revision for v in vacancies)
    standing = [m for m in replicas if m.state not in (ReplicaState.DRAINING, ReplicaState.GONE)]
    coming = sum(m.restarts > 0 and m.state is not ReplicaState.READY for m in standing if m.revision == sick.revision)
    treated = sum(m.sick_at is not None and _script_ordered(m, at) for m in standing)
    more = int((at - sick.sick_at) / AGAIN_S) if sick.sick_at is not None else 0
    return max(1, int(liveness.maxShare * (len(standing) + empty))) + more - empty - coming - treated


def _script_ordered(memory: ReplicaMemory, at: float) -> bool:
    return memory.remedied_at is not None and at - memory.remedied_at < AGAIN_S


def recovered(name: str, memory: ReplicaMemory, at: float) -> Treated:
    """Its liveness passes again."""
    took = f"its liveness probe passes again after {at - (memory.sick_at or at):.1f} s"
    return Treated(replace(memory, sick_at=None), (Mark(name, memory.key, "liveness", took, at),))


def treat(
    name: str, memory: ReplicaMemory, seen: ReplicaSeen, liveness: Liveness, at: float, *, allowed: bool
) -> Treated:
    """One look at a replica whose liveness fails; `allowed`: the budget has room for one more."""
    marks: tuple[Mark, ...] = ()
    if memory.sick_at is None:
        text = f"liveness failed: {seen.detail.removeprefix('liveness: ')}; remedy: {liveness.remedy}"
        marks = (Mark(name, memory.key, "liveness", text, at),)
        memory = replace(memory, sick_at=at)
    if liveness.remedy == "event":
        return Treated(memory, marks)
    if liveness.remedy == "script" and not _script_has_failed(memory, seen, at):
        if _script_ordered(memory, at):
            return Treated(memory, marks)
        if allowed:
            said = Mark(name, memory.key, "remedy", f"remedy script {liveness.remedyScript} runs", at)
            memory = replace(memory, remedied_at=at)
            return Treated(memory, (*marks, said), action=Remedy(name, memory.cluster))
    elif allowed or liveness.remedy == "script":
        step = lifecycle.sicken(memory, _why(memory, seen, at), at)
        return Treated(step.memory, marks, vacancy=step.vacancy)
    return Treated(memory, marks, refused=True)


def _script_has_failed(memory: ReplicaMemory, seen: ReplicaSeen, at: float) -> bool:
    """It ran and said so, or the probe fails again though it ran, or nothing was heard of it."""
    if not _script_ordered(memory, at):
        return False
    return seen.remedy is not Verdict.UNKNOWN or at - (memory.remedied_at or at) >= SCRIPT_S


def _why(memory: ReplicaMemory, seen: ReplicaSeen, at: float) -> str:
    if not _script_ordered(memory, at):
        return seen.detail
    how = {Verdict.PASS: "again after its remedy script", Verdict.FAIL: "and its remedy script failed too"}
    return f"{how.get(seen.remedy, 'and its remedy script said nothing')}: {seen.detail.removeprefix('liveness: ')}"


def apply(work: Work) -> None:
    """Do something about replicas whose liveness failed, never for more than the pool's share at a time."""
    if all(p.service.probes.liveness is None for p in work.specs.pools) and not any(
        m.remedies_wait for m in work.pools.values()
    ):
        return
    at, failing = work.observed.at, dict[PoolKey, int]()
    for name, seen in work.seen.items():
        memory = work.replicas[name]
        pool = work.declared.get(memory.key)
        liveness = pool.service.probes.liveness if pool else None
        if liveness is None or memory.state not in (ReplicaState.READY, ReplicaState.PREPARING):
            continue
        if seen.liveness is not Verdict.FAIL:
            if memory.sick_at is not None and seen.liveness is Verdict.PASS:
                _treated(work, name, recovered(name, memory, at))
            continue
        failing[memory.key] = failing.get(memory.key, 0) + 1
        room = budget(liveness, memory, [m for _, m in work.mine(memory.key)], work.pools[memory.key].vacancies, at)
        treated = treat(name, memory, seen, liveness, at, allowed=room > 0)
        _treated(work, name, treated)
        if treated.refused:
            share = f"{liveness.maxShare:.0%} of the pool may be under remedy at a time"
            work.unremedied[memory.key] = f"{failing[memory.key]} fail their liveness probe; no more than {share}"
    for key, pool_memory in work.pools.items():
        waits = key in work.unremedied
        if waits is not pool_memory.remedies_wait:
            work.pools[key] = replace(pool_memory, remedies_wait=waits)
            text = work.unremedied.get(key, "the others may be remedied again")
            work.marks.append(Mark("", key, "remedy", text, at))


def _treated(work: Work, name: str, treated: Treated) -> None:
    work.replicas[name] = treated.memory
    work.marks += treated.marks
    work.actions += [treated.action] if treated.action else []
    work.leave(treated.memory.key, treated.vacancy)
