"""How far the forecasts of the last hour were off, at the very distance that matters: the start-up time.

The filters of `tracking` say how unsure they are, from what they assume of traffic. Traffic that has just jumped tends
to jump again, and one that was calm stays calm; so every forecast is written down, compared with what came when it
falls due, and the mean square of the errors is added to the filters' own. It fades over an hour; what was not watched
of that hour counts as without error, so that one step of a young service is no habit. In these units the margins that
kept the promise on recorded traffic lie closer together (0 to 2 at a start-up time of 120 s, against 0 to 7 in units of
the filters' spread alone), which is why a new service can begin with a modest one.

Errors are kept as shares of the root of the level, as counting noise is, so that errors of a quiet night say something
of the day and the other way round.

Related: exponentially weighted volatility, Longerstaey and Spencer, RiskMetrics Technical Document (1996), 5.2.
"""

from __future__ import annotations

import math

from tidegate.model.scaling import ErrorMemory
from tidegate.policy.tracking import Outlook

FADE_S = 3600.0
POWER = 0.5
NOTES_MAX = 24  # forecasts that are written down at a time
SPACING_S = 10.0
IDLE = 0.3  # of the rate that keeps one slot busy: errors below it count as errors at it
LARGEST = 3.0  # a rise to more than four times the forecast counts as one to four times


def advance(memory: ErrorMemory, at: float, ahead: Outlook, horizon_s: float, unit: float) -> ErrorMemory:
    """Settle the forecasts that are due at `at`, and write down that of now for `horizon_s` later.

    `unit` is the rate that keeps one slot busy, requests/s.
    """
    notes, square = memory.notes, memory.square
    spacing = max(SPACING_S, horizon_s / NOTES_MAX)
    settled = 0
    for due, expected in notes:
        if due > at + 1e-6:
            break
        settled += 1
        ref = max(expected, IDLE * unit)
        error = max(-LARGEST, min(LARGEST, (ahead.now - expected) / ref)) * ref ** (1.0 - POWER)
        keep = math.exp(-spacing / FADE_S)
        square = keep * square + (1.0 - keep) * error * error
    notes = notes[settled:]
    if not notes or notes[-1][0] + spacing <= at + horizon_s + 1e-6:
        notes = (*notes, (at + horizon_s, ahead.then))
    return ErrorMemory(notes, square)


def widened(memory: ErrorMemory, ahead: Outlook, unit: float) -> Outlook:
    """`ahead` with the errors of late in its spread.

    15 requests/s expected, filters unsure by 0.9, forecasts of late off by 1.2 at that level: the spread is 1.5.
    """
    if memory.square <= 0.0:
        return ahead
    late = math.sqrt(memory.square) * max(ahead.now, IDLE * unit) ** POWER
    return Outlook(ahead.now, ahead.then, math.hypot(ahead.spread, late))
