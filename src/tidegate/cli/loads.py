"""The load that `simulate` and `bench` are given: times as people write them, and which part of a trace is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from tidegate.base.errors import TraceError, UnitError
from tidegate.base.units import format_seconds, parse_seconds
from tidegate.sim.trace import Trace

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def seconds(text: str, option: str = "") -> float:
    """A duration; a bare number is seconds.

    Raises:
        UnitError: it is none; the sentence names the option, where one is given.
    """
    try:
        return parse_seconds(float(text) if is_number(text) else text)
    except UnitError as error:
        raise UnitError(f"{option}: {error}" if option else str(error)) from None


def cut(trace: Trace, begin: str | None, until: str | None, scale: float) -> Trace:
    """What `--from`, `--until` and `--scale` leave of a trace.

    Raises:
        UnitError: a time cannot be read.
        TraceError: nothing is left, or the scale is no finite number above 0.
    """
    if begin is not None or until is not None:
        first = _second(trace, begin, "--from") if begin else 0.0
        trace = trace.between(first, _second(trace, until, "--until") if until else trace.length_s)
    return trace.scaled(scale) if scale != 1 else trace


def _second(trace: Trace, text: str, option: str) -> float:
    """A time after the beginning of the trace, or a date and time (UTC unless it says otherwise)."""
    if not _DATE.match(text):
        return seconds(text, option)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UnitError(f'{option}: got "{text}", expected a duration such as "2h" or 2026-10-01T18:00') from None
    if trace.start is None:
        raise TraceError(
            f"{option} {text}: the start of {trace.name} is not known. Give a time after its beginning such as 2h, or "
            "add a line `# start=2026-10-01T00:00:00Z` to it."
        )
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - trace.start


def aligned(of: Mapping[str, Trace]) -> tuple[dict[str, Trace], tuple[str, ...]]:
    """Traces by service on one clock: the time that all of those with a known start cover, and a sentence on it.

    Those without a start begin with the others, and so do all when there is no time that all cover.
    """
    dated = {name: trace for name, trace in of.items() if trace.start is not None}
    starts = {name: trace.start or 0.0 for name, trace in dated.items()}
    if len(set(starts.values())) < 2:
        return dict(of), ()
    begin, end = max(starts.values()), min(starts[name] + trace.length_s for name, trace in dated.items())
    if end - begin < max(trace.bin_s for trace in dated.values()):
        told = ", ".join(f"{name} at {_moment(at)}" for name, at in starts.items())
        note = f"the traces begin at times that do not overlap ({told}): each is played from its own beginning."
        return dict(of), (note,)
    common = {
        name: replace(trace.between(begin - starts[name], end - starts[name]), start=begin)
        for name, trace in dated.items()
    }
    note = (
        f"the traces begin at different times: all are played from {_moment(begin)} to {_moment(end)} "
        f"({format_seconds(end - begin)}), which each of them covers."
    )
    return {**of, **common}, (note,)


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def is_number(text: str) -> bool:
    """Whether it is a number without a unit."""
    try:
        float(text)
    except ValueError:
        return False
    return True
