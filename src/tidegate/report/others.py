"""Other policies beside what was measured: their sums over pools, and what a preview would have added."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tidegate.model.journal import Entry, Kind
from tidegate.report.durations import Durations
from tidegate.report.values import HOUR_S, Measured, Other, Preview, Starts, Window


def starts(of: Durations) -> Starts:
    """Mean and variation of the start-up times that were measured."""
    if not of.ended_s:
        return Starts(None)
    mean = statistics.fmean(of.ended_s)
    return Starts(mean, statistics.pstdev(of.ended_s) / mean if mean else 0.0)


def preview(entries: Sequence[Entry], window: Window) -> Preview:
    """The area between what a forecast in preview would have wanted and what was wanted."""
    told = sorted((e for e in entries if e.kind == Kind.PREVIEW), key=lambda e: e.at)
    extra = [max(0, int(e.data.get("would", 0)) - int(e.data.get("wanted", 0))) for e in told]
    ends = [*(e.at for e in told[1:]), window.until][: len(told)]
    seconds = math.fsum(
        more * max(0.0, min(end, window.until) - max(e.at, window.since))
        for e, more, end in zip(told, extra, ends, strict=True)
    )
    begun = sum(
        more > 0 and (i == 0 or extra[i - 1] == 0) and window.since <= told[i].at < window.until
        for i, more in enumerate(extra)
    )
    return Preview(seconds / HOUR_S, begun)


def together(pools: Sequence[Measured]) -> tuple[Other, ...]:
    """Each policy over all pools, where it is known for each of them."""
    if not pools or not all(p.others for p in pools):
        return ()
    return tuple(_sum([p.others[i] for p in pools], pools) for i in range(len(pools[0].others)))


def _sum(of: Sequence[Other], pools: Sequence[Measured]) -> Other:
    slot_h = math.fsum(o.slot_h for o in of)
    busy_h = math.fsum((o.utilisation or 0.0) * o.slot_h for o in of)
    costs = [o.cost for o in of]
    shares = [(o.success, p.traffic.ended) for o, p in zip(of, pools, strict=True) if p.traffic.ended]
    ended = sum(count for _, count in shares)
    success = None
    if ended and all(share is not None for share, _ in shares):
        success = math.fsum((share or 0.0) * count for share, count in shares) / ended
    return Other(
        name=of[0].name,
        replica_h=math.fsum(o.replica_h for o in of),
        slot_h=slot_h,
        cost=None if None in costs else math.fsum(c or 0.0 for c in costs),
        utilisation=busy_h / slot_h if slot_h else None,
        success=success,
    )


def previews(pools: Sequence[Measured]) -> Preview:
    """All pools' previews added up."""
    return Preview(math.fsum(p.preview.replica_h for p in pools), sum(p.preview.times for p in pools))
