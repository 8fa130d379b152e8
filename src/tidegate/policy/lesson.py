"""What a pool takes over from traffic that it did not see itself: a trace of another system, or of a time before.

Taken over is what stays true: the shape of the week with how well it foretells, and which margins would have kept the
promise. What is true only now (the rate, the queue, the replicas wanted) stays the pool's own.
"""

from __future__ import annotations

from dataclasses import replace

from tidegate.model.scaling import RiskMemory, ScaleMemory, SeasonMemory


def taught(own: ScaleMemory, lesson: ScaleMemory) -> ScaleMemory:
    """`own` with what `lesson` (made by `scaling.learn`) knows better.

    Half hours that the pool has seen itself keep what it saw; margins come from whichever has seen more traffic.
    """
    season, risk = _season(own.season, lesson.season), own.risk
    if lesson.risk.lost and lesson.risk.seconds > own.risk.seconds:
        risk = _risk(own.risk, lesson.risk)
    return replace(own, season=season, risk=risk)


def _season(own: SeasonMemory, lesson: SeasonMemory) -> SeasonMemory:
    if not lesson.shape:
        return own
    scale = _scale(own.shape, lesson.shape)
    known = own.shape or (-1.0,) * len(lesson.shape)
    shape = tuple(
        mine if mine >= 0 else theirs * scale if theirs >= 0 else -1.0
        for mine, theirs in zip(known, lesson.shape, strict=True)
    )
    better = lesson if lesson.compared > own.compared else own
    return replace(
        own,
        shape=shape,
        slots_seen=max(own.slots_seen, lesson.slots_seen),
        compared=better.compared,
        shape_error=better.shape_error,
        trend_error=better.trend_error,
    )


def _scale(own: tuple[float, ...], lesson: tuple[float, ...]) -> float:
    """Brings the lesson to the pool's own level: by the half hours that both have seen, else as it is."""
    both = [(mine, theirs) for mine, theirs in zip(own, lesson, strict=False) if mine >= 0 and theirs >= 0]
    theirs = sum(t for _, t in both)
    return sum(m for m, _ in both) / theirs if theirs > 0 and any(m > 0 for m, _ in both) else 1.0


def _risk(own: RiskMemory, lesson: RiskMemory) -> RiskMemory:
    """The lesson's losses and costs; its imagined pools start anew at the size the pool's own ones have."""
    count = len(lesson.lost)
    ready = own.ready if len(own.ready) == count else lesson.ready
    return replace(lesson, peak=own.peak or lesson.peak, backlog=(0.0,) * count, ready=ready, pending=((),) * count)
