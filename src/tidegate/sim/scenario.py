"""What is simulated: manifests, load, service times, start-up times, faults, and one seed for all that is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.base.units import format_seconds
from tidegate.base.wording import counted
from tidegate.sim.faults import Fault
from tidegate.sim.requests import ServiceTime
from tidegate.sim.single import Scale
from tidegate.sim.trace import Trace
from tidegate.spec.resolve import PoolKey, Specs

FINE_S, MIDDLE_S, COARSE_S = 1.0, 5.0, 15.0
BINS = 1500
REACT_S = 0.5  # a replica's change is seen this much later: the live loop's tick


@dataclass(frozen=True, slots=True)
class Startup:
    """Start-up times: lognormal with this mean and coefficient of variation; exact when that is 0."""

    mean_s: float = 30.0
    cv: float = 0.2


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run.

    `loads` and `work` are per pool. `scale` is None for Tidegate's own policy, else one policy per pool. Nothing
    before `measure_from_s` counts. `tick_s` is the longest time between two decisions; events bring them forward, to
    `react_s` after they happen. What is drawn is in bins of `drawn_s`. A `cold` system has never run: minReplicas stand
    there and nothing was measured. `repeat` is the command that repeats the run.
    """

    specs: Specs
    loads: Mapping[PoolKey, Trace]
    work: Mapping[PoolKey, ServiceTime]
    startup: Startup = Startup()
    faults: tuple[Fault, ...] = ()
    patience_s: float | None = None
    scale: Mapping[PoolKey, Scale] | None = None
    seed: int = 1
    tick_s: float | None = None
    measure_from_s: float = 0.0
    tries: int = 2
    repeat: str = "tidegate simulate"
    compile: bool | None = None
    startups: Mapping[PoolKey, Startup] = field(default_factory=dict)
    react_s: float = REACT_S
    cold: bool = False
    drawn_s: float | None = None

    @property
    def length_s(self) -> float:
        return max(trace.length_s for trace in self.loads.values())

    @property
    def epoch(self) -> float:
        """The wall clock at second 0: the traces' own, or a Monday at midnight UTC."""
        starts = [t.start for t in self.loads.values() if t.start is not None]
        return min(starts) if starts else 1_704_067_200.0

    @property
    def longest_tick_s(self) -> float:
        """Long runs decide less often when nothing happens: a week in seconds rather than minutes."""
        if self.tick_s is not None:
            return self.tick_s
        if self.length_s <= 2 * 3600:
            return FINE_S
        return MIDDLE_S if self.length_s <= 2 * 86400 else COARSE_S

    @property
    def bin_s(self) -> float:
        """Of what is drawn: few enough bins, none without a decision; runs that are compared have the same."""
        return self.drawn_s or max(self.longest_tick_s, self.length_s / BINS)

    def startup_of(self, key: PoolKey) -> Startup:
        return self.startups.get(key, self.startup)


def warnings(scenario: Scenario) -> tuple[str, ...]:
    """Sentences about promises and bounds that no policy can keep."""
    found = []
    for spec in scenario.specs.pools:
        if spec.key not in scenario.loads:
            continue
        work, trace = scenario.work[spec.key], scenario.loads[spec.key]
        late = share_longer(work, spec.promise.within)
        if late > 1 - spec.promise.success:
            found.append(
                f"{spec.key}: {_percent(late)} of the requests take longer than {spec.promise.within:g} s by "
                f"themselves, so no number of replicas can keep {_percent(spec.promise.success)}. Raise "
                f"promise.within above {quantile_s(work, spec.promise.success):.3g} s, lower promise.success, or "
                "make the service faster."
            )
        needed = math.ceil(trace.peak_rps * work.mean_s / spec.concurrency)
        if needed > spec.scaling.maxReplicas:
            found.append(
                f"{spec.key}: the peak keeps {needed} replicas busy, maxReplicas is {spec.scaling.maxReplicas}. "
                "Raise maxReplicas, or expect refusals at the peak."
            )
    for key, trace in scenario.loads.items():
        if trace.gaps:
            length = math.fsum(b - a for a, b in trace.gaps)
            found.append(
                f"{key}: {counted(len(trace.gaps), 'gap')} of {format_seconds(length)} in all in {trace.name} "
                "filled by straight lines."
            )
    return tuple(found)


def _percent(share: float) -> str:
    """With as many digits as tell it from nothing and from everything, at least two behind the point."""
    rest = min(share, 1 - share)
    digits = 2 if rest <= 0 else max(2, min(9, 1 - math.floor(math.log10(rest * 100))))
    whole, _, part = f"{share * 100:.{digits}f}".partition(".")
    return f"{whole}.{part[:2]}{part[2:].rstrip('0')}%"


def share_longer(work: ServiceTime, seconds: float) -> float:
    """The share of requests whose service time exceeds `seconds`."""
    if work.kind == "exponential":
        return math.exp(-seconds / work.mean_s)
    if work.kind == "empirical":
        return sum(t > seconds for t in work.table) / len(work.table)
    if work.kind == "fixed" or work.cv == 0:
        return float(work.mean_s > seconds)
    sigma = math.sqrt(math.log(1 + work.cv**2))
    z = (math.log(seconds / work.mean_s) + sigma * sigma / 2) / sigma
    return 0.5 * math.erfc(z / math.sqrt(2))


def quantile_s(work: ServiceTime, share: float) -> float:
    """The service time that `share` of the requests do not exceed, to a thousandth."""
    low, high = 0.0, work.mean_s
    while share_longer(work, high) > 1 - share and high < 1e9 * work.mean_s:
        high *= 2
    while high - low > 0.001 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if share_longer(work, middle) > 1 - share else (low, middle)
    return high
