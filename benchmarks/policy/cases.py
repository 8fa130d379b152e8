"""The traces of the comparison, and how each is set up.

Every trace is scaled so that its measured window keeps 6.0 replicas busy on average. Fast service: two slots a replica,
lognormal 0.8 s with coefficient of variation 0.5, clients give up after 5 s. Slow service (text to image): one slot,
lognormal 28.7 s, 0.73, 300 s. The promise is 99.95% within the patience. The first 30 minutes do not count. Traces of
a week or less are measured whole; of the others seven days are: the last ones, or those with the event that makes the
trace interesting. What lies before the window may be learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tidegate.sim.requests import ServiceTime
from tidegate.sim.trace import Trace
from tidegate.sim.trace_files import read
from tidegate.spec.common import Metadata
from tidegate.spec.resolve import PoolSpec, pools_of
from tidegate.spec.scaling import Scaling
from tidegate.spec.service import MediaService, MediaServiceSpec, Promise, Queue

DAY_S = 86400.0
WINDOW_S = 7 * DAY_S
BUSY_REPLICAS = 6.0
WARM_UP_S = 1800.0
MOST_REPLICAS = 3000


@dataclass(frozen=True, slots=True)
class Service:
    """How long requests take and how long clients wait for them."""

    slots: int
    time: ServiceTime
    patience_s: float


FAST = Service(2, ServiceTime(0.8, 0.5), 5.0)
SLOW = Service(1, ServiceTime(28.7, 0.73), 300.0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A trace of the comparison: its file, its class, what to do to it. `first_day` is where the window begins."""

    name: str
    kind: str
    service: Service = FAST
    smooth_s: float = 0.0
    first_day: int | None = None


ENTRIES = (
    Entry("genai_lora_image", "ai", SLOW, smooth_s=1800.0),
    Entry("genai_qps_1d", "ai"),
    Entry("servegen_m_large", "ai"),
    Entry("servegen_m_mid", "ai"),
    Entry("nasa_jul95", "smooth", smooth_s=900.0, first_day=12),
    Entry("nyc_taxi", "smooth", first_day=124),
    Entry("servegen_mm_image_1d", "smooth"),
    Entry("worldcup98_jun", "smooth"),
    Entry("nab_elb", "burst"),
    Entry("nab_tweets_aapl", "burst", first_day=17),
    Entry("twitter_stream_2021", "burst"),
    Entry("azure_llm_code_1h", "short"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A trace ready to be played: the measured window and what came before it (None when nothing did)."""

    entry: Entry
    window: Trace
    before: Trace | None

    @property
    def epoch(self) -> float:
        return self.window.start or 0.0

    @property
    def service(self) -> Service:
        return self.entry.service

    def spec(self, seed: int = 1) -> PoolSpec:
        """The pool as a user would declare it; every policy and trace gets the same defaults.

        The second in which the bins of a pool begin comes from its name, so each seed but the first has its own.
        """
        service = self.service
        name = "bench" if seed == 1 else f"bench-{seed}"
        spec = MediaServiceSpec(
            concurrency=service.slots,
            promise=Promise(within=service.patience_s, success=0.9995),
            scaling=Scaling(minReplicas=1, maxReplicas=MOST_REPLICAS),
            queue=Queue(maxLengthPerSlot=10_000),
        )
        return pools_of(MediaService(metadata=Metadata(name=name), spec=spec))[0]


def find(folder: Path, name: str) -> Path | None:
    """The file of a trace, packed or not."""
    return next((p for p in (folder / f"{name}.csv", folder / f"{name}.csv.gz") if p.is_file()), None)


def load(folder: Path, entry: Entry) -> Case:
    """Read and set up one trace."""
    path = find(folder, entry.name)
    if path is None:
        raise FileNotFoundError(f"{folder}: no {entry.name}.csv")
    trace = read(str(path))
    if trace.start is None:
        trace = Trace(trace.name, trace.bin_s, trace.rates, 0.0, trace.gaps)
    if entry.smooth_s:
        trace = trace.smoothed(entry.smooth_s)
    if trace.length_s <= WINDOW_S + DAY_S:
        window, before = trace, None
    else:
        first = entry.first_day * DAY_S if entry.first_day is not None else trace.length_s - WINDOW_S
        window, before = trace.between(first, first + WINDOW_S), trace.between(0.0, first)
    factor = BUSY_REPLICAS * entry.service.slots / entry.service.time.mean_s / window.mean_rps
    return Case(entry, window.scaled(factor), before.scaled(factor) if before else None)
