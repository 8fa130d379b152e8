"""Counting requests from the lines the proxy writes, one when each request has ended. Pure but for its own counters.

A line (see `config.LOG_FORMAT`), times in milliseconds but for `up` in microseconds, -1 where a step was not reached:

    ID BACKEND SERVER STATUS TERMINATION TR up Tw Tc Tr Ta RETRIES EXHAUSTED REFUSED MEDIA ACCOUNT

TR: head received; up: body received; Tw: from the head to the slot (so it holds `up` and the queue); Tc: connected;
Tr: first byte of the answer; Ta: all of it, to the last byte sent. The wait in the queue is Tw - up; the time a
replica took is Ta - TR - Tw; what the promise is about is Ta - TR - up, since the client's upload is its own time.
EXHAUSTED is "-", or the pool whose replicas failed a large request at every attempt. REFUSED is "-", or the code of the
answer that the gateway itself gave. MEDIA is "-" or the record of the media screen; for ACCOUNT see `accounts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from tidegate.base.times import bin_of
from tidegate.gateway.viewings import Viewings

# The status by which a staged request's failure is handed back to its lane; no service gives it (see `lanes`).
RETRY_STATUS = 425


# What the proxy's parser answers before any rule runs, by status.
_BY_PARSER = {"400": "bad_request", "408": "header_timeout", "422": "bad_request"}
_HANDSHAKE = b"SSL handshake failure"
# The proxy's own requests, to the helper that fetches media.
_OWN_REQUEST = b"-:- "


class Outcome(Enum):
    """How a request ended, from whom the blame lies with."""

    ANSWERED = "answered by a replica"
    FAILED_ANSWER = "a replica answered 5xx"
    FAILED = "no answer from a replica, or a broken one"
    GAVE_UP = "the client left first"
    REFUSED = "told at the gateway that there is no capacity"
    RETRIED = "a replica failed, a lane sends it again"
    REJECTED = "refused at the gateway for what it is"


@dataclass(slots=True)
class ServerTally:
    """Counts of one replica."""

    finished: int = 0
    failed: int = 0
    service_s_sum: float = 0.0
    times: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """Counts of one pool since they were last taken; names as in `PoolLoad`. `ended` counts every request once."""

    ended: int = 0
    finished: int = 0
    in_time: int = 0
    failed: int = 0
    gave_up: int = 0
    refused: int = 0
    retries: int = 0
    service_s_sum: float = 0.0
    service_s2_sum: float = 0.0
    wait_s_sum: float = 0.0
    servers: dict[str, ServerTally] = field(default_factory=dict)

    def server(self, name: str) -> ServerTally:
        tally = self.servers.get(name)
        if tally is None:
            tally = self.servers[name] = ServerTally()
        return tally


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


def _service(rest: list[str]) -> str:
    """The service that an account names, "-" when it is not known."""
    return rest[-1].rpartition("=")[2].partition(",")[0] if rest else "-"


class Meter:
    """Adds up lines per pool; `promises_ms` says per backend within how many milliseconds an answer is in time.

    `refusals` counts what the gateway itself refused since this process began, by code; `viewings` what media.
    """

    def __init__(self) -> None:
        self.promises_ms: Mapping[str, float] = {}
        self.other_lines = 0
        self.refusals: Counter[str] = Counter()
        self.viewings = Viewings()
        self._tallies: dict[str, Tally] = {}
        self._rest = b""
        self._outcomes: dict[tuple[str, str, bool], Outcome] = {}

    def take(self) -> dict[str, Tally]:
        """The counts since the last call, by backend."""
        tallies, self._tallies = self._tallies, {}
        return tallies

    def feed(self, data: bytes) -> None:
        """Take over what was read; the last line may be incomplete and is kept.

        Lines of another form are the proxy's own notes (a worker stopped, a server went down).
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(_OWN_REQUEST):
                continue
            try:
                self._count(line.decode("ascii").split(" "))
            except (ValueError, IndexError):
                self.other_lines += 1
                self.refusals["tls_handshake"] += line.endswith(_HANDSHAKE)

    def _count(self, cells: list[str]) -> None:
        _, backend, server, status, termination, head, up, queue, _, _, active, retries, exhausted, refused, *rest = (
            cells
        )
        code = refused if refused != "-" else _BY_PARSER.get(status) if termination[1] == "R" else None
        if code is not None:
            self.refusals[code] += 1
            self.viewings.refused(_service(rest), code)
        if exhausted != "-":
            self._exhausted(exhausted)
        if "." not in backend:
            return
        tally = self._tally(backend)
        assigned = server != "<NOSRV>"
        known = (termination, status, assigned)
        end = self._outcomes.get(known)
        if end is None:
            end = self._outcomes[known] = outcome(termination, int(status), assigned)
        upload_ms = int(up) / 1000 if up != "-" else 0.0
        since_head_ms = int(active) - max(0, int(head))
        until_slot_ms = int(queue) if queue != "-1" else since_head_ms
        tally.wait_s_sum += max(0.0, until_slot_ms - upload_ms) / 1000
        if retries != "0":
            tally.retries += int(retries.lstrip("+"))
        tally.ended += end is not Outcome.RETRIED
        if rest and rest[0] != "-" and end is not Outcome.RETRIED:
            self.viewings.passed(backend, rest[0])
        if end is Outcome.GAVE_UP:
            tally.gave_up += 1
        elif end is Outcome.REFUSED:
            tally.refused += 1
        elif end is Outcome.RETRIED:
            tally.retries += 1
            tally.server(server).failed += 1
        elif end is not Outcome.REJECTED:
            on_time = since_head_ms - upload_ms <= self.promises_ms.get(backend, 0.0)
            self._answered(tally, server, end, (since_head_ms - until_slot_ms) / 1000, on_time)

    def _tally(self, backend: str) -> Tally:
        tally = self._tallies.get(backend)
        if tally is None:
            tally = self._tallies[backend] = Tally()
        return tally

    def _exhausted(self, pool: str) -> None:
        """A lane gave up on a request whose attempts were each counted as a retry: it has failed, once."""
        tally = self._tally(pool.replace("/", ".", 1))
        tally.ended += 1
        tally.failed += 1

    def _answered(self, tally: Tally, server: str, end: Outcome, service_s: float, on_time: bool) -> None:
        replica = tally.server(server)
        if end is not Outcome.ANSWERED:
            tally.failed += 1
            replica.failed += 1
        if end is Outcome.FAILED:
            return
        tally.finished += 1
        tally.in_time += on_time and end is Outcome.ANSWERED
        tally.service_s_sum += service_s
        tally.service_s2_sum += service_s * service_s
        replica.finished += 1
        replica.service_s_sum += service_s
        index = bin_of(service_s)
        replica.times[index] = replica.times.get(index, 0) + 1
