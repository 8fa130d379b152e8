"""Made-up traces, written `NAME:key=value,...`, e.g. `sine:mean=20,swing=0.6,period=1d,length=3d`.

| shape | what it is | keys beside `mean` (requests/s, 10) and `length` |
|---|---|---|
| constant | the mean all the time | |
| sine | a wave around the mean | swing (0.6 of the mean), period (1d) |
| step | from the mean to `factor` times it at half of the length | factor (3) |
| ramp | a line from the mean to `factor` times it | factor (3) |
| flash | a crowd: `factor` times the mean after `rise`, for `hold`, then away | factor (8), rise (30s), hold (10m) |
| weekly | days with a morning and an evening peak, quieter weekends | swing (0.7) |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from tidegate.base.errors import TraceError, UnitError
from tidegate.base.units import parse_seconds
from tidegate.sim.trace import Trace, checked

DAY_S = 86400.0
MOST_BINS = 5_000_000
# 2024-01-01T00:00:00Z, a Monday: shapes have a time of day, so that schedules and forecasts mean something.
START = 1_704_067_200.0

Rate = Callable[[float], float]


def _constant(v: Mapping[str, float]) -> Rate:
    return lambda t: v["mean"]


def _sine(v: Mapping[str, float]) -> Rate:
    return lambda t: v["mean"] * (1 - v["swing"] * math.cos(2 * math.pi * t / v["period"]))


def _step(v: Mapping[str, float]) -> Rate:
    return lambda t: v["mean"] * (v["factor"] if t >= v["length"] / 2 else 1.0)


def _ramp(v: Mapping[str, float]) -> Rate:
    return lambda t: v["mean"] * (1 + (v["factor"] - 1) * t / v["length"])


def _flash(v: Mapping[str, float]) -> Rate:
    begin, rise, hold = v["length"] / 3, v["rise"], v["hold"]

    def rate(t: float) -> float:
        inside = min((t - begin) / rise, (begin + 2 * rise + hold - t) / rise)
        return v["mean"] * (1 + (v["factor"] - 1) * max(0.0, min(1.0, inside)))

    return rate


def _weekly(v: Mapping[str, float]) -> Rate:
    def rate(t: float) -> float:
        hour, day = t % DAY_S / 3600, int(t / DAY_S) % 7
        wave = 0.6 * math.cos((hour - 20) / 24 * 2 * math.pi) + 0.4 * math.cos((hour - 11) / 12 * 2 * math.pi)
        return max(0.0, v["mean"] * (1 + v["swing"] * wave) * (0.75 if day >= 5 else 1.1))

    return rate


_SHAPES: dict[str, tuple[Callable[[Mapping[str, float]], Rate], dict[str, float]]] = {
    "constant": (_constant, {"length": 3600.0}),
    "sine": (_sine, {"swing": 0.6, "period": DAY_S, "length": DAY_S}),
    "step": (_step, {"factor": 3.0, "length": 7200.0}),
    "ramp": (_ramp, {"factor": 3.0, "length": 3600.0}),
    "flash": (_flash, {"factor": 8.0, "rise": 30.0, "hold": 600.0, "length": 7200.0}),
    "weekly": (_weekly, {"swing": 0.7, "length": 14 * DAY_S}),
}
NAMES = tuple(_SHAPES)
_DURATIONS = ("length", "period", "rise", "hold")


def is_shape(what: str) -> bool:
    """Whether `what` names a shape rather than a file."""
    return what.split(":", 1)[0] in _SHAPES


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def shape(what: str) -> Trace:
    """The trace of a shape.

    Raises:
        TraceError: an unknown key or a value that makes no sense.
    """
    name, _, given = what.partition(":")
    make, defaults = _SHAPES[name]
    values = {"mean": 10.0, **defaults}
    for pair in filter(None, given.split(",")):
        key, _, value = pair.partition("=")
        if key not in values:
            raise TraceError(f"{what}: no key {key!r}; {name} takes {', '.join(values)}.")
        try:
            number = _number(value)
            if key in _DURATIONS:
                values[key] = parse_seconds(value if number is None else number)
            elif number is None:
                raise UnitError(f"got {value!r}, expected a number")
            else:
                values[key] = number
        except UnitError as error:
            raise TraceError(f"{what}: {key}: {error}.") from error
        if not 0 <= values[key] < math.inf or (key in _DURATIONS and values[key] == 0):
            raise TraceError(f"{what}: {key} is {value}, expected a finite number above 0.")
    bin_s = 1.0 if values["length"] <= 4 * 3600 else 60.0
    count = int(values["length"] / bin_s)
    if not 1 <= count <= MOST_BINS:
        raise TraceError(f"{what}: a length of {values['length']:g} s; between 1 s and {MOST_BINS * 60 / DAY_S:.0f} d.")
    rate = make(values)
    counts = [max(0.0, rate((i + 0.5) * bin_s)) * bin_s for i in range(count)]
    return checked(what, [i * bin_s for i in range(count)], counts, bin_s, START)
