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
import math
import re
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from tidegate.base.errors import TraceError
from tidegate.sim import access_logs, shapes
from tidegate.sim.trace import Trace, checked

EPOCH_FROM_S = 1e8  # times above this (March 1973) are epoch seconds
HEAD = 20_000  # characters by which a log is known
LARGEST_TEXT = 256 * 2**20  # characters of a CSV or JSON file; access logs are read line by line
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
    name = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    try:
        with _opened(path) as stream:
            head = stream.read(HEAD)
            if access_logs.looks_like(head):
                return access_logs.read(name, _lines(head, stream))
            text = head + stream.read(LARGEST_TEXT - len(head) + 1)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise TraceError(f"{path}: cannot be read as text ({error}). Give a CSV, JSON or log file.") from error
    if len(text) > LARGEST_TEXT:
        raise TraceError(
            f"{path}: more than {LARGEST_TEXT // 2**20} MiB of rows. Count the requests into longer bins first."
        )
    if text.lstrip()[:1] in ("{", "["):
        return _prometheus(name, text)
    return _csv(name, text)


def _opened(path: Path) -> TextIO:
    if path.is_dir():
        raise TraceError(f"{path}: is a folder. Give the path of one trace in it.")
    if not path.exists():
        known = ", ".join(shapes.NAMES)
        raise TraceError(f"{path}: no such file, and no shape ({known}). Give the path of a trace or a shape.")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _lines(head: str, rest: Iterable[str]) -> Iterator[str]:
    """All lines of a file of which `head` was read; logs may be larger than memory."""
    *whole, part = head.split("\n")
    yield from whole
    for line in rest:
        yield part + line
        part = ""
    if part:
        yield part


def _csv(name: str, text: str) -> Trace:
    times: list[float] = []
    counts: list[float] = []
    bin_s = start = header = None
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
            if header is None and not times:
                header = line
                continue
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
        answer = json.loads(text)
    except ValueError as error:
        raise TraceError(
            f"{name}: begins like JSON and is not ({error}). Save the whole answer of the query."
        ) from error
    if isinstance(answer, dict) and answer.get("status") == "error":
        raise TraceError(f"{name}: Prometheus refused the query: {answer.get('error')}. Correct it and ask again.")
    try:
        data = answer["data"]
        series = data["result"]
        if data["resultType"] != "matrix":
            raise TraceError(
                f"{name}: resultType is {data['resultType']!r}. Ask /api/v1/query_range for a rate over time."
            )
        added: dict[float, float] = {}
        for one in series:
            for at, value in one["values"]:
                if math.isfinite(float(value)):  # a rate over nothing is NaN: not measured
                    added[float(at)] = added.get(float(at), 0.0) + float(value)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise TraceError(
            f"{name}: not an answer of a Prometheus range query ({error!r}). "
            "Save what /api/v1/query_range?query=sum(rate(...))&start=&end=&step= gives."
        ) from error
    if not added:
        raise TraceError(f"{name}: the query found no series. Check its labels and its time.")
    times = sorted(added)
    steps = sorted(b - a for a, b in itertools.pairwise(times))
    step = steps[len(steps) // 2] if steps else 60.0
    return checked(name, times, [added[t] * step for t in times], step, times[0] if times else None)
