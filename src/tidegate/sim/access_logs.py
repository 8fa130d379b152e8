"""Access logs of nginx, HAProxy and Envoy as traces.

Only the instant of each request is taken. nginx writes when the answer is complete, HAProxy when the request came in,
Envoy its start; lines may thus be out of order by the length of a request, and are sorted. Formats:
nginx `combined` (https://nginx.org/en/docs/http/ngx_http_log_module.html), HAProxy `option httplog`
(https://docs.haproxy.org/2.8/configuration.html#8.2.3), Envoy's default format
(https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage).
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
PROBED_LINES = 20
CACHED = 100_000  # instants


@dataclass(frozen=True, slots=True)
class _Form:
    """How one kind of log writes the instant of a request."""

    name: str
    line: re.Pattern[str]
    instant: Callable[[str], datetime]


_FORMS = (
    _Form(
        "nginx",
        re.compile(r"^\S+ \S+ \S+ \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] \""),
        lambda text: datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z"),
    ),
    _Form(
        "haproxy",
        re.compile(r"\[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d{3})\] \S+ \S+/\S+ [-+\d]+/[-\d]+/[-\d]+/"),
        lambda text: datetime.strptime(text, "%d/%b/%Y:%H:%M:%S.%f").replace(tzinfo=UTC),
    ),
    _Form(
        "envoy",
        re.compile(r"^\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\] \""),
        datetime.fromisoformat,
    ),
)


def looks_like(head: str) -> bool:
    """Whether most of the first lines are of one of the three kinds."""
    return _form(head) is not None


def read(name: str, lines: Iterable[str]) -> Trace:
    """The trace of an access log in bins of ten seconds; lines of another form are skipped, but not most of them.

    Raises:
        TraceError: most lines are of another form, or their times cannot be used.
    """
    lines = iter(lines)
    first = list(itertools.islice(lines, PROBED_LINES))
    form = _form("\n".join(first))
    counts: dict[int, int] = {}
    bins: dict[str, int] = {}  # an instant is written many times; reading it anew takes most of the time
    seen = skipped = 0
    for line in itertools.chain(first, lines):
        if not line.strip():
            continue
        seen += 1
        found = form.line.search(line) if form else None
        if form is None or found is None:
            skipped += 1
            continue
        place = bins.get(found[1])
        if place is None:
            place = _bin(name, form, found[1])
            if len(bins) >= CACHED:
                bins.clear()
            bins[found[1]] = place
        counts[place] = counts.get(place, 0) + 1
    if not counts or skipped * 2 > seen:
        raise TraceError(
            f"{name}: {skipped} of {seen} lines are of no known access log format. Known are nginx `combined`, HAProxy "
            "`option httplog` and Envoy's default; others can be counted into a CSV `seconds,requests`."
        )
    begin, end = min(counts), max(counts)
    if end - begin > MOST_BINS:
        raise TraceError(f"{name}: its lines lie {(end - begin) * BIN_S / 86400:.0f} days apart. Take out stray lines.")
    rows = [counts.get(i, 0) for i in range(begin, end + 1)]
    return checked(name, [i * BIN_S for i in range(len(rows))], rows, BIN_S, begin * BIN_S)


def _bin(name: str, form: _Form, text: str) -> int:
    try:
        return int(form.instant(text).timestamp() // BIN_S)
    except (ValueError, OverflowError):
        raise TraceError(f"{name}: {text!r} is no time ({form.name} log). Take that line out.") from None


def _form(head: str) -> _Form | None:
    lines = [line for line in head.splitlines()[:PROBED_LINES] if line.strip()]
    for form in _FORMS:
        if lines and sum(form.line.search(line) is not None for line in lines) * 2 > len(lines):
            return form
    return None
