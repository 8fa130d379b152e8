"""The load that was measured here, from the journal: what `simulate --trace journal` plays against other manifests."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tidegate.base.units import format_seconds
from tidegate.cli.report import NothingRecorded, open_journal
from tidegate.model.journal import Entry, Kind
from tidegate.report.loads import intervals, rate_points, traffic
from tidegate.sim.rates import mean_rates
from tidegate.sim.requests import ServiceTime
from tidegate.sim.trace import Trace
from tidegate.spec.resolve import PoolKey

JOURNAL = "journal"
BIN_S = 10.0
MOST_BINS = 100_000
UNSEEN_SHARE = 0.01  # of the time without a measurement that is told


@dataclass(frozen=True, slots=True)
class Past:
    """What was asked of one pool, and how long its requests took."""

    trace: Trace
    work: ServiceTime


def is_journal(traces: Iterable[str]) -> bool:
    """Whether the measured load is meant; a file of that name is a file."""
    return tuple(traces) == (JOURNAL,) and not Path(JOURNAL).exists()


def measured(keys: Iterable[PoolKey], state: Path) -> dict[PoolKey, Past]:
    """What the journal has of these pools, all on one clock.

    Raises:
        NothingRecorded: nothing was asked of any of them.
    """
    known = set(keys)
    found: dict[PoolKey, list[Entry]] = {}
    with open_journal(state) as journal:
        for entry in journal.scan(kind=Kind.LOAD):
            key = PoolKey(entry.service, entry.pool)
            if key in known:
                found.setdefault(key, []).append(entry)
    of = {key: intervals(entries, -math.inf, math.inf) for key, entries in found.items()}
    sums = {key: traffic(one) for key, one in of.items()}
    asked = [key for key in of if sums[key].finished]
    if not asked:
        raise NothingRecorded("the journal holds no traffic of these services. Give --trace FILE, or another --state.")
    since = min(of[key][0].at - of[key][0].interval_s for key in asked)
    length_s = max(of[key][-1].at for key in asked) - since
    bin_s = max(BIN_S, length_s / MOST_BINS)
    past = {}
    for key in asked:
        rates = mean_rates(rate_points(of[key], since), bin_s, length_s)
        unseen_s = length_s - sums[key].measured_s
        told = f"{format_seconds(unseen_s)} of it was not measured and is played as without requests."
        notes = (told,) if unseen_s > UNSEEN_SHARE * length_s else ()
        trace = Trace(JOURNAL, bin_s, tuple(rates), since, notes=notes)
        past[key] = Past(trace, ServiceTime(sums[key].service_s_mean or 0.0, sums[key].service_cv))
    return past
