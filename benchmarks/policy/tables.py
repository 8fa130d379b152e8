"""The rows of a comparison as tables: cost over the bound, utilisation, success; geometric means per class."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

KINDS = ("ai", "smooth", "burst", "short")
PROMISE = 0.9995

Row = dict[str, Any]


def text(rows: list[Row], bound: str) -> str:
    """For the terminal."""
    return "\n\n".join(_plain(title, head, body) for title, head, body in _tables(rows, bound))


def markdown(rows: list[Row], bound: str) -> str:
    """For a page."""
    parts = []
    for title, head, body in _tables(rows, bound):
        lines = [f"### {title}", "", _pipe(head), _pipe(["---"] * len(head)), *map(_pipe, body)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _tables(rows: list[Row], bound: str) -> Iterable[tuple[str, list[str], list[list[str]]]]:
    played = [r for r in rows if r["policy"] != bound]
    for startup, queue in sorted({(r["startup_s"], r["queue"]) for r in played}):
        some = [r for r in rows if r["startup_s"] == startup and (r["queue"] == queue or r["policy"] == bound)]
        policies = [bound, *sorted({r["policy"] for r in some} - {bound}, key=lambda p: (p != "tidegate", p))]
        cell = {(r["trace"], r["policy"]): r for r in some}
        names = sorted({(KINDS.index(r["kind"]), r["trace"]) for r in some})
        head = ["class", "trace", f"{bound} hours", *(p for p in policies if p != bound)]
        body = []
        for kind, trace in names:
            base = cell.get((trace, bound))
            cells = [_cell(cell.get((trace, p)), base) for p in policies if p != bound]
            body.append([KINDS[kind], trace, _bound(base), *cells])
        for kinds in (("ai", "smooth"), ("burst",)):
            means = [_mean(cell, names, kinds, p, bound) for p in policies if p != bound]
            if any(means):
                body.append(["", f"geometric mean, {' and '.join(kinds)}", "", *means])
        what = f"cost over {bound}, share of slots busy, success (x: promise broken)"
        if any("unsure" in r for r in some):
            what = f"{what[:-1]}; +-: 95% interval over seeds; ?: it holds the promise)"
        title = f"Start-up {startup:g} s, {queue} queue: {what}"
        yield title, head, body


def _bound(base: Row | None) -> str:
    if base is None:
        return "-"
    return f"{base['replica_hours']:.0f}, {base['utilization']:.0%}, {base['success']:.3%}"


def _cell(row: Row | None, base: Row | None) -> str:
    if row is None or base is None:
        return "-"
    mark = "" if row["success"] >= PROMISE else " x"
    unsure = row.get("unsure")
    if unsure is not None:
        mark = f" +- {unsure:.3%}{mark}{' ?' if abs(row['success'] - PROMISE) < unsure else ''}"
    return f"{row['replica_hours'] / base['replica_hours']:.2f}, {row['utilization']:.0%}, {row['success']:.3%}{mark}"


def _mean(
    cell: dict[tuple[str, str], Row], names: list[tuple[int, str]], kinds: tuple[str, ...], policy: str, bound: str
) -> str:
    """Geometric mean of cost over the bound, and on how many of the traces the promise was kept."""
    pairs = [
        (cell[trace, policy], cell[trace, bound])
        for kind, trace in names
        if KINDS[kind] in kinds and (trace, policy) in cell and (trace, bound) in cell
    ]
    if not pairs:
        return ""
    logs = [math.log(r["replica_hours"] / b["replica_hours"]) for r, b in pairs]
    kept = sum(r["success"] >= PROMISE for r, _ in pairs)
    return f"{math.exp(sum(logs) / len(logs)):.3f}, kept {kept} of {len(pairs)}"


def _plain(title: str, head: list[str], body: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in (head, *body)]
    return "\n".join([title, *lines])


def _pipe(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
