"""Which margin above the expected load keeps the promise at the least cost, learned from what would have happened.

For each of a row of margins an imagined pool runs along: it orders what that margin asks for, waits the start-up time,
takes the arrivals that were counted, and refuses those for whom the gateway would have no room. So at any
time we know what each margin would have lost and cost on this service's own traffic, although only one was in use. The
smallest margin that kept the promise is chosen, if at its pace of losses the promise is kept some hours from now, too:
one more pool lives with the margins that were really in use, and what it lost is what has been spent of the promise's
allowance. After a calm week a margin may be small; after a bad hour it has to be larger until that is made good. What
the real pool lost is counted beside it: if that is more, because a queue works otherwise than imagined or arrivals come
in rushes, all imagined losses are taken for as many times more. A new service begins with the usual experience: sixteen
hours of traffic on the book, in which a margin of 1.5 standard deviations lost the planned part of what the promise
allows, and each one less five times as much. Its own traffic soon outweighs them.

Related: conformal risk control (Angelopoulos et al., 2022, arXiv:2208.02814) chooses a parameter the same way, the
smallest whose measured loss plus an allowance for few observations stays below the target.

The table is also what the user is told about his choices: "99.95% costs 1.4 times what 99.5% costs here".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tidegate.model.scaling import RiskMemory
from tidegate.policy.tracking import Outlook

# Margins in standard deviations of the forecast, on top of what the queue needs at a steady rate.
MARGINS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)
# For traffic that jumps faster than replicas start: besides a margin, a floor as a share of the recent peak. Storms
# that all are about as high need a high floor, spikes of any height a lower one and a wide margin above what there is.
FLOOR_MARGIN = 1.5
FLOORS = (
    *((FLOOR_MARGIN, share) for share in (0.1, 0.2, 0.35, 0.5, 0.7, 0.8, 0.9)),
    *((3.0, 0.35), (5.0, 0.5), (5.0, 0.7)),
)
# And margins for traffic that jumps by more than it had. They stand last: what comes before is enough for all other.
WIDE_MARGINS = (12.0, 16.0, 24.0)
CANDIDATES = (*((m, 0.0) for m in MARGINS), *FLOORS, *((m, 0.0) for m in WIDE_MARGINS))
POOLS = len(CANDIDATES) + 1  # the last one lives with the margins in use
# What is believed before a service has shown its traffic, and how many seconds of traffic that counts for. The usual
# margin grows with the root of the start-up time: an error costs as long as it takes to mend.
USUAL_MARGIN, USUAL_STARTUP_S, LEAST_USUAL = 1.5, 120.0, 1.0
USUAL_S = 16 * 3600.0
FIVEFOLD = 5.0
_DECLINE = tuple(FIVEFOLD**-m for m in MARGINS)
FADE_S = 14 * 86400.0
PEAK_FADE_S = 7 * 86400.0
RESERVE = 0.35  # share of the allowed losses that is planned with
AHEAD_S = 4 * 3600.0  # what was saved of the allowance may be spent in this time, what was overspent is saved in it
ROOM_SHARE = 0.9  # of the wait that would still be in time, which the gateway lets a request face
SEEN_SHARE = 0.8  # of that room, which the imagined pools use up: a bin hides the peaks within it
NOISE_SHARE = 0.1  # spread of the load over a few service times beyond the forecast's, slots per root of busy slots
MOST_WORSE = 10.0  # a real pool is taken to lose at most so many times what the imagined one does
BROKEN_WEIGHT = 150.0  # a request lost beyond the promise weighs as much as serving 150
GIVE_BACK = 0.5  # standard deviations beyond the margin that must not need a replica before it is given back
APART_S = 3600.0  # losses of the widest ordinary margin with less than this between them are one jump
HABIT = 1.5  # jumps that make a habit: two, ten days apart at most (they fade as losses do)
_WIDEST = len(MARGINS) - 1
_JUMPS_FROM = MARGINS.index(5.0)  # where no smaller margin keeps the promise, traffic jumps
_FLOORS = slice(len(MARGINS), len(MARGINS) + len(FLOORS))
FIRST_SHARE = 0.15  # of what a floor lost before jumps were a habit, which counts: the first one could not be known
JUMP_SHARE = 0.2  # of the allowance that is planned with where traffic jumps: the next jump may be the highest so far
OUT_OF_REACH = 10.0  # a promise is, when even the best candidate loses so many times what it allows


class Needs(NamedTuple):
    """What turns a forecast into slots: mean service seconds and their variation, slots a replica, spare slots
    the steady queue needs, the promise (seconds from arrival to answer, share), start-up seconds."""

    mean_s: float
    cv: float
    concurrency: int
    spare: float
    within_s: float
    success: float
    startup_s: float


class Felt(NamedTuple):
    """Requests lost for want of slots: by the real pool, and by the imagined one that lived with its margins."""

    felt: float
    foreseen: float


NOTHING_FELT = Felt(0.0, 0.0)


def slots(outlook: Outlook, margin: float, needs: Needs) -> float:
    """Slots for the higher of the rate now and the rate then, with a margin.

    12 busy slots expected, spread 0.9, margin 2, 0.95 spare slots for the queue: with the queue's own fluctuation the
    spread is sqrt(0.9^2 + 0.1^2 x 12) = 0.96, so 12 + sqrt((2 x 0.96)^2 + 0.95^2) = 14.1.
    """
    mean, variance = _moments(outlook, needs)
    return mean + math.sqrt(margin * margin * variance + needs.spare * needs.spare)


def _moments(outlook: Outlook, needs: Needs) -> tuple[float, float]:
    mean = max(outlook.now, outlook.then) * needs.mean_s
    spread = outlook.spread * needs.mean_s
    return mean, spread * spread + NOISE_SHARE * NOISE_SHARE * mean


def first_risk() -> RiskMemory:
    """Nothing seen yet: the usual margin. The last pool is the one in use."""
    n = POOLS
    nothing, none = (0.0,) * n, (0,) * n
    empty: tuple[tuple[float, int], ...] = ()
    return RiskMemory(0.0, 0.0, 0.0, nothing, nothing, nothing, none, (empty,) * n, MARGINS.index(USUAL_MARGIN))


def advance(
    memory: RiskMemory,
    arrivals: float,
    at: float,
    dt: float,
    outlook: Outlook,
    needs: Needs,
    *,
    lived: bool = False,
    least: int = 1,
) -> RiskMemory:
    """Let the imagined pools live through a bin of `dt` seconds that ends at `at`, then order for `outlook`.

    `lived`: the real pool lived through it with the margin in use, so that what it lost can be held against the last.
    `least` replicas are kept whatever is expected: a jump that a schedule was ready for is no fault of a margin.
    """
    keep = math.exp(-dt / FADE_S)
    peak = max(memory.peak * math.exp(-dt / PEAK_FADE_S), _moments(outlook, needs)[0])
    lost, cost, backlog, ready, pending, over = _lives(memory, arrivals, at, dt, outlook, needs, peak, least)
    offered, seconds = memory.offered * keep + arrivals, memory.seconds * keep + dt
    felt = memory.felt * keep
    foreseen = memory.foreseen * keep + (over if lived else 0.0)
    jumps, jumped_at = _jumps(memory, keep, at, lost[_WIDEST] > memory.lost[_WIDEST] * keep)
    if memory.jumps * keep <= 1.0 and jumps >= HABIT:
        lost[_FLOORS] = [have * FIRST_SHARE for have in lost[_FLOORS]]
    chosen = choose(
        lost, cost, offered, seconds, 1.0 - needs.success, needs.startup_s, Felt(felt, foreseen), habit=jumps >= HABIT
    )
    return RiskMemory(
        offered=offered,
        seconds=seconds,
        peak=peak,
        lost=tuple(lost),
        cost=tuple(cost),
        backlog=tuple(backlog),
        ready=tuple(ready),
        pending=tuple(pending),
        chosen=chosen,
        felt=felt,
        foreseen=foreseen,
        jumps=jumps,
        jumped_at=jumped_at,
    )


def _jumps(memory: RiskMemory, keep: float, at: float, more: bool) -> tuple[float, float]:
    """The jumps so far, and when the last was; `more`: the widest ordinary margin has lost something in this bin."""
    jumps = memory.jumps * keep
    if not more:
        return jumps, memory.jumped_at
    return (jumps + 1.0 if at - memory.jumped_at > APART_S else jumps), at


Coming = tuple[tuple[float, int], ...]


class _Lived(NamedTuple):
    """The imagined pools after a bin, the one in use last; `over` requests were refused in that one."""

    lost: list[float]
    cost: list[float]
    backlog: list[float]
    ready: list[int]
    pending: list[Coming]
    over: float


def _lives(
    memory: RiskMemory,
    arrivals: float,
    at: float,
    dt: float,
    outlook: Outlook,
    needs: Needs,
    peak: float,
    least: int,
) -> _Lived:
    keep = math.exp(-dt / FADE_S)
    fresh = memory.seconds == 0.0
    per_replica = needs.concurrency * dt / needs.mean_s
    lost, cost, backlog, ready, pending = list[float](), list[float](), list[float](), list[int](), list[Coming]()
    mean, variance = _moments(outlook, needs)
    spare2 = needs.spare * needs.spare
    before, concurrency, ceil, sqrt = at - dt, needs.concurrency, math.ceil, math.sqrt
    margins = (*CANDIDATES, CANDIDATES[memory.chosen])
    pools = zip(margins, memory.ready, memory.pending, memory.backlog, memory.lost, memory.cost, strict=True)
    for (margin, floor), served_by, ordered, waiting, lost_before, cost_before in pools:
        serving, coming, queue, over = served_by, ordered, waiting, 0.0
        if coming and coming[0][0] <= before:
            serving += sum(n for when, n in coming if when <= before)
            coming = tuple(c for c in coming if c[0] > before)
        capacity = serving * per_replica
        if queue > 0.0 or arrivals > capacity:
            queue, over = _refused(max(0.0, queue + arrivals - capacity), capacity / dt, needs)
        busy = max(floor * peak, mean + sqrt(margin * margin * variance + spare2))
        wanted = max(least, ceil(busy / concurrency - 1e-9))
        there = serving + sum(n for _, n in coming) if coming else serving
        if fresh:
            serving, over, queue = wanted, 0.0, 0.0
        elif wanted != there:
            if wanted < there:
                wider = margin + GIVE_BACK
                busy = max(floor * peak, mean + sqrt(wider * wider * variance + spare2))
                wanted = min(there, max(least, ceil(busy / concurrency - 1e-9)))
            serving, coming = _order(serving, coming, wanted - there, at + needs.startup_s)
        lost.append(lost_before * keep + over)
        cost.append(cost_before * keep + wanted * dt)
        backlog.append(queue)
        ready.append(serving)
        pending.append(coming)
    return _Lived(lost, cost, backlog, ready, pending, over)


def _order(serving: int, coming: Coming, more: int, ready_at: float) -> tuple[int, Coming]:
    """`more` replicas than there are, or fewer when it is negative."""
    if more > 0:
        return serving, (*coming, (ready_at, more))
    drop, left = -more, list(coming)
    while drop and left:  # the newest orders are given back first
        when, n = left.pop()
        kept = max(0, n - drop)
        drop -= n - kept
        if kept:
            left.append((when, kept))
    return serving - drop, tuple(left)


def choose(
    lost: Sequence[float],
    cost: Sequence[float],
    offered: float,
    seconds: float,
    allowed: float,
    startup_s: float,
    real: Felt = NOTHING_FELT,
    *,
    habit: bool = True,
) -> int:
    """The smallest margin whose losses keep the promise, its own and those of the margins in use before it.

    `lost` and `cost` of the candidates, and last of the pool in use; `real` is what that one lost in truth. `habit`:
    the traffic has jumped so that no ordinary margin was enough on more than one occasion. Where no
    margin does, the candidate for which its cost and what it breaks weigh least together (`_weighed`).
    """
    rate = offered / max(seconds, 1.0)
    usual, coming = rate * USUAL_S, rate * AHEAD_S  # requests
    planned = allowed * RESERVE
    believed = usual * planned * FIVEFOLD ** usual_margin(startup_s)  # lost at margin 0
    worse = worse_than_foreseen(real, usual * planned)
    expected = [have * worse + believed * share for have, share in zip(lost, _DECLINE, strict=False)]
    per_lost = coming / max(offered + usual, 1e-9)  # what a loss so far means for what is to come
    spent = lost[-1] + max(0.0, real.felt - real.foreseen)
    left = planned * (offered + coming) - spent
    kept = allowed * (offered + usual)
    most = min(kept, left / per_lost if per_lost else math.inf)
    for i, have in enumerate(expected):
        if have <= most * (1.0 + 1e-9):
            return i
    expected.extend(have * worse for have in lost[len(MARGINS) : len(CANDIDATES)])
    weight, among = _weighed(expected, kept, allowed, once=not habit or seconds < USUAL_S, broken=spent > kept)
    per_request = weight * max(cost[0], 1e-9) / max(offered, 1e-9)
    budget = planned * (offered + usual)
    return min(among, key=lambda i: cost[i] + per_request * max(0.0, expected[i] - budget))


def _weighed(
    expected: Sequence[float], kept: float, allowed: float, *, once: bool, broken: bool
) -> tuple[float, Sequence[int]]:
    """What a request lost beyond the planned part weighs, in served ones, and the candidates that are weighed.

    `expected` requests are lost by each, no more than `kept` by those that keep the promise by themselves; `broken`
    says that the pool in use has not. Where a margin below 5 keeps it, only past losses stand against it: ordinary
    candidates are weighed, after a broken promise those of them that keep it. Other traffic jumps faster than replicas
    start: what keeps the promise with a fifth of the allowance counts alone, since the next jump may be higher
    than all before; else what keeps it at all, and where nothing does, one request too many weighs as much as
    those that allow it (2000). But a jump that came `once`, or in the first hours of a service, is no habit, and a
    promise that the best candidate misses tenfold is not paid for. 15 requests/s for a week are 9 million; 900 of them
    (0.01%) weigh as much as 1.5% of them, or here 20%.
    """
    ordinary = range(len(MARGINS) + len(FLOORS))
    if once or min(expected) > OUT_OF_REACH * kept:
        return BROKEN_WEIGHT, ordinary
    able = [i for i, have in enumerate(expected) if have <= kept]
    if not able or able[0] >= _JUMPS_FROM:
        sure = [i for i in able if expected[i] <= JUMP_SHARE * kept]
        return 1.0 / allowed, sure or able or range(len(CANDIDATES))
    return BROKEN_WEIGHT, [i for i in able if i in ordinary] if broken else ordinary


def worse_than_foreseen(real: Felt, believed: float) -> float:
    """How many times more the real pool lost than the imagined one, 1 to 10; `believed` requests count on both sides.

    120 requests lost where 20 were foreseen, 38 believed: (120 + 38) / (20 + 38) = 2.7.
    """
    return max(1.0, min(MOST_WORSE, (real.felt + believed) / max(1e-9, real.foreseen + believed)))


def usual_margin(startup_s: float) -> float:
    """The margin of a service of which nothing is known yet."""
    return max(LEAST_USUAL, USUAL_MARGIN * math.sqrt(startup_s / USUAL_STARTUP_S))


def _refused(queue: float, rate: float, needs: Needs) -> tuple[float, float]:
    """The queue after a bin in which one stood, and the requests refused in it.

    The gateway lets as many wait as can still be in time: in a rush n of them with n m = 0.9 c (within - m), for c
    slots and a service time of m (`gateway.pace`). 14 slots, 0.8 s, 5 s: 66. The pools count arrivals in bins, and
    their service times do not vary. A queue grows as the variation of both together does (Kingman 1961), so theirs is
    held against a room that is smaller by as much, and by a fifth more: 42.
    """
    room = ROOM_SHARE * rate * max(needs.mean_s, needs.within_s - needs.mean_s)
    gone = max(0.0, queue - SEEN_SHARE * room / (1.0 + needs.cv * needs.cv))
    return queue - gone, gone
