"""How many replicas a pool wants: demand, promise, schedule, forecast, bounds, stability; each step says why.

Order of business: take in what was measured; expect the load at the end of the start-up time; add the margin that has
kept the promise; be at least what the schedule says; stay within the bounds; hold still where the windows or the rate
policies say so. A pool that was not measured keeps what it has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from tidegate.base.units import format_seconds
from tidegate.model.observed import PoolLoad
from tidegate.model.reasons import Reason
from tidegate.model.scaling import DemandMemory, ScaleInput, ScaleMemory, ScaleResult
from tidegate.policy import demand, forecast, impatience, price, recent_errors, risk, schedule, staffing, tracking
from tidegate.policy.stability import Steadied, steady
from tidegate.spec.resolve import PoolSpec
from tidegate.spec.scaling import Target

PREVIEW = "preview"  # the `bound` of the reason that tells what a forecast in preview would have wanted
STALE_S = 60.0  # a load older than this says nothing about now
HPA_TOLERANCE = 0.1  # https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
HPA_DOWN_WINDOW_S = 300.0
DOWN_WINDOW_S = 10.0  # a surprise of a second or two is looked at for a bin before what it ordered is taken back
EVIDENCE_S = 60.0  # nothing is given back before so much was measured: a restart without memory, an adopted service
EVIDENCE_UNKNOWN_S = 600.0  # the same while the service time is not known
DEAR_MARGIN = 4.0  # from this margin on the user is told what the promise costs, and what lesser ones would
QUEUE_SHARE = 0.1  # of the room that the promise leaves: a longer queue is worked off, for beyond the room is refusal


class _Proposal(NamedTuple):
    """Replicas that one part asks for, and why."""

    wanted: int
    reasons: tuple[Reason, ...]
    idle: bool = False
    needs: risk.Needs | None = None
    busy: float = 0.0  # slots, of a proposal by promise


class _More(NamedTuple):
    """What a proposal by promise takes in besides the outlook: slots for the queue, a surprise, what was foretold, and
    how many there are."""

    waiting: float
    sudden: bool
    said: tuple[Reason, ...]
    current: int  # replicas wanted up to now


def scale(inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
    """Decide for one pool; called at any interval, with the memory that the last call returned."""
    there = inp.ready + len(inp.starting_ages_s)
    current = there if memory.wanted is None else memory.wanted
    load = inp.load
    busy = load is not None and load.arrivals + load.in_flight + load.queued > 0
    memory = _remember(inp, memory, busy=busy)
    if load is None or inp.at - load.at > STALE_S:
        return _finish(inp, memory, current, _unmeasured(inp, current), measured=False)
    if memory.busy_at is None or (busy and memory.busy_at != inp.at):
        memory = replace(memory, busy_at=inp.at)
    idle_at = (memory.busy_at or 0.0) + inp.spec.scaling.scaleToZeroAfterSeconds
    if not busy and (current == 0 or inp.at >= idle_at):
        why = f"nothing asked for since {format_seconds(inp.at - (memory.busy_at or inp.at))}"
        proposal = _Proposal(0, (Reason("demand", why, 0),), idle=True)
    else:
        proposal = _demanded(inp, load, memory.demand, memory, current)
    result = _finish(inp, memory, current, proposal, measured=True)
    if busy or result.wanted <= inp.spec.scaling.minReplicas:
        return result
    wake = min(t for t in (result.look_again_at, idle_at) if t is not None)
    return replace(result, look_again_at=wake if wake > inp.at else result.look_again_at)


def learn(
    spec: PoolSpec, loads: Iterable[PoolLoad], startup_s: float, memory: ScaleMemory | None = None
) -> ScaleMemory:
    """What `scale` would know had it watched `loads` (oldest first): from a journal, or a trace before its replay.

    Nothing is decided, so `wanted` stays unset.
    """
    known = memory or ScaleMemory()
    for load in loads:
        known = _remember(ScaleInput(load.at, spec, load, 0, (), startup_s), known)
    return known


# -- what is known -----------------------------------------------------------------------------------------------------


def _remember(inp: ScaleInput, memory: ScaleMemory, *, busy: bool = False) -> ScaleMemory:
    """Take in a load that is new; the same load shown twice changes nothing. `busy`: the pool has work by it."""
    load = inp.load
    if memory.risk.lost and len(memory.risk.lost) != risk.POOLS:  # kept by a version with other candidates
        memory = replace(memory, risk=risk.first_risk())
    if load is None or (memory.load_at is not None and load.at <= memory.load_at):
        return memory
    counted, bins = demand.take_in(memory.demand, load, inp.spec.key)
    chances = memory.risk if memory.risk.lost else risk.first_risk()
    season, errors = memory.season, memory.errors
    lived = _has_its_way(inp, memory)
    if lived and (load.refused or load.waited_in_vain):
        chances = replace(chances, felt=chances.felt + load.refused + load.waited_in_vain)
    gap = memory.load_at is None or load.at - load.interval_s > memory.load_at + STALE_S
    measured_s = (0.0 if gap else memory.measured_s) + load.interval_s
    if bins:
        needs = _needs(inp, demand.service(counted, inp.spec.promise.within))
        unit = 1.0 / needs.mean_s
        for done in bins:
            counted = demand.learn(counted, done, unit)
            if done.rate is None or not counted.bank:
                continue
            far_s = _horizon_s(inp.startup_s, needs)
            ahead = tracking.outlook(counted.bank, far_s, unit)
            errors = recent_errors.advance(errors, done.end, ahead, far_s + demand.BIN_S, unit)
            if inp.spec.scaling.forecast != "off":
                expected = forecast.guess(season, done.end, ahead.now, far_s)
                season = forecast.compare(season, done.end, ahead, expected.then, far_s)
                season = forecast.learn(season, done.end, done.rate)
                ahead = _raised(inp, ahead, expected)
            ahead = recent_errors.widened(errors, ahead, unit)
            chances = risk.advance(
                chances,
                done.rate * done.seconds,
                done.end,
                done.seconds,
                ahead,
                _with_spare(inp, needs, ahead),
                lived=lived,
                least=max(1, _least(inp.spec, schedule.bounds(inp.spec.scaling.schedules, inp.at, inp.startup_s))),
            )
    return ScaleMemory(
        wanted=memory.wanted,
        busy_at=inp.at if busy and inp.at - load.at <= STALE_S else memory.busy_at,
        load_at=load.at,
        measured_s=measured_s,
        demand=counted,
        errors=errors,
        season=season,
        risk=chances,
        stability=memory.stability,
    )


def _horizon_s(startup_s: float, needs: risk.Needs) -> float:
    """How far ahead an order looks: the start-up time, less what a request may wait for what was ordered.

    Whole bins of it, by the room that the promise leaves: a service of 28.7 s that is promised within 300 s has
    0.9 x (300 - 2 x 28.7) = 218 s, so with a start-up time of 300 s the load in 90 s counts.
    """
    room_s = risk.ROOM_SHARE * max(0.0, needs.within_s - 2.0 * needs.mean_s)
    return max(0.0, startup_s - room_s // demand.BIN_S * demand.BIN_S)


def _has_its_way(inp: ScaleInput, memory: ScaleMemory) -> bool:
    """Whether losses are the margin's: what was ordered is there or on its way, as many serve as in the imagined pool
    with the same margins (at a first start, or after a crash, fewer do), and no bound kept the order small."""
    there, limits = inp.ready + len(inp.starting_ages_s), inp.spec.scaling
    if memory.wanted is None or memory.wanted > there:
        return False
    if memory.risk.ready and inp.ready < memory.risk.ready[-1]:
        return False
    ceiling = schedule.bounds(limits.schedules, inp.at, inp.startup_s).ceiling
    return memory.wanted < (limits.maxReplicas if ceiling is None else min(ceiling, limits.maxReplicas))


def _raised(inp: ScaleInput, ahead: tracking.Outlook, expected: forecast.Guess) -> tracking.Outlook:
    """What to expect when the shape of the week is trusted and foretells more; the trend's own outlook otherwise."""
    trusted = expected.trusted and inp.spec.scaling.forecast == "auto"
    if not trusted or expected.then is None or expected.then <= ahead.then:
        return ahead
    return ahead._replace(then=expected.then)


def _needs(inp: ScaleInput, service: demand.Service) -> risk.Needs:
    spec, promise = inp.spec, inp.spec.promise
    return risk.Needs(service.mean_s, service.cv, spec.concurrency, 0.0, promise.within, promise.success, inp.startup_s)


def _with_spare(inp: ScaleInput, needs: risk.Needs, ahead: tracking.Outlook) -> risk.Needs:
    busy = max(ahead.now, ahead.then) * needs.mean_s
    promise = inp.spec.promise
    spare = staffing.margin(busy, needs.mean_s, needs.cv, promise.within, promise.success)
    return risk.Needs(needs.mean_s, needs.cv, needs.concurrency, spare, needs.within_s, needs.success, needs.startup_s)


# -- what is asked for -------------------------------------------------------------------------------------------------


def _unmeasured(inp: ScaleInput, current: int) -> _Proposal:
    age = "nothing was measured"
    if inp.load is not None:
        age = f"the last measurement is {format_seconds(inp.at - inp.load.at)} old"
    return _Proposal(current, (Reason("demand", f"{age}: stay at {current}", current),))


def _demanded(inp: ScaleInput, load: PoolLoad, counted: DemandMemory, memory: ScaleMemory, current: int) -> _Proposal:
    """Replicas for the load expected when an order given now is ready, by target or by promise."""
    service = demand.service(counted, inp.spec.promise.within)
    needs, known = _needs(inp, service), service.known
    unit = 1.0 / needs.mean_s
    waiting = _backlog_slots(inp, load, needs)
    sudden = demand.surprised(counted, unit, waiting=waiting > 0.0)
    bank = (sudden or counted).bank
    since_s = max(0.0, inp.at - counted.bin_at) if counted.bin_at is not None else 0.0
    far_s = _horizon_s(inp.startup_s, needs)
    ahead = tracking.outlook(bank, far_s + since_s, unit) if bank else tracking.Outlook(0.0, 0.0, 0.0)
    floor = 0.0 if known else float(load.in_flight + load.queued)
    target = inp.spec.scaling.target
    if target is not None:
        return _targeted(inp.spec, target, ahead, needs, max(waiting, floor), current)
    if not known:
        wanted = max(1, math.ceil(floor / needs.concurrency))
        text = (
            f"{floor:.0f} in flight or queued, service time not known yet: {wanted} with {needs.concurrency} at a time"
        )
        return _Proposal(wanted, (Reason("demand", text, wanted),))
    said: tuple[Reason, ...] = ()
    higher = ahead
    if inp.spec.scaling.forecast != "off":
        expected = forecast.guess(memory.season, inp.at, ahead.now, far_s)
        if expected.trusted and expected.then is not None:
            higher = ahead._replace(then=max(ahead.then, expected.then))
        ahead, said = _raised(inp, ahead, expected), _foretold(inp, expected, needs, far_s)
    ahead = recent_errors.widened(memory.errors, ahead, unit)
    more = _More(waiting, sudden is not None, said, current)
    proposal = _promised(inp, ahead, _with_spare(inp, needs, ahead), memory, more)
    if higher.then <= ahead.then:
        return proposal
    higher = ahead._replace(then=higher.then)
    would = _promised(inp, higher, _with_spare(inp, needs, higher), memory, more)
    return proposal._replace(reasons=(*proposal.reasons, *_previewed(inp, proposal.wanted, would.wanted)))


def _previewed(inp: ScaleInput, wanted: int, would: int) -> tuple[Reason, ...]:
    """What a forecast that is only looked at would have done; recorded by whoever keeps the books."""
    limits = inp.spec.scaling
    would = max(limits.minReplicas, min(would, limits.maxReplicas))
    if would <= wanted:
        return ()
    return (Reason("forecast", f"preview: would want {would} instead of {wanted}", would, PREVIEW),)


def _foretold(inp: ScaleInput, expected: forecast.Guess, needs: risk.Needs, far_s: float) -> tuple[Reason, ...]:
    if expected.then is None:
        return (Reason("forecast", f"not used: {expected.why}"),)
    busy = expected.then * needs.mean_s
    mode = "followed upward" if expected.trusted else "not used"
    if expected.trusted and inp.spec.scaling.forecast == "preview":
        mode = "preview, would be followed upward"
    text = f"the usual week says {expected.then:.3g} requests/s in {format_seconds(far_s)}; {mode}: {expected.why}"
    return (Reason("forecast", text, math.ceil(busy / needs.concurrency)),)


def _backlog_slots(inp: ScaleInput, load: PoolLoad, needs: risk.Needs) -> float:
    """Slots to work off what waits longer than it may, over the start-up time or the promise, whichever is longer."""
    ordinary = QUEUE_SHARE * inp.ready * needs.concurrency * max(0.0, needs.within_s - 2.0 * needs.mean_s)
    excess = load.queued * needs.mean_s - ordinary
    return max(0.0, excess) / max(inp.startup_s, needs.within_s)


def _promised(
    inp: ScaleInput, ahead: tracking.Outlook, needs: risk.Needs, memory: ScaleMemory, more: _More
) -> _Proposal:
    margin, share = risk.CANDIDATES[memory.risk.chosen]
    busy = max(ahead.now, ahead.then) * needs.mean_s
    slots = risk.slots(ahead, margin, needs) + more.waiting
    floor = share * memory.risk.peak
    wanted = max(1, math.ceil(max(slots, floor) / needs.concurrency - 1e-9))
    rate = max(ahead.now, ahead.then)
    far_s = _horizon_s(inp.startup_s, needs)
    when = f"in {format_seconds(far_s)}" if far_s and ahead.then >= ahead.now else "now"
    text = f"{rate:.3g} requests/s {when} x {needs.mean_s:.3g} s = {busy:.1f} busy slots"
    if more.sudden:
        text = f"more arrives than expected; {text}"
    if more.waiting > 0:
        text += f", {more.waiting:.1f} more to work off the queue"
    reasons = [Reason("demand", text, math.ceil(busy / needs.concurrency))]
    promise = inp.spec.promise
    text = (
        f"{_percent(promise.success)} within {format_seconds(promise.within)} needs {slots:.1f} slots = {wanted} "
        f"replicas of {needs.concurrency} (margin {margin:g} x {ahead.spread * needs.mean_s:.1f}, "
        f"{needs.spare:.1f} for the queue)"
    )
    if floor > slots:
        text += f"; kept at {share:.0%} of the recent peak"
    reasons.append(Reason("promise", text, wanted))
    if wanted < more.current:
        wider = max(risk.slots(ahead, margin + risk.GIVE_BACK, needs) + more.waiting, floor)
        kept = min(more.current, math.ceil(wider / needs.concurrency - 1e-9))
        if kept > wanted:
            text = f"{wanted} are enough, but not with a margin of {margin + risk.GIVE_BACK:g}: {kept} are kept"
            reasons.append(Reason("promise", text, kept))
            wanted = kept
    if share > 0 or margin >= DEAR_MARGIN:
        told = price.sentence(price.prices(memory.risk, needs))
        reasons.append(Reason("price", f"this service jumps faster than it starts: {told or 'too early to say more'}"))
    too_long = staffing.too_long(needs.mean_s, needs.cv, promise.within)
    if too_long >= 1.0 - promise.success:
        reasons.append(Reason("promise", _impossible(inp.spec, needs, 1.0 - too_long), wanted, "promise.within"))
    return _Proposal(wanted, (*reasons, *more.said), needs=needs, busy=busy)


def _impossible(spec: PoolSpec, needs: risk.Needs, reachable: float) -> str:
    return (
        f"no number of replicas keeps {_percent(spec.promise.success)} within {format_seconds(spec.promise.within)}: "
        f"service alone takes {format_seconds(needs.mean_s)} on average, {reachable:.1%} of requests are done in that "
        "time; promise more time or less success, or give a replica more resources"
    )


def _percent(share: float) -> str:
    return f"{share * 100:.6g}%"


def _targeted(
    spec: PoolSpec, target: Target, ahead: tracking.Outlook, needs: risk.Needs, waiting: float, current: int
) -> _Proposal:
    """The HPA's rule: as many as bring the measure to its target, none for a change within the tolerance."""
    if target.rps is not None:
        exact = ahead.now / target.rps
        text = f"{ahead.now:.3g} requests/s at {target.rps:g} a replica"
    else:
        share = target.inFlight or 1.0
        slots = max(ahead.now * needs.mean_s, waiting)
        exact = slots / (share * spec.concurrency)
        text = f"{slots:.1f} busy slots at {share:.0%} of {spec.concurrency} a replica"
    rules = spec.scaling.behavior
    side = rules.scaleUp if exact > current else rules.scaleDown
    tolerance = HPA_TOLERANCE if side.tolerance is None else side.tolerance
    if current and abs(exact / current - 1.0) <= tolerance:
        text = f"{text} = {exact:.2f}, within {tolerance:.0%} of {current}"
        return _Proposal(current, (Reason("target", text, current),))
    wanted = math.ceil(exact - 1e-9)
    return _Proposal(wanted, (Reason("target", f"{text} = {exact:.2f}, so {wanted}", wanted),))


# -- what is allowed ---------------------------------------------------------------------------------------------------


def _finish(inp: ScaleInput, memory: ScaleMemory, current: int, proposal: _Proposal, *, measured: bool) -> ScaleResult:
    """Schedule, bounds, stability; the last word is the bounds'."""
    limits = inp.spec.scaling
    windows = schedule.bounds(limits.schedules, inp.at, inp.startup_s)
    low = _least(inp.spec, windows)
    high = max(low, limits.maxReplicas if windows.ceiling is None else windows.ceiling)
    reasons = proposal.reasons
    bounded = max(low, min(proposal.wanted, high))
    if windows.floor is not None and windows.floor > max(proposal.wanted, limits.minReplicas):
        text = f"{', '.join(windows.labels)}: at least {windows.floor}"
        reasons = (*reasons, Reason("schedule", text, windows.floor, "minReplicas"))
    elif bounded != proposal.wanted:
        bound = "minReplicas" if bounded > proposal.wanted else "maxReplicas"
        text = f"{proposal.wanted} wanted, {bound} is {bounded}{_lost_below(proposal, bounded)}"
        reasons = (*reasons, Reason("bounds", text, bounded, bound))
    if measured and bounded < current and not (proposal.idle or _evident(inp, memory)):
        bounded = min(current, high)
        text = f"only {format_seconds(memory.measured_s)} measured yet, too little to give back: stay at {bounded}"
        reasons = (*reasons, Reason("evidence", text, bounded))
    held = _held(inp, memory, current, bounded) if measured else Steadied(bounded, memory.stability)
    wanted = max(low, min(held.wanted, high))
    wakes = [t for t in (held.look_again_at, windows.look_again_at) if t is not None and t > inp.at]
    kept = memory.decided(wanted, held.memory)
    return ScaleResult(wanted, kept, (*reasons, *held.reasons), min(wakes, default=None))


def _least(spec: PoolSpec, windows: schedule.Bounds) -> int:
    return max(spec.scaling.minReplicas, windows.floor or 0)


def _lost_below(proposal: _Proposal, bounded: int) -> str:
    """What it means that a pool may not be as large as its promise needs."""
    needs = proposal.needs
    if needs is None or bounded >= proposal.wanted:
        return ""
    lost = impatience.gives_up(bounded * needs.concurrency, proposal.busy, needs.mean_s, needs.within_s)
    return f": about {lost:.1%} of the requests will wait in vain" if lost > 1.0 - needs.success else ""


def _evident(inp: ScaleInput, memory: ScaleMemory) -> bool:
    """Whether enough was measured to give replicas back."""
    known = demand.service(memory.demand, inp.spec.promise.within).known
    return memory.measured_s >= (EVIDENCE_S if known else EVIDENCE_UNKNOWN_S)


def _held(inp: ScaleInput, memory: ScaleMemory, current: int, bounded: int) -> Steadied:
    limits = inp.spec.scaling
    down_s = HPA_DOWN_WINDOW_S if limits.target else DOWN_WINDOW_S
    return steady(
        memory.stability, limits.behavior, at=inp.at, current=current, proposed=bounded, down_s=down_s, up_s=0.0
    )
