"""From facts to states: one step of every replica's life, walking the table in `model.lifecycle`.

What is not seen is not judged: a replica of a cluster that cannot be seen stays as it was, an unknown verdict moves
nothing. Back-off after crashes follows the kubelet: first restart at once, then 10 s doubling up to 5 min, forgotten
after 10 min without a crash (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple
from zlib import crc32

from tidegate.model.lifecycle import ReplicaState, move
from tidegate.model.memory import ReplicaMemory, Vacancy
from tidegate.model.observed import ReplicaSeen, Verdict

FOUND = "found"  # the mark of a replica whose start nobody watched, so nothing is measured by it
# The revision of replicas on fixed hosts, which somebody else runs: routed to, never started or stopped.
STATIC = "static"
STARTUP_GUESS_S = 10.0  # before a start-up was ever measured
STARTUPS_KEPT = 100  # per pool and cluster
START_GRACE_S = 10.0  # a replica that was just ordered may not be visible yet
BACKOFF_FIRST_S = 10.0
BACKOFF_MAX_S = 300.0
BACKOFF_RESET_S = 600.0

STARTING, PREPARING, READY = ReplicaState.STARTING, ReplicaState.PREPARING, ReplicaState.READY
DRAINING, GONE = ReplicaState.DRAINING, ReplicaState.GONE


class Step(NamedTuple):
    """A replica after one look: its memory, and the place it leaves if it crashed or was found sick."""

    memory: ReplicaMemory
    vacancy: Vacancy | None = None


def first_memory(seen: ReplicaSeen) -> ReplicaMemory:
    """What to remember of a replica found running that nothing was known about (memory lost, or started by hand).

    It is taken as starting: its probes say soon enough how far it is.
    """
    return ReplicaMemory(
        key=seen.key,
        revision=seen.revision,
        cluster=seen.cluster,
        created_at=seen.created_at,
        since=seen.created_at,
        cause="found running",
        marks={FOUND: seen.created_at},
    )


def advance(
    memory: ReplicaMemory, seen: ReplicaSeen | None, *, cluster_seen: bool, at: float, verify: bool = False
) -> Step:
    """One look at one replica. At most one cause is acted on; the worst first.

    With `verify` its rollout has a test that must pass before it is ready.
    """
    if seen is None:
        young = memory.state is STARTING and at - memory.created_at < START_GRACE_S
        if not cluster_seen or young:
            return Step(memory)
        return _ended(memory, "vanished", at)
    if not seen.running:
        return _ended(memory, _how_it_ended(seen), at)
    return _living(memory, seen, at, verify=verify)


def _living(memory: ReplicaMemory, seen: ReplicaSeen, at: float, *, verify: bool) -> Step:
    state = memory.state
    if state is STARTING:
        if seen.startup is Verdict.FAIL:
            return _sick(memory, "startup failed", seen.detail, at)
        if seen.startup is Verdict.PASS:
            memory = _moved(memory, "startup passed", at)
            state = memory.state
    if state is PREPARING:
        if seen.prepared is Verdict.FAIL:
            return _sick(memory, "prepare failed", seen.detail, at)
        if seen.verify is Verdict.FAIL:
            return _sick(memory, "verify failed", seen.detail, at)
        verified = seen.verify is Verdict.PASS or not verify
        if seen.prepared is Verdict.PASS and verified and seen.readiness is Verdict.PASS:
            memory = _moved(memory, "prepared", at)
            return Step(replace(memory, ready_at=at if memory.ready_at is None else memory.ready_at))
    return Step(memory)


def sicken(memory: ReplicaMemory, detail: str, at: float) -> Step:
    """Take a replica whose liveness failed out of service; its place is filled again (see `policy.remedy`)."""
    return _sick(memory, "liveness failed", detail, at)


def retire(memory: ReplicaMemory, why: str, at: float) -> ReplicaMemory:
    """Begin to drain a replica that is not wanted any more; draining ones stay as they are."""
    if memory.state in (DRAINING, GONE):
        return memory
    return replace(memory, state=move(memory.state, "not wanted"), since=at, cause=why)


def backoff_s(restarts: int) -> float:
    """Seconds to wait before restart number `restarts` + 1.

    >>> [backoff_s(n) for n in (0, 1, 2, 6, 50)]
    [0.0, 10.0, 20.0, 300.0, 300.0]
    """
    if restarts == 0:
        return 0.0
    return min(BACKOFF_FIRST_S * 2.0 ** min(restarts - 1, 10), BACKOFF_MAX_S)


def is_timed(name: str, replicas: int) -> bool:
    """Whether this replica's start-up counts in a pool of so many: of more than `STARTUPS_KEPT` every nth does, by its
    name, so that hundreds that start at once do not push all that was known before out of the sample.
    """
    return crc32(name.encode()) % (1 + replicas // STARTUPS_KEPT) == 0


def startup_p95_s(
    measured: Mapping[str, tuple[float, ...]], default_s: float, starting_ages_s: Sequence[float] = ()
) -> float:
    """p95 of start-up times over all clusters, the default before any was measured.

    Of many that start at once the quickest arrive first, so those that still start count as well: each takes longer
    than its present age (the product-limit estimate of Kaplan and Meier). Never more than the longest measured, so
    that a replica that never starts does not make it grow.

    >>> measured = {"here": (4.0, *(1.0,) * 20)}
    >>> startup_p95_s(measured, 10.0), startup_p95_s(measured, 10.0, [2.0] * 20)
    (1.0, 4.0)
    """
    times = sorted(chain.from_iterable(measured.values()))
    if not times:
        return default_s
    ages, younger, longer = sorted(starting_ages_s), 0, 1.0  # `longer` is the share that takes longer than `took`
    if not ages:
        return times[min(len(times) - 1, int(0.95 * len(times)))]
    for before, took in enumerate(times):
        while younger < len(ages) and ages[younger] < took:
            younger += 1
        longer *= 1.0 - 1.0 / (len(times) - before + len(ages) - younger)
        if longer < 0.05 - 1e-9:
            return took
    return times[-1]


def _moved(memory: ReplicaMemory, cause: str, at: float, detail: str = "") -> ReplicaMemory:
    return replace(memory, state=move(memory.state, cause), since=at, cause=f"{cause}: {detail}" if detail else cause)


def _sick(memory: ReplicaMemory, cause: str, detail: str, at: float) -> Step:
    detail = detail.removeprefix(f"{cause.removesuffix(' failed')}: ")
    return Step(_moved(memory, cause, at, detail), _vacancy(memory, f"{cause}: {detail}" if detail else cause, at))


def _ended(memory: ReplicaMemory, how: str, at: float) -> Step:
    if memory.state is GONE:
        return Step(memory)
    expected = memory.state is DRAINING
    moved = replace(memory, state=move(memory.state, "exited"), since=at, cause=memory.cause if expected else how)
    return Step(moved, None if expected else _vacancy(memory, how, at))


def _vacancy(memory: ReplicaMemory, cause: str, at: float) -> Vacancy:
    ran_s = at - memory.ready_at if memory.ready_at is not None else 0.0
    restarts = 0 if ran_s >= BACKOFF_RESET_S else memory.restarts
    return Vacancy(restarts + 1, at + backoff_s(restarts), cause, memory.cluster, memory.revision)


def _how_it_ended(seen: ReplicaSeen) -> str:
    if seen.exit_code is None:
        return seen.detail or "ended"
    how = f"killed by signal {-seen.exit_code}" if seen.exit_code < 0 else f"exited with {seen.exit_code}"
    return f"{how}: {seen.detail}" if seen.detail else how
