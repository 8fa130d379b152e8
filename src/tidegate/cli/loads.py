"""The load that `simulate` and `bench` are given: times as people write them, and which part of a trace is meant."""

from __future__ import annotations

from tidegate.base.errors import UnitError
from tidegate.base.units import parse_seconds
from tidegate.sim.trace import Trace


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
        first = seconds(begin, "--from") if begin else 0.0
        trace = trace.between(first, seconds(until, "--until") if until else trace.length_s)
    return trace.scaled(scale) if scale != 1 else trace


def is_number(text: str) -> bool:
    """Whether it is a number without a unit."""
    try:
        float(text)
    except ValueError:
        return False
    return True
