"""The daily and weekly shape of a pool's traffic, and whether it knows better than the trend of the last minutes.

The week is kept as half hours (UTC). From the rate now, the shape says what the rate will be a start-up time later: now
times what it was then over what it was now. Every five minutes that guess and the trend's are written down and compared
with what came. The shape is followed only while its errors are clearly smaller, and only upward: it opens capacity
before a known rise, it does not take away what the last minutes ask for.

At start-up times of a few minutes the trend is hard to beat, so on most services the shape stays silent and says why.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from tidegate.model.scaling import SeasonMemory
from tidegate.policy.tracking import Outlook

SLOT_S = 1800.0
SLOTS = 336
DAY_SLOTS = 48
NOTE_S = 300.0  # how often guesses are written down
NOTES_MAX = 24
FADE_NOTES = 288.0  # comparisons that errors are averaged over: a day
ENOUGH = 72  # comparisons before anything is believed: six hours
BETTER = 0.8  # mean squared error over the trend's, for the shape to be followed
WEEKS_MAX = 4.0
RATIO_MAX = 5.0


class Guess(NamedTuple):
    """What the shape expects a start-up time from now (requests/s), whether it is `trusted`, and why or why not."""

    then: float | None
    trusted: bool
    why: str


def learn(memory: SeasonMemory, at: float, rate: float) -> SeasonMemory:
    """Take in the rate (requests/s) of a bin that ended at `at`."""
    slot = int(at // SLOT_S)
    if memory.slot is not None and slot == memory.slot:
        return replace(memory, total=memory.total + rate, bins=memory.bins + 1)
    shape = memory.shape
    if memory.slot is not None and memory.bins:
        values = list(shape) if shape else [-1.0] * SLOTS
        place, mean = memory.slot % SLOTS, memory.total / memory.bins
        weeks = min(WEEKS_MAX, 1.0 + memory.slots_seen / SLOTS)
        values[place] = mean if values[place] < 0 else values[place] + (mean - values[place]) / weeks
        shape = tuple(values)
    seen = memory.slots_seen + (1 if memory.slot is not None else 0)
    return replace(memory, slot=slot, total=rate, bins=1, shape=shape, slots_seen=seen)


def usual(memory: SeasonMemory, at: float) -> float | None:
    """The usual rate at an instant: between the half hours on either side, None where either was never seen."""
    if not memory.shape:
        return None
    place = at / SLOT_S - 0.5
    left = math.floor(place)
    low, high = _slot(memory.shape, left), _slot(memory.shape, left + 1)
    if low is None or high is None:
        return None
    return low + (high - low) * (place - left)


def _slot(shape: tuple[float, ...], index: int) -> float | None:
    """The half hour of the week, or before a week was seen the mean of the same half hour of the days that were."""
    value = shape[index % SLOTS]
    if value >= 0:
        return value
    same = [v for v in shape[index % DAY_SLOTS :: DAY_SLOTS] if v >= 0]
    return sum(same) / len(same) if same else None


def guess(memory: SeasonMemory, at: float, now: float, horizon_s: float) -> Guess:
    """What the shape makes of the rate now."""
    here, there = usual(memory, at), usual(memory, at + horizon_s)
    if here is None or there is None or memory.slots_seen < DAY_SLOTS:
        return Guess(None, False, "less than a day of traffic seen")
    then = now * min(RATIO_MAX, max(there, 1e-9) / max(here, 1e-9))
    if memory.compared < ENOUGH:
        return Guess(then, False, f"{memory.compared} of {ENOUGH} forecasts compared with what came")
    shape, trend = math.sqrt(memory.shape_error), math.sqrt(memory.trend_error)
    trusted = memory.shape_error < BETTER * memory.trend_error
    return Guess(then, trusted, f"its error is {shape:.1%}, the trend's {trend:.1%}")


def compare(memory: SeasonMemory, at: float, ahead: Outlook, expected: float | None, horizon_s: float) -> SeasonMemory:
    """Settle the guesses that are due, and write down new ones."""
    notes = memory.notes
    while notes and notes[0][0] <= at:
        _, by_shape, by_trend = notes[0]
        notes = notes[1:]
        memory = replace(
            memory,
            shape_error=_blend(memory.shape_error, _error(by_shape, ahead.now), memory.compared),
            trend_error=_blend(memory.trend_error, _error(by_trend, ahead.now), memory.compared),
            compared=memory.compared + 1,
        )
    spacing = max(NOTE_S, horizon_s / NOTES_MAX)
    if expected is not None and (not notes or notes[-1][0] + spacing <= at + horizon_s):
        notes = (*notes, (at + horizon_s, expected, ahead.then))
    return replace(memory, notes=notes) if notes is not memory.notes else memory


def _error(expected: float, came: float) -> float:
    """Squared error as a share of what came (at least a request in ten seconds, so that idle hours do not count)."""
    gap = (expected - came) / max(came, 0.1)
    return min(4.0, gap * gap)


def _blend(old: float, new: float, compared: int) -> float:
    return old + (new - old) / min(FADE_NOTES, compared + 1.0)
