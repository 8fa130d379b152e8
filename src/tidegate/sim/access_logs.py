"""Access logs as traces: nginx and Apache, HAProxy, Envoy, load balancers of AWS, and logs of one JSON object a line.

Only the instant of each request is taken, wherever it stands in its line, so that other fields may be added, left out
or moved. Most servers write when the answer is complete, HAProxy and Envoy when the request came in; lines may thus be
out of order by the length of a request, and are sorted. Formats:
nginx (https://nginx.org/en/docs/http/ngx_http_log_module.html: `$time_local` and `$time_iso8601` in brackets, or in
JSON), HAProxy `option httplog` (https://docs.haproxy.org/2.8/configuration.html#8.2.3), Envoy's default format
(https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage), AWS
(https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from tidegate.base.errors import TraceError
from tidegate.sim.trace import MOST_BINS, Trace, checked

BIN_S = 10.0
PROBED_LINES = 50
CACHED = 100_000  # instants
MILLISECONDS_FROM = 1e11  # a number of seconds since 1970 beyond this (the year 5138) is one of milliseconds
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_CLF = r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
_JSON_KEYS = (
    "time", "ts", "timestamp", "@timestamp", "start_time", "time_iso8601", "time_local", "msec", "StartUTC",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Form:
    """How one kind of log writes the instant of a request."""

    name: str
    line: re.Pattern[str]
    instant: Callable[[str], datetime]


def _clf(text: str) -> datetime:
    return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z")


def _iso(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _any(text: str) -> datetime:
    """As programs write instants into JSON: a number of seconds or milliseconds, ISO 8601, or as nginx has it."""
    if re.fullmatch(r"\d+(\.\d*)?", text):
        number = float(text)
        return datetime.fromtimestamp(number / 1000 if number > MILLISECONDS_FROM else number, UTC)
    return _clf(text) if "/" in text else _iso(text)


_FORMS = (
    _Form(
        "HAProxy",
        re.compile(r"\[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d{3})\] \S+ \S+/\S+ [-+\d]+/[-\d]+/[-\d]+/"),
        lambda text: datetime.strptime(text, "%d/%b/%Y:%H:%M:%S.%f"),
    ),
    _Form("nginx or Apache", re.compile(rf"\[({_CLF})\]"), _clf),
    _Form("Envoy or nginx", re.compile(rf"\[({_ISO})\]"), _iso),
    _Form(
        "JSON",
        re.compile(r'^\s*\{.*?"(?:' + "|".join(map(re.escape, _JSON_KEYS)) + r')"\s*:\s*"?(\d[^",}]*)"?\s*[,}]'),
        _any,
    ),
    _Form("AWS load balancer", re.compile(rf'^\w+ ({_ISO}) .*"[A-Z]+ \S+'), _iso),
)


def looks_like(head: str) -> bool:
    """Whether most of the first lines are of one of the kinds known here."""
    return _form(head) is not None


def read(name: str, lines: Iterable[str], file: str = "") -> Trace:
    """The trace of an access log in bins of ten seconds; lines of another form are skipped, but not most of them.

    Raises:
        TraceError: most lines are of another form, or their times cannot be used.
    """
    file = file or name
    lines = iter(lines)
    first = list(itertools.islice(lines, PROBED_LINES))
    form = _form("\n".join(first))
    counts: dict[int, int] = {}
    bins: dict[str, int] = {}  # an instant is written many times; reading it anew takes most of the time
    seen = skipped = 0
    without_zone = ""
    for number, line in enumerate(itertools.chain(first, lines), 1):
        if not line.strip():
            continue
        seen += 1
        found = form.line.search(line) if form else None
        if form is None or found is None:
            skipped += 1
            continue
        text = found[1]
        place = bins.get(text)
        if place is None:
            moment = _moment(file, form, text, number)
            if moment.tzinfo is None:
                without_zone, moment = text, moment.replace(tzinfo=UTC)
            place = int(moment.timestamp() // BIN_S)
            if len(bins) >= CACHED:
                bins.clear()
            bins[text] = place
        counts[place] = counts.get(place, 0) + 1
    if form is None or not counts or skipped * 2 > seen:
        raise TraceError(
            f"{file}: {skipped} of {seen} lines are of no known access log format. Known are nginx and Apache with "
            "their time in brackets, HAProxy `option httplog`, Envoy, AWS load balancers and JSON lines with a time; "
            "others can be counted into a CSV `seconds,requests`."
        )
    begin, end = min(counts), max(counts)
    if end - begin > MOST_BINS:
        raise TraceError(f"{file}: its lines lie {(end - begin) * BIN_S / 86400:.0f} days apart. Take out stray lines.")
    notes = []
    if skipped:
        notes.append(f"{file}: {skipped:,} of {seen:,} lines are no requests in {form.name} form and were passed over.")
    if without_zone:
        notes.append(f"{file}: its times ({without_zone}) have no time zone and are taken for UTC.")
    rows = [counts.get(i, 0) for i in range(begin, end + 1)]
    times = [i * BIN_S for i in range(len(rows))]
    return checked(name, times, rows, BIN_S, begin * BIN_S, notes=tuple(notes), file=file)


def _moment(file: str, form: _Form, text: str, line: int) -> datetime:
    try:
        return form.instant(text)
    except (ValueError, OverflowError, OSError):
        raise TraceError(f"{file}: line {line}: {text!r} is no time ({form.name} log). Take that line out.") from None


def _form(head: str) -> _Form | None:
    lines = [line for line in head.splitlines()[:PROBED_LINES] if line.strip()]
    for form in _FORMS:
        if lines and sum(form.line.search(line) is not None for line in lines) * 2 > len(lines):
            return form
    return None
