"""The answer of a Prometheus range query for a rate in requests/s as a trace; several series are added up.

Every series of one query has its values at the same instants, but not at all of them: a series that begins late or ends
early belongs to something that came or went, and adds nothing there; a hole within it (a failed scrape, or NaN, a rate
over nothing) was not measured, and is filled by a straight line while other series go on.
Source: https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.base.errors import TraceError
from tidegate.base.wording import counted
from tidegate.sim.trace import LATEST_S, Trace, checked

ASK = "Save what /api/v1/query_range?query=sum(rate(...))&start=&end=&step= gives."
COUNTERS = ("_total", "_count", "_sum", "_bucket")
DEFAULT_STEP_S = 60.0
Series = dict[int, float]  # value by number of the step


def read(name: str, text: str, file: str) -> Trace:
    """The sum of the series, in bins of the query's step.

    Raises:
        TraceError: it is no such answer, or holds no rate that can be used.
    """
    found = _series(file, _answer(file, text))
    measured = [[(at, v) for at, v in one if math.isfinite(v)] for one in found]
    measured = [one for one in measured if one]
    if not measured:
        why = "every value is NaN or infinite" if any(found) else "the query found no series"
        raise TraceError(f"{file}: {why}. Check its labels and its time.")
    step_s = _step_s(found)
    begin = min(one[0][0] for one in measured)
    placed = [_placed(file, one, begin, step_s) for one in measured]
    there = sorted(set().union(*placed))
    filled = sum(_bridge(one, there) for one in placed)
    notes: tuple[str, ...] = ()
    if filled:
        notes = (f"{file}: {counted(filled, 'value')} missing within single series were filled by straight lines.",)
    times = [begin + step * step_s for step in there]
    counts = [math.fsum(one.get(step, 0.0) for one in placed) * step_s for step in there]
    return checked(name, times, counts, step_s, begin, notes=notes, file=file)


def _answer(file: str, text: str) -> Any:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TraceError(
            f"{file}: begins like JSON and is neither the answer of a Prometheus query nor a log of JSON objects with "
            f"a time, one a line ({error}). {ASK}"
        ) from error
    if isinstance(answer, dict) and answer.get("status") == "error":
        raise TraceError(f"{file}: Prometheus refused the query: {answer.get('error')}. Correct it and ask again.")
    return answer


def _series(file: str, answer: Any) -> list[list[tuple[float, float]]]:
    try:
        data = answer["data"]
        if data["resultType"] != "matrix":
            raise TraceError(
                f"{file}: resultType is {data['resultType']!r}. Ask /api/v1/query_range for a rate over time."
            )
        for one in data["result"]:
            _is_rate(file, one.get("metric") or {})
        found = [sorted((float(at), float(value)) for at, value in one["values"]) for one in data["result"]]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        missing = "it has no data.result with values [time, value]"
        raise TraceError(f"{file}: not an answer of a Prometheus range query: {missing}. {ASK}") from error
    wrong = next((at for one in found for at, _ in one if not 0 <= at <= LATEST_S), None)
    if wrong is not None:
        raise TraceError(f"{file}: a value is at second {wrong:g}; expected seconds since 1970, as Prometheus gives.")
    return found


def _is_rate(file: str, labels: Mapping[str, str]) -> None:
    """`rate()` takes the name away; a counter that still has it grows for ever."""
    name = labels.get("__name__", "")
    if name.endswith(COUNTERS):
        raise TraceError(f"{file}: {name} is a counter, not a rate. Ask for sum(rate({name}[1m])).")


def _step_s(of: Sequence[Sequence[tuple[float, float]]]) -> float:
    steps = sorted(b - a for one in of for (a, _), (b, _) in itertools.pairwise(one) if b > a)
    return steps[(len(steps) - 1) // 2] if steps else DEFAULT_STEP_S


def _placed(file: str, one: Sequence[tuple[float, float]], begin: float, step_s: float) -> Series:
    """Values by the nearest step; answers that were put together by hand are not always in step."""
    placed: Series = {}
    for at, value in one:
        step = round((at - begin) / step_s)
        if step in placed:
            raise TraceError(
                f"{file}: a series has two values at second {begin + step * step_s:.12g}. "
                "Give one answer, of one query."
            )
        placed[step] = value
    return placed


def _bridge(one: Series, there: Sequence[int]) -> int:
    """Fill what is missing between the values of a series where others have some; how many that were."""
    known = sorted(one)
    before, filled = 0, 0
    for step in there:
        if step in one or not known[0] < step < known[-1]:
            continue
        while known[before + 1] < step:
            before += 1
        low, high = known[before], known[before + 1]
        one[step] = one[low] + (one[high] - one[low]) * (step - low) / (high - low)
        filled += 1
    return filled
