"""A request trace: how many requests came in each bin of time, and what can be done with it.

Times are seconds from the trace's first bin; `start` is the epoch second of that instant where it is known (schedules
and forecasts need the time of day). Made by `trace_files`, `access_logs` and `shapes`; turned into requests by
`requests.Requests` over `points()`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tidegate.base.errors import TraceError
from tidegate.base.units import format_seconds

LINEAR_FROM_S = 60.0  # bins at least this long are joined linearly between their centres, shorter ones are flat
LARGEST_RPS = 1_000_000.0
LARGEST_GAP_SHARE = 0.5
MOST_BINS = 10_000_000  # 3 years of bins of ten seconds
LATEST_S = 4.2e9  # the year 2103; later instants are milliseconds, or wrong


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests per second in consecutive bins of `bin_s` seconds.

    `gaps` are the stretches (from, to), in seconds, for which the source has no rows; their rates are the straight
    line between the neighbours. `notes` are sentences on how the source was understood, where that is not plain.
    """

    name: str
    bin_s: float
    rates: tuple[float, ...]
    start: float | None = None
    gaps: tuple[tuple[float, float], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def length_s(self) -> float:
        return self.bin_s * len(self.rates)

    @property
    def mean_rps(self) -> float:
        return math.fsum(self.rates) / len(self.rates)

    @property
    def peak_rps(self) -> float:
        return max(self.rates)

    def points(self) -> list[tuple[float, float]]:
        """The rate as points (second, requests/s) joined by lines."""
        if self.bin_s >= LINEAR_FROM_S:
            centres = [(self.bin_s * (i + 0.5), rate) for i, rate in enumerate(self.rates)]
            return [(0.0, self.rates[0]), *centres, (self.length_s, self.rates[-1])]
        return [(self.bin_s * (i + side), rate) for i, rate in enumerate(self.rates) for side in (0, 1)]

    def between(self, first_s: float, last_s: float) -> Trace:
        """The part from `first_s` to `last_s` (whole bins), with its time starting at 0."""
        low, high = max(0, round(first_s / self.bin_s)), min(len(self.rates), round(last_s / self.bin_s))
        if high <= low:
            raise TraceError(
                f"{self.name}: nothing lies between {format_seconds(first_s)} and {format_seconds(last_s)}; "
                f"the trace is {format_seconds(self.length_s)} long."
            )
        begin = low * self.bin_s
        gaps = tuple((max(0.0, a - begin), b - begin) for a, b in self.gaps if b > begin and a < high * self.bin_s)
        start = None if self.start is None else self.start + begin
        return replace(self, rates=self.rates[low:high], start=start, gaps=gaps)

    def scaled(self, factor: float) -> Trace:
        """The same shape at `factor` times the rate."""
        if not 0 < factor < math.inf:
            raise TraceError(f"{self.name}: cannot be scaled by {factor}; give a finite number above 0.")
        if self.peak_rps * factor > LARGEST_RPS:
            raise TraceError(
                f"{self.name}: scaled by {factor:g} it has {self.peak_rps * factor:.3g} requests/s at its peak, "
                f"at most {LARGEST_RPS:,.0f} can be used. Give a smaller scale."
            )
        return replace(self, rates=tuple(rate * factor for rate in self.rates))

    def scaled_to_busy(self, replicas: float, slots: int, mean_service_s: float) -> Trace:
        """Scaled so that the mean load keeps `replicas` replicas of `slots` slots busy."""
        return self.scaled(replicas * slots / mean_service_s / self.mean_rps)

    def smoothed(self, over_s: float) -> Trace:
        """A centred moving average over `over_s` seconds: what is left of a trace with few requests a bin."""
        half = int(over_s / self.bin_s / 2)
        if half < 1:
            return self
        sums = [0.0]
        for rate in self.rates:
            sums.append(sums[-1] + rate)
        last = len(self.rates)
        return replace(
            self,
            rates=tuple(
                (sums[min(last, i + half + 1)] - sums[max(0, i - half)]) / (min(last, i + half + 1) - max(0, i - half))
                for i in range(last)
            ),
        )

    def rebinned(self, bin_s: float) -> Trace:
        """Averaged to bins `bin_s` long (a multiple of the present ones); a last incomplete one is dropped."""
        group = round(bin_s / self.bin_s)
        if group <= 1:
            return self
        whole = len(self.rates) // group
        rates = tuple(math.fsum(self.rates[i * group : (i + 1) * group]) / group for i in range(whole))
        return replace(self, bin_s=self.bin_s * group, rates=rates) if rates else self


def checked(
    name: str,
    times: Sequence[float],
    counts: Sequence[float],
    bin_s: float | None,
    start: float | None,
    *,
    lines: Sequence[int] = (),
    notes: tuple[str, ...] = (),
    file: str = "",
) -> Trace:
    """A trace from the rows of a source; `counts` are requests per bin, `times` the starts of the bins, in order.

    `file` (default: `name`) and `lines`, the line each row stands in, are for messages.

    Raises:
        TraceError: nothing in it, out of order, negative, not finite, mostly gaps, or beyond reason.
    """
    file = file or name

    def row(index: int) -> str:
        return f"line {lines[index]}" if lines else f"row {index + 1}"

    if not times:
        raise TraceError(f"{file}: the trace is empty. Give a file with at least one row `seconds,requests`.")
    for index, at in enumerate(times):
        if not math.isfinite(at):
            raise TraceError(f"{file}: {row(index)} is at second {at}; a time is a finite number.")
    for index, (before, after) in enumerate(itertools.pairwise(times)):
        if not after > before:
            raise TraceError(
                f"{file}: {row(index + 1)} is at second {after:.12g}, {row(index)} at {before:.12g}. "
                "Sort the rows by time and give every bin once."
            )
    for index, count in enumerate(counts):
        if not math.isfinite(count) or count < 0:
            raise TraceError(f"{file}: {row(index)} has {count:g} requests; a count is a finite number >= 0.")
    steps = sorted(b - a for a, b in itertools.pairwise(times))
    if bin_s is None:
        bin_s = steps[(len(steps) - 1) // 2] if steps else 60.0
    if not 0 < bin_s < math.inf:
        raise TraceError(f"{file}: a bin of {bin_s:g} seconds; bin_seconds must be above 0.")
    if steps and steps[0] < bin_s * 0.5:
        raise TraceError(
            f"{file}: bins of {bin_s:g} s, but two rows are {steps[0]:g} s apart. "
            "Give every bin once, or correct `# bin_seconds=`."
        )
    _spans(file, times, bin_s, start)
    rates, gaps = _filled(times, [count / bin_s for count in counts], bin_s)
    missing = math.fsum(b - a for a, b in gaps)
    if missing > LARGEST_GAP_SHARE * bin_s * len(rates):
        raise TraceError(
            f"{file}: {missing / (bin_s * len(rates)):.0%} of its time has no rows. "
            "Give the bins without requests as rows with 0, or a part of the trace without gaps."
        )
    if not any(rates):
        raise TraceError(f"{file}: no bin has a request. There is nothing to simulate; give another trace.")
    if max(rates) > LARGEST_RPS:
        raise TraceError(
            f"{file}: {max(rates):.3g} requests/s at its peak is more than {LARGEST_RPS:,.0f}. "
            "Check the unit of the counts (requests per bin) and of the times (seconds)."
        )
    return Trace(name, bin_s, tuple(rates), start, tuple(gaps), notes)


def _spans(name: str, times: Sequence[float], bin_s: float, start: float | None) -> None:
    """Times far apart are a stray row or a wrong unit, and too much to fill."""
    if start is not None and start > LATEST_S:
        raise TraceError(
            f"{name}: it starts at second {start:.0f} since 1970. Are its times milliseconds? Give seconds."
        )
    bins = (times[-1] - times[0]) / bin_s
    if bins > MOST_BINS:
        raise TraceError(
            f"{name}: from its first row to its last there are {bins:.3g} bins of {bin_s:g} s, at most {MOST_BINS} can "
            "be used. Take out stray rows, or give longer bins."
        )


def _filled(
    times: Sequence[float], rates: Sequence[float], bin_s: float
) -> tuple[list[float], list[tuple[float, float]]]:
    """One rate per bin, straight lines over the gaps, and where the gaps are."""
    filled, gaps = [rates[0]], []
    for index in range(1, len(times)):
        steps = max(1, round((times[index] - times[index - 1]) / bin_s))
        if steps > 1:
            first = len(filled) * bin_s
            gaps.append((first, first + (steps - 1) * bin_s))
            before, after = rates[index - 1], rates[index]
            filled += [before + (after - before) * i / steps for i in range(1, steps)]
        filled.append(rates[index])
    return filled, gaps
