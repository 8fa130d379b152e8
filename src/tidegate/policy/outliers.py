"""Replicas that fail or are slow beside their peers get less, then nothing, and are tried again gently.

Peers are the replicas of one pool and revision in one cluster: what all of them suffer is not one replica's fault, and
what a whole cluster suffers is `policy.weights`' business. The ideas are those of outlier detection in Envoy
(https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier): a bounded share is out at a time,
each time longer than the last; here evidence fades instead of being counted in fixed intervals.

Worked example: 6 replicas at 100 ms, one at 1 s, 2 requests a second each. After 6 s its 8 remembered answers have a
mean of 1 s, ten times the peers'; 1.5 + 4 x 0.5 / sqrt(8) = 2.2 is enough to call it slow. It falls by a quarter a
second, is out 3 s later for 10 s, returns at a tenth and has all of its share 9 s after that, or is out for 20 s.

Laws (tests/laws/test_weights.py): never all of a pool are out; where all are alike nobody is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tidegate.model.memory import Recent, ReplicaHealth
from tidegate.model.plan import Ejection
from tidegate.spec.resolve import PoolKey

HALF_LIFE_S = 6.0  # of what is remembered of answers
LEAST_ANSWERS = 4.0  # fewer say nothing about speed
LEAST_FAILURES = 3.0  # fewer say nothing about failures
SLOW_TIMES = 1.5  # as slow as this beside the peers, and four deviations more, is slow
FALL_PER_S, RISE_PER_S = 0.25, 0.1  # of a share
LEAST_LEVEL = 0.1  # a slow one gets this; a returning one begins with it
OUT_LEVEL = 0.3  # one that has fallen below, and is slow by this factor or fails, gets nothing
OUT_TIMES = 3.0
OUT_FIRST_S, OUT_MOST_S = 10.0, 300.0
OUT_SHARE = 0.1  # at most this share of a pool is out, but one may always be if others serve
FORGIVEN_AFTER_S = 300.0
STUBBORN = 3  # out so often in a row, a replica is replaced
NEGLIGIBLE = 0.05  # answers
NEW = ReplicaHealth()


class Served(NamedTuple):
    """A replica that takes requests: what it answered since the last look, the way to its cluster taken out."""

    name: str
    peers: tuple[str, str]  # cluster, revision
    finished: float = 0.0
    failed: float = 0.0
    service_s: float = 0.0


@dataclass(slots=True)
class Judged:
    """Health of every replica with a history, the levels below 1, those that are out, and what changed."""

    health: dict[str, ReplicaHealth] = field(default_factory=dict)
    levels: dict[str, float] = field(default_factory=dict)
    steps: list[Ejection] = field(default_factory=list)
    out: frozenset[str] = frozenset()


def judge(
    key: PoolKey,
    served: Sequence[Served],
    before: Mapping[str, ReplicaHealth],
    *,
    at: float,
    since_s: float,
    cv: float,
) -> Judged:
    """One look at all replicas of a pool; `cv` is the coefficient of variation of their service times."""
    judged = Judged()
    if not before and not any(s.finished or s.failed for s in served):
        return judged
    keep = 0.5 ** (since_s / HALF_LIFE_S)
    groups: dict[tuple[str, str], dict[str, ReplicaHealth]] = {}
    peers, group = None, dict[str, ReplicaHealth]()
    out: set[str] = set()
    for name, of, finished, failed, service_s in served:
        if of != peers:  # those of a group mostly follow each other
            peers, group = of, groups.setdefault(of, {})
        was = before.get(name)
        if was is None:
            group[name] = ReplicaHealth(Recent(finished, failed, service_s))
            continue
        r = was.recent
        recent = Recent(r.finished * keep + finished, r.failed * keep + failed, r.service_s * keep + service_s)
        group[name] = ReplicaHealth(recent, was.level, was.out_until, was.ejections, was.well_since)
        if was.out_until > at:
            out.add(name)
    most = min(most_out(len(served)), len(served) - 1)
    for known in groups.values():
        if _all_well(known.values()):
            judged.health.update((n, h) for n, h in known.items() if h.recent.finished > NEGLIGIBLE)
            continue
        views = list(known.values())
        usual_s, failing = _usual(views), _failing(views)
        for name, was in known.items():
            now = _step(was, usual_s, failing, cv, at, since_s)
            if now.out_until > at and name not in out:
                if len(out) >= most or len(known) < 2:
                    now = replace(now, out_until=0.0, ejections=was.ejections, level=max(now.level, LEAST_LEVEL))
                else:
                    out.add(name)
            elif now.out_until <= at:
                out.discard(name)
            step = _told(key, name, before.get(name, NEW), now, usual_s, at)
            if step is not None:
                judged.steps.append(step)
            if now.level != 1.0:
                judged.levels[name] = now.level
            if now.recent.asked > NEGLIGIBLE or now.level < 1 or now.ejections:
                judged.health[name] = now
    judged.out = frozenset(out)
    return judged


def _all_well(views: Iterable[ReplicaHealth]) -> bool:
    """Whether nobody has a history, has failed, or is slower beside the others than `SLOW_TIMES`: nothing to do.

    What is nearly always the case in a large fleet.
    """
    means: list[float] = []
    for h in views:
        r = h.recent
        if r.failed or h.level != 1.0 or h.ejections or h.out_until:
            return False
        if r.finished >= LEAST_ANSWERS:
            means.append(r.service_s / r.finished)
    if len(means) < 2:
        return True
    slowest = max(means)
    return slowest <= SLOW_TIMES * min(means) or slowest <= SLOW_TIMES * _lower_median(means)


def stubborn(health: Mapping[str, ReplicaHealth]) -> Iterable[str]:
    """Replicas that were out several times in a row: nothing but a new one helps."""
    return (n for n, h in health.items() if h.ejections >= STUBBORN)


def away(health: Mapping[str, ReplicaHealth]) -> list[str]:
    """Replicas that serve nothing, or not yet all of their share again after they were out.

    The way back counts, or else the replica that makes up for one that is out for ten seconds would be ordered and
    called off again and again.
    """
    return [n for n, h in health.items() if h.ejections and h.level < 1]


def most_out(count: int) -> int:
    """How many of so many replicas may be out at a time."""
    return max(1, int(OUT_SHARE * count))


def _usual(views: Iterable[ReplicaHealth]) -> float:
    """The peers' usual mean service time; 0 when there is nobody to compare with."""
    means = [v.recent.mean_s for v in views if v.recent.finished >= LEAST_ANSWERS]
    return _lower_median(means) if len(means) > 1 else 0.0


def _lower_median(values: Iterable[float]) -> float:
    """Of two, the smaller one."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]


def _failing(views: Iterable[ReplicaHealth]) -> float:
    """The lower median of the peers' share of failures."""
    shares = [v.recent.failed / v.recent.asked for v in views if v.recent.asked > NEGLIGIBLE]
    return _lower_median(shares) if len(shares) > 1 else 1.0


def times_slower(recent: Recent, usual_s: float, cv: float) -> float:
    """How many times the usual it takes, 1 unless that is beyond what chance explains."""
    if usual_s <= 0 or recent.finished < LEAST_ANSWERS:
        return 1.0
    times = recent.mean_s / usual_s
    return times if times > SLOW_TIMES + 4 * cv / math.sqrt(recent.finished) else 1.0


def fails_more(recent: Recent, usual: float) -> bool:
    """Whether it fails more often than the others do, beyond chance: 3 and three deviations above what they would."""
    expected = usual * recent.asked
    return recent.failed - expected >= LEAST_FAILURES + 3 * math.sqrt(expected)


def _step(was: ReplicaHealth, usual_s: float, failing: float, cv: float, at: float, since_s: float) -> ReplicaHealth:
    if was.out_until > at:
        return was
    if was.out_until:  # its time is over: begin anew, at little
        return replace(was, out_until=0.0, level=LEAST_LEVEL, recent=Recent(), well_since=at)
    times, fails = times_slower(was.recent, usual_s, cv), fails_more(was.recent, failing)
    if times <= 1 and not fails:
        forgiven = was.level >= 1 and was.ejections and at - was.well_since >= FORGIVEN_AFTER_S
        if was.level >= 1 and not forgiven:
            return was
        level = min(1.0, was.level + RISE_PER_S * since_s)
        return replace(was, level=level, ejections=0 if forgiven else was.ejections)
    aim = 0.0 if fails else max(LEAST_LEVEL, 1 / times)
    level = max(aim, was.level - FALL_PER_S * since_s) if was.level > aim else was.level
    if level <= OUT_LEVEL and (fails or times >= OUT_TIMES):
        out_s = min(OUT_MOST_S, OUT_FIRST_S * 2.0 ** min(was.ejections, 10))
        return replace(was, level=0.0, out_until=at + out_s, ejections=was.ejections + 1, well_since=at)
    return replace(was, level=level, well_since=at)


def _told(
    key: PoolKey, name: str, was: ReplicaHealth, now: ReplicaHealth, usual_s: float, at: float
) -> Ejection | None:
    before, after = _word(was), _word(now)
    if before == after:
        return None
    r = was.recent if now.recent.asked == 0 else now.recent
    if after == "out":
        slow = f"{r.mean_s:.3g} s an answer, its peers {usual_s:.3g} s" if usual_s else ""
        cause = f"{r.failed:.0f} of the last {r.asked:.0f} answers failed" if r.failed >= LEAST_FAILURES else slow
        cause = f"{cause}; nothing for {now.out_until - at:.0f} s"
    elif after == "less":
        cause = (
            "tried again" if was.out_until else f"{r.mean_s:.3g} s an answer, {r.failed:.0f} of {r.asked:.0f} failed"
        )
    else:
        cause = "as well as its peers again"
    return Ejection(name, key, before, after, cause, at)


def _word(health: ReplicaHealth) -> str:
    if health.out_until:
        return "out"
    return "in" if health.level >= 1 else "less"
