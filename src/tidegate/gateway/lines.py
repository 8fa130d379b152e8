"""The lines the proxy writes, one when each request has ended: their format and how they are read. Pure.

Times in milliseconds but for `up` in microseconds, -1 where a step was not reached:

    ID BACKEND SERVER STATUS TERMINATION TR up Tw Tc Tr Ta RETRIES EXHAUSTED REFUSED MEDIA ACCOUNT

TR: head received; up: body received; Tw: from the head to the slot (so it holds `up` and the queue); Tc: connected;
Tr: first byte of the answer; Ta: all of it, to the last byte sent. The wait in the queue is Tw - up; the time a
replica took is Ta - TR - Tw; what the promise is about is Ta - TR - up, since the client's upload is its own time.
EXHAUSTED is "-", or the pool whose replicas failed a large request at every attempt. REFUSED is "-", or the code of the
answer that the gateway itself gave. MEDIA is "-" or the record of the media screen. ACCOUNT says whose it is:

    tenant=SERVICE,TENANT,KEY,ADMITTED,BYTES

A large request passes the proxy twice, at the entrance and from its lane: ADMITTED is 1 in the line of the entrance,
which counts as a request, and `staged` in the other, which says what its pool saw of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

# File descriptor of the pipe that carries the lines out of the proxy; see docs/decisions/0022.
LOG_FD = 9
LOG_FORMAT = (
    "%[var(txn.rid)] %b %s %ST %tsc %TR %[var(txn.up)] %Tw %Tc %Tr %Ta %rc %[var(txn.exhausted)] "
    "%[var(txn.refused)] %[var(txn.media)] "
    "tenant=%[var(txn.service)],%[var(txn.tenant)],%[var(txn.key_id)],%[var(txn.admitted)],%U"
)
STAGED = "staged"

# The status by which a staged request's failure is handed back to its lane; no service gives it (see `lanes`).
RETRY_STATUS = 425

# What the proxy's parser answers before any rule runs, by status; 4xx and 5xx of other kinds are bad requests as well.
_BY_PARSER = {"408": "header_timeout", "500": "gateway_error"}
_HANDSHAKE = b"SSL handshake failure"
# The proxy's own requests, to the helper that fetches media.
_OWN_REQUEST = b"-:- "
_ACCOUNT = "tenant="


class Outcome(Enum):
    """How a request ended, from whom the blame lies with."""

    ANSWERED = "answered by a replica"
    FAILED_ANSWER = "a replica answered 5xx"
    FAILED = "no answer from a replica, or a broken one"
    GAVE_UP = "the client left first"
    REFUSED = "told at the gateway that there is no capacity"
    RETRIED = "a replica failed, a lane sends it again"
    REJECTED = "refused at the gateway for what it is"


class Media(NamedTuple):
    """What the screen saw of a request: the type of its largest medium, and sums. Not `known`: judged by the bytes."""

    type: str
    known: bool
    pixels: int
    seconds: float
    bytes: int


@dataclass(slots=True)
class Line:
    """One ended request. `code` is that of the gateway's own answer, `refusal` the same or what its parser answered.

    `upload_ms` is the body's upload, `until_slot_ms` from the head to the slot (to the end, when there was none),
    `active_ms` from the head to the end. Texts are "" where nothing is known.
    """

    backend: str
    server: str
    end: Outcome
    assigned: bool
    upload_ms: float
    until_slot_ms: int
    active_ms: int
    retries: int
    exhausted: str
    code: str
    refusal: str
    media: Media | None
    service: str
    tenant: str
    key: str
    admitted: str
    sent_bytes: int

    @property
    def answer_ms(self) -> float:
        """What the promise is about."""
        return self.active_ms - self.upload_ms

    @property
    def service_s(self) -> float:
        """How long a replica had it."""
        return (self.active_ms - self.until_slot_ms) / 1000


class Lines:
    """Takes apart what was read. `others` counts lines of another form, which are the proxy's own notes (a worker
    stopped, a server went down), `handshakes` those of them about TLS handshakes that failed."""

    def __init__(self) -> None:
        self.others = 0
        self.handshakes = 0
        self._rest = b""
        self._ends: dict[tuple[str, str, bool], Outcome] = {}

    def feed(self, data: bytes) -> list[Line]:
        """The requests in what was read; the last line may be incomplete and is kept."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = []
        for line in lines:
            if line.startswith(_OWN_REQUEST):
                continue
            try:
                found.append(self._read(line.decode("ascii").split(" ")))
            except (ValueError, IndexError):
                self.others += 1
                self.handshakes += line.endswith(_HANDSHAKE)
        return found

    def _read(self, cells: list[str]) -> Line:
        _, backend, server, status, termination, head, up, wait, _, _, active, retries, *texts = cells
        exhausted, refused, record, account = texts
        service, tenant, key, admitted, size = account.removeprefix(_ACCOUNT).split(",")
        assigned = server != "<NOSRV>"
        known = (termination, status, assigned)
        end = self._ends.get(known)
        if end is None:
            end = self._ends[known] = outcome(termination, int(status), assigned)
        code = _known(refused)
        active_ms = int(active) - max(0, int(head))
        return Line(
            backend=backend,
            server=server,
            end=end,
            assigned=assigned,
            upload_ms=int(up) / 1000 if up != "-" else 0.0,
            until_slot_ms=int(wait) if wait != "-1" else active_ms,
            active_ms=active_ms,
            retries=int(retries.lstrip("+")),
            exhausted=_known(exhausted),
            code=code,
            refusal=code or (_by_parser(status) if termination[1] == "R" else ""),
            media=None if record == "-" else _media(record),
            service=service,
            tenant=_known(tenant),
            key=_known(key),
            admitted=_known(admitted),
            sent_bytes=int(size),
        )


def outcome(termination: str, status: int, assigned: bool) -> Outcome:
    """What a termination state (its first two letters) and a status mean.

    Source of the letters: "Session state at disconnection" in HAProxy's configuration manual.
    """
    who, where = termination[0], termination[1]
    if who in "Cc":
        return Outcome.GAVE_UP
    if who in "PL":
        return Outcome.REFUSED if status in (429, 503) else Outcome.REJECTED
    if where == "Q" or (who == "S" and where == "C" and not assigned):
        return Outcome.REFUSED
    if status == RETRY_STATUS:
        return Outcome.RETRIED
    if who == "-":
        return Outcome.FAILED_ANSWER if status >= 500 else Outcome.ANSWERED
    return Outcome.FAILED


def _by_parser(status: str) -> str:
    return _BY_PARSER.get(status, "bad_request") if status[0] in "45" else ""


def _media(record: str) -> Media | None:
    """What counts of a record; `screening.facts_of` has all of it, and takes four times as long."""
    _, kind, type_, *_, count, known, pixels, _, milliseconds, size, _ = record.split(":")
    if count == "0":
        return None
    return Media(f"{kind}/{type_}", known == "1", int(pixels), int(milliseconds) / 1000, int(size))


def _known(cell: str) -> str:
    return "" if cell == "-" else cell
