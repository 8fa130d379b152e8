"""Access logs of nginx, HAProxy and Envoy as traces.

Only the instant of each request is taken. nginx writes when the answer is complete, HAProxy when the request came in,
Envoy its start; lines may thus be out of order by the length of a request, and are sorted. Formats:
nginx `combined` (https://nginx.org/en/docs/http/ngx_http_log_module.html), HAProxy `option httplog`
(https://docs.haproxy.org/2.8/configuration.html#8.2.3), Envoy's default format
(https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tidegate.base.errors import TraceError
from tidegate.sim.trace import Trace, checked

BIN_S = 10.0
PROBED_LINES = 20


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


def looks_like(text: str) -> bool:
    """Whether most of the first lines are of one of the three kinds."""
    return _form(text) is not None


def read(name: str, text: str) -> Trace:
    """The trace of an access log in bins of ten seconds; lines of another form are skipped, but not most of them.

    Raises:
        TraceError: most lines are of another form, or nothing is left.
    """
    form = _form(text)
    lines = text.splitlines()
    found = [m[1] for line in lines if form and (m := form.line.search(line))]
    if form is None or len(found) * 2 < len(lines):
        raise TraceError(f"{name}: {len(lines) - len(found)} of {len(lines)} lines are of no known access log format.")
    cache: dict[str, float] = {}
    instants = []
    for instant in found:
        if instant not in cache:
            cache[instant] = form.instant(instant).timestamp()
        instants.append(cache[instant])
    first = min(instants) // BIN_S
    counts = [0] * (int(max(instants) // BIN_S - first) + 1)
    for at in instants:
        counts[int(at // BIN_S - first)] += 1
    return checked(name, [i * BIN_S for i in range(len(counts))], counts, BIN_S, first * BIN_S)


def _form(text: str) -> _Form | None:
    lines = text[:20_000].splitlines()[:PROBED_LINES]
    for form in _FORMS:
        if lines and sum(form.line.search(line) is not None for line in lines) * 2 > len(lines):
            return form
    return None
