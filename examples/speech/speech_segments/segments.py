"""From probabilities to segments. Pure: no sound, no network, only numbers and times.

Speech begins where the probability reaches the threshold and ends where it has stayed below a lower one for
`min_silence`: between the two a speaker may breathe. What is shorter than `min_speech` is no speech; each segment then
grows by `pad` on both sides, and those that meet become one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_LOWER = 0.15  # how far below the threshold the probability must fall before speech can end


@dataclass(frozen=True, slots=True)
class Rules:
    """When speech is speech; `threshold` is a probability, the rest are seconds."""

    threshold: float = 0.5
    min_speech: float = 0.25
    min_silence: float = 0.3
    pad: float = 0.06


@dataclass(frozen=True, slots=True)
class Segment:
    """Speech from `start` to `end`, in seconds from the beginning."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def find(chances: Iterable[float], window: float, length: float, rules: Rules) -> tuple[Segment, ...]:
    """The segments of a recording of `length` seconds whose windows of `window` seconds have these probabilities."""
    raw = (s for s in _raw(chances, window, length, rules) if s.seconds >= rules.min_speech)
    found: list[Segment] = []
    for segment in raw:
        start, end = max(0.0, segment.start - rules.pad), min(length, segment.end + rules.pad)
        if found and start <= found[-1].end:
            found[-1] = Segment(found[-1].start, end)
        else:
            found.append(Segment(start, end))
    return tuple(found)


def _raw(chances: Iterable[float], window: float, length: float, rules: Rules) -> Iterable[Segment]:
    start: float | None = None
    quiet: float | None = None  # since when it has been below the lower threshold
    for number, chance in enumerate(chances):
        at = number * window
        if chance >= rules.threshold:
            start, quiet = (at if start is None else start), None
        elif start is not None and chance < rules.threshold - _LOWER:
            quiet = at if quiet is None else quiet
            if at + window - quiet >= rules.min_silence:
                yield Segment(start, quiet)
                start = quiet = None
    if start is not None:
        yield Segment(start, length if quiet is None else quiet)
