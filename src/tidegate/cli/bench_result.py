"""What `tidegate bench` found, as numbers, a table and JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import typer
from rich.table import Table

from tidegate.base.units import format_seconds
from tidegate.cli.output import clean, console, percent, warn

LATE_S = 0.1  # a request that goes out this much later than due is not the load that was asked for
TOLD_LATE = 0.01
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(slots=True)
class PoolTally:
    """What came back from one pool (by the gateway's `x-tidegate-pool`; "" where none is told).

    `codes` counts answers by status and, where the gateway refused, its code; errors of the connection by their kind.
    `answered_s` are the times of the answers below 400, `replicas` who gave them. A status from 400 to 499 is the
    request's own fault and no failure of the service. `within_s` and `promised` are the pool's promise. `ready` are
    the fewest and the most ready replicas that were seen, `ready_now` the last.
    """

    within_s: float = math.inf
    promised: float = 0.0
    ready: tuple[int, int] | None = None
    ready_now: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    answered_s: list[float] = field(default_factory=list)
    faulty: int = 0
    lost: int = 0
    replicas: set[str] = field(default_factory=set)

    def count(self, code: str) -> PoolTally:
        """One more answer of this code."""
        self.codes[code] += 1
        return self

    def see(self, ready: int) -> None:
        """So many replicas are ready now."""
        least, most = self.ready or (ready, ready)
        self.ready = min(least, ready), max(most, ready)
        self.ready_now = ready

    @property
    def requests(self) -> int:
        return self.codes.total()

    @property
    def success(self) -> float | None:
        """The share answered within the promise of those that could be; None when there was none."""
        asked = len(self.answered_s) + self.lost
        return sum(s <= self.within_s for s in self.answered_s) / asked if asked else None

    @property
    def kept(self) -> bool:
        return self.success is None or self.success >= self.promised

    def quantile_s(self, q: float) -> float | None:
        """Nearest rank; None without an answer."""
        ordered = sorted(self.answered_s)
        return ordered[max(0, math.ceil(q * len(ordered)) - 1)] if ordered else None


@dataclass(slots=True)
class Result:
    """A whole run. `late_s` is how much later than due requests went out, `unsent` were not, since too many were
    unanswered."""

    service: str
    seconds: float = 0.0
    pools: dict[str, PoolTally] = field(default_factory=dict)
    late_s: list[float] = field(default_factory=list)
    unsent: int = 0

    @property
    def sent(self) -> int:
        return len(self.late_s)

    @property
    def late_share(self) -> float:
        """Requests that went out more than `LATE_S` late, of all."""
        return sum(s > LATE_S for s in self.late_s) / self.sent if self.sent else 0.0

    @property
    def kept(self) -> bool:
        """Every promise was kept, all that was due was sent, and not every request was a wrong one."""
        tried = any(p.success is not None for p in self.pools.values())
        return tried and not self.unsent and all(p.kept for p in self.pools.values())


def show(result: Result, *, as_json: bool) -> None:
    """Warnings, and the run as a table or as JSON."""
    warn(_warnings(result))
    if as_json:
        typer.echo(json.dumps(_numbers(result)))
        return
    table = Table(box=None, title_justify="left", title=_headline(result), padding=(0, 1, 0, 0))
    for head in ("pool", "requests", "in time", "promise", "p50", "p95", "p99", "replicas", "ready", "answers"):
        words = head in ("pool", "promise", "answers")  # the promise is folded where the window is narrow, not the rest
        table.add_column(head, justify="left" if words else "right", no_wrap=head != "promise")
    for name, pool in result.pools.items():
        table.add_row(
            clean(name.removeprefix(f"{result.service}/")) or "(none told)",
            f"{pool.requests:,}",
            "-" if pool.success is None else percent(pool.success),
            _verdict(pool),
            *("-" if (s := pool.quantile_s(q)) is None else format_seconds(s) for q in QUANTILES),
            str(len(pool.replicas)),
            "-" if pool.ready is None else " to ".join(str(n) for n in dict.fromkeys(pool.ready)),
            clean(", ".join(f"{code}: {count:,}" for code, count in pool.codes.most_common())),
        )
    console().print(table)


def _headline(result: Result) -> str:
    rate = result.sent / result.seconds if result.seconds else 0.0
    return f"{clean(result.service)}: {result.sent:,} requests in {format_seconds(result.seconds)}, {rate:.1f} a second"


def _verdict(pool: PoolTally) -> str:
    if pool.success is None or not pool.within_s < math.inf:
        return ""
    word = "[green]kept[/]" if pool.kept else "[red]broken[/]"
    return f"{word}: {percent(pool.promised)} within {pool.within_s:g} s"


def _warnings(result: Result) -> list[str]:
    said = []
    if result.late_share > TOLD_LATE:
        said.append(
            f"{result.late_share:.0%} of the requests went out more than {1000 * LATE_S:.0f} ms late: this client or "
            "its machine was too slow, so the load was not the one asked for. Use a lower --scale, or another machine."
        )
    if result.unsent:
        said.append(f"{result.unsent:,} requests were not sent, since too many were unanswered. Use a lower --scale.")
    for pool in result.pools.values():
        codes = ", ".join(code for code in pool.codes if code.startswith("4"))
        if pool.faulty:
            said.append(
                f"{pool.faulty:,} requests were refused as wrong ({clean(codes)}); they count neither as kept nor as "
                "broken. Look at --path, --body, --part and --header."
            )
    if result.sent and all(p.success is None for p in result.pools.values()):
        said.append("No request was one that the service could keep its promise to: nothing was measured.")
    return said


def _numbers(result: Result) -> dict[str, Any]:
    return {
        "service": result.service,
        "seconds": result.seconds,
        "sent": result.sent,
        "unsent": result.unsent,
        "late_ratio": result.late_share,
        "kept": result.kept,
        "pools": [{"pool": name} | _pool_numbers(pool) for name, pool in result.pools.items()],
    }


def _pool_numbers(pool: PoolTally) -> dict[str, Any]:
    return {
        "requests": pool.requests,
        "in_time_ratio": pool.success,
        "within_s": pool.within_s if pool.within_s < math.inf else None,
        "promised_ratio": pool.promised,
        "kept": pool.kept,
        "answer_s": {f"p{q * 100:g}": pool.quantile_s(q) for q in QUANTILES},
        "codes": dict(pool.codes),
        "replicas": sorted(pool.replicas),
        "ready": pool.ready,
    }
