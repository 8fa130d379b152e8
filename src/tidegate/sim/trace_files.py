"""Traces from files: CSV `seconds,requests`, Prometheus range queries, access logs, or a named shape.

CSV: comment lines start with `#`; `# bin_seconds=60` and `# start=2024-05-01T00:00:00Z` are understood in them.
The first row may be a header; times are seconds from the first bin, or epoch seconds. `.gz` is unpacked.

Prometheus: the JSON answer of `/api/v1/query_range` for a rate in requests/s; several series are added up.
Source: https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import re
from datetime import UTC, datetime
from pathlib import Path

from tidegate.base.errors import TraceError
from tidegate.sim import access_logs, shapes
from tidegate.sim.trace import Trace, checked

EPOCH_FROM_S = 1e8  # times above this (March 1973) are epoch seconds
LARGEST_FILE = 2 * 2**30
_BIN = re.compile(r"bin_seconds\s*=\s*([0-9.]+)")
_START = re.compile(r"start\s*=\s*(\d{4}-\S+)")


def read(what: str) -> Trace:
    """The trace that `what` names: a path, or a shape such as `sine:mean=20,period=1d` (see `shapes`).

    Raises:
        TraceError: it cannot be read or used; the message says why and what to do.
    """
    if shapes.is_shape(what):
        return shapes.shape(what)
    path = Path(what)
    text = _text(path)
    name = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    first = text.lstrip()[:1]
    if first == "{" and '"resultType"' in text[:4000]:
        return _prometheus(name, text)
    if access_logs.looks_like(text):
        return access_logs.read(name, text)
    return _csv(name, text)


def _text(path: Path) -> str:
    if not path.is_file():
        known = ", ".join(shapes.NAMES)
        raise TraceError(f"{path}: no such file, and no shape ({known}). Give the path of a trace or a shape.")
    if path.stat().st_size > LARGEST_FILE:
        raise TraceError(f"{path}: {path.stat().st_size / 2**30:.1f} GiB. Count it into bins first (a CSV of seconds).")
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise TraceError(f"{path}: cannot be read as text ({error}). Give a CSV, JSON or log file.") from error


def _csv(name: str, text: str) -> Trace:
    times: list[float] = []
    counts: list[float] = []
    bin_s = start = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            if found := _BIN.search(line):
                bin_s = float(found[1])
            if found := _START.search(line):
                start = _instant(name, found[1])
            continue
        if not line.strip():
            continue
        row = next(csv.reader([line]))
        try:
            time, count = float(row[0]), float(row[1])
        except (ValueError, IndexError):
            if not times:
                continue  # the header
            raise TraceError(f"{name}: line {number} is {line[:60]!r}, expected `seconds,requests`.") from None
        times.append(time)
        counts.append(count)
    if times and times[0] >= EPOCH_FROM_S and start is None:
        start = times[0]
    return checked(name, times, counts, bin_s, start)


def _instant(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TraceError(f"{name}: start={text} is no time; write it as 2024-05-01T00:00:00Z.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _prometheus(name: str, text: str) -> Trace:
    try:
        data = json.loads(text)["data"]
        series = data["result"]
        if data["resultType"] != "matrix":
            raise TraceError(
                f"{name}: resultType is {data['resultType']!r}. Ask /api/v1/query_range for a rate over time."
            )
        added: dict[float, float] = {}
        for one in series:
            for at, value in one["values"]:
                added[float(at)] = added.get(float(at), 0.0) + float(value)
    except (ValueError, KeyError, TypeError) as error:
        raise TraceError(f"{name}: not an answer of a Prometheus range query ({error!r}).") from error
    times = sorted(added)
    steps = sorted(b - a for a, b in itertools.pairwise(times))
    step = steps[len(steps) // 2] if steps else 60.0
    return checked(name, times, [added[t] * step for t in times], step, times[0] if times else None)
