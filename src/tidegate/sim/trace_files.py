"""Traces from files: CSV `seconds,requests`, Prometheus range queries, access logs, or a named shape.

CSV: comment lines start with `#`; `# bin_seconds=60` and `# start=2024-05-01T00:00:00Z`, second 0, are understood in
them. The first row may be a header; times are seconds, epoch seconds, or dates with a time (UTC unless they say
otherwise). Columns are divided by commas, semicolons or tabs.

Files may be packed with gzip, bzip2 or xz, and be in UTF-8 or UTF-16 with a byte order mark. `-` is the standard input.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from tidegate.base.errors import TraceError
from tidegate.sim import access_logs, prometheus, shapes
from tidegate.sim.trace import Trace, checked

STDIN = "-"
EPOCH_FROM_S = 1e8  # times above this (March 1973) are epoch seconds
HEAD = 20_000  # characters by which a log is known
LARGEST_TEXT = 256 * 2**20  # characters of a CSV or JSON file; access logs are read line by line
NOT_TEXT = 0.05  # share of the head that is no character, from which a file is no text; logs hold odd bytes of clients
_PACKED: dict[bytes, Callable[[Any, Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BIN = re.compile(r"bin_seconds\s*=\s*(\S+)")
_START = re.compile(r"start\s*=\s*(\d{4}-\S+)")


def read(what: str) -> Trace:
    """The trace that `what` names: a path, `-`, or a shape such as `sine:mean=20,period=1d` (see `shapes`).

    Raises:
        TraceError: it cannot be read or used; the message says why and what to do.
    """
    if shapes.is_shape(what):
        return shapes.shape(what)
    path = Path(what)
    file = "standard input" if what == STDIN else path.name
    name = "stdin" if what == STDIN else re.sub(r"\.(gz|bz2|xz)$", "", path.name).rsplit(".", 1)[0]
    try:
        with _opened(what) as stream:
            head = stream.read(HEAD)
            if head.count("\ufffd") + head.count("\0") > NOT_TEXT * len(head):
                raise TraceError(f"{file}: is no text. Give a CSV, JSON or log file.")
            if access_logs.looks_like(head):
                return access_logs.read(name, _lines(head, stream), file)
            text = head + stream.read(LARGEST_TEXT - len(head) + 1)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, lzma.LZMAError) as error:
        raise TraceError(f"{what}: cannot be read as text ({error}). Give a CSV, JSON or log file.") from error
    if len(text) > LARGEST_TEXT:
        raise TraceError(
            f"{file}: more than {LARGEST_TEXT // 2**20} MiB of rows. Count the requests into longer bins first."
        )
    if text.lstrip()[:1] in ("{", "["):
        return prometheus.read(name, text, file)
    return _csv(name, text, file)


@contextmanager
def _opened(what: str) -> Iterator[TextIO]:
    if what == STDIN:
        yield _as_text(sys.stdin.buffer)
        return
    path = Path(what)
    if not what or not path.exists():
        known = ", ".join(shapes.NAMES)
        raise TraceError(f"{what!r}: no such file, and no shape ({known}). Give the path of a trace or a shape.")
    if path.is_dir():
        raise TraceError(f"{path}: is a folder. Give the path of one trace in it.")
    with path.open("rb") as raw:
        yield _as_text(raw)


def _as_text(raw: BinaryIO) -> TextIO:
    """Unpacked and decoded by its first bytes; what is no character becomes U+FFFD."""
    stream = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw)  # type: ignore[type-var]
    for magic, unpack in _PACKED.items():
        if stream.peek(8).startswith(magic):
            stream = io.BufferedReader(unpack(stream, "rb"))
    encoding = "utf-16" if stream.peek(2)[:2] in _UTF16 else "utf-8-sig"
    return io.TextIOWrapper(stream, encoding=encoding, errors="replace")


def _lines(head: str, rest: Iterable[str]) -> Iterator[str]:
    """All lines of a file of which `head` was read; logs may be larger than memory."""
    *whole, part = head.split("\n")
    yield from whole
    for line in rest:
        yield part + line
        part = ""
    if part:
        yield part


def _csv(name: str, text: str, file: str) -> Trace:
    times: list[float] = []
    counts: list[float] = []
    numbers: list[int] = []
    bin_s = start = header = divider = None
    dated = False
    notes: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            if found := _BIN.search(line):
                bin_s = _bin_s(file, number, found[1])
            if found := _START.search(line):
                start = _instant(file, number, found[1])
            continue
        if not line.strip():
            continue
        divider = divider or next((d for d in ",;\t" if d in line), ",")
        try:
            row = next(csv.reader([line], delimiter=divider))
            (time, dated, zoned), count = _time(row[0]), float(row[1])
        except (ValueError, IndexError, csv.Error):
            if header is None and not times:
                header = line
                continue
            raise TraceError(
                f"{file}: line {number} is {line[:60]!r}, expected `seconds,requests` with the requests of one bin; "
                "access logs known here are nginx, Apache, HAProxy `option httplog`, Envoy and JSON lines with a time."
            ) from None
        if dated and start is None:
            start = time
            if not zoned:
                notes = (f"{file}: its times ({row[0].strip()}) have no time zone and are taken for UTC.",)
        times.append(time)
        counts.append(count)
        numbers.append(number)
    if times and not dated and start is not None and times[0] < EPOCH_FROM_S:
        start += times[0]  # rows from the middle of a day
    elif times and times[0] >= EPOCH_FROM_S and start is None:
        start = times[0]
    return checked(name, times, counts, bin_s, start, lines=numbers, notes=notes, file=file)


def _time(text: str) -> tuple[float, bool, bool]:
    """Seconds, whether it was written as a date, and whether that had a time zone."""
    try:
        return float(text), False, True
    except ValueError:
        moment = datetime.fromisoformat(text.strip())
        return _epoch(moment), True, moment.tzinfo is not None


def _epoch(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _bin_s(file: str, number: int, text: str) -> float:
    try:
        return float(text.rstrip(",;"))
    except ValueError:
        raise TraceError(
            f"{file}: line {number}: bin_seconds={text} is no number; write it as bin_seconds=60."
        ) from None


def _instant(file: str, number: int, text: str) -> float:
    try:
        return _epoch(datetime.fromisoformat(text))
    except ValueError:
        raise TraceError(f"{file}: line {number}: start={text} is no time; write it as 2024-05-01T00:00:00Z.") from None
