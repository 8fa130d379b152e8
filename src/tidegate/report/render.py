"""A report as CSV, JSON and HTML texts."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from html import escape
from typing import Any

from pydantic import TypeAdapter

from tidegate.report.page import PAGE
from tidegate.report.table import Row, columns, headline, rows, title, verdict
from tidegate.report.values import Measured, Report

_report = TypeAdapter(Report)


def to_json(report: Report) -> str:
    """Everything, in the units of the field names; what is not known is null."""
    return _report.dump_json(report, indent=2).decode()


def to_csv(report: Report) -> str:
    """One line per pool and one for all; the columns are those of docs/report.md, empty where nothing is known."""
    lines = _Lines()
    table = [_flat(measured) for measured in (*report.pools, report.total)]
    names = list(dict.fromkeys(name for line in table for name in line))
    writer = csv.DictWriter(lines, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return "".join(lines.written)


def to_html(report: Report) -> str:
    """A page of its own that needs nothing else."""
    sections = "".join(_section(measured) for measured in _shown(report))
    return PAGE.format(headline=escape(headline(report)), period=escape(period(report)), sections=sections)


def period(report: Report) -> str:
    """The window in words, UTC."""
    ends = (report.window.since, report.window.until)
    since, until = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") for at in ends)
    return f"{since} to {until} UTC"


def _shown(report: Report) -> tuple[Measured, ...]:
    return report.pools if len(report.pools) == 1 else (report.total, *report.pools)


def _flat(of: Measured) -> dict[str, Any]:
    traffic, static = of.traffic, of.static
    line: dict[str, Any] = {"service": of.service or "all", "pool": of.pool}
    line |= {n: getattr(of, n) for n in ("promised", "within_s", "cost", "unpriced_h", "replica_h", "mean_replicas")}
    line |= {n: getattr(of, n) for n in ("utilisation", "utilisation_ready")}
    line |= {"success": traffic.success, "requests": traffic.arrivals}
    line |= {n: getattr(traffic, n) for n in ("finished", "in_time", "failed", "refused", "gave_up")}
    for name in ("scale_out", "start_up", "upgrade"):
        durations = getattr(of, name)
        line |= {f"{name}_{part}": getattr(durations, part) for part in ("count", "p50_s", "p95_s", "open")}
    parts = ("replicas", "replica_h", "cost", "utilisation", "success")
    line |= {f"static_{part}": getattr(static, part, None) for part in parts}
    line |= {"preview_replica_h": of.preview.replica_h, "preview_times": of.preview.times}
    for other in of.others:
        line |= {f"{other.name}_{part}": getattr(other, part) for part in parts[1:]}
    return line


class _Lines:
    """What `csv` writes to."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> None:
        self.written.append(text)


def _section(of: Measured) -> str:
    word = verdict(of)
    badge = f'<span class="{"bad" if word == "promise broken" else "good"}">{escape(word)}</span>' if word else ""
    heads = "".join(f"<th scope=col>{escape(head)}" for head in columns(of))
    body = "".join(
        f"<tr><th scope=row>{escape(row.name)}" + "".join(f"<td>{escape(cell)}" for cell in _cells(row, of))
        for row in rows(of)
    )
    return (
        f"<section><h2>{escape(title(of))} {badge}</h2><table><thead><tr><td>{heads}</thead>"
        f"<tbody>{body}</tbody></table></section>\n"
    )


def _cells(row: Row, of: Measured) -> tuple[str, ...]:
    return (row.measured, row.static, *(row.others or ("",) * len(of.others)))
