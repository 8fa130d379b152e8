"""Counting requests per pool and replica, from the lines of the proxy. Pure but for its own counters."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tidegate.base.times import bin_of
from tidegate.gateway.lines import Line, Outcome
from tidegate.gateway.names import STAND_IN
from tidegate.gateway.viewings import Viewings


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
    waited_in_vain: int = 0
    servers: dict[str, ServerTally] = field(default_factory=dict)

    def server(self, name: str) -> ServerTally:
        tally = self.servers.get(name)
        if tally is None:
            tally = self.servers[name] = ServerTally()
        return tally


class Meter:
    """Adds up lines per pool; `promises_ms` says per backend within how many milliseconds an answer is in time.

    `refusals` counts what the gateway itself refused since this process began, by code; `viewings` what media.
    """

    def __init__(self) -> None:
        self.promises_ms: Mapping[str, float] = {}
        self.refusals: Counter[str] = Counter()
        self.viewings = Viewings()
        self._tallies: dict[str, Tally] = {}

    def take(self) -> dict[str, Tally]:
        """The counts since the last call, by backend."""
        tallies, self._tallies = self._tallies, {}
        return tallies

    def count(self, lines: Iterable[Line]) -> None:
        """Take over what these say."""
        for line in lines:
            self._count(line)

    def _count(self, line: Line) -> None:
        if line.refusal:
            self.refusals[line.refusal] += 1
            self.viewings.refused(line.service, line.refusal)
        if line.exhausted:
            self._exhausted(line.exhausted)
        if "." not in line.backend:
            return
        tally, end = self._tally(line.backend), line.end
        if line.server == STAND_IN:
            self._stood_in(tally, line)
            return
        tally.wait_s_sum += max(0.0, line.until_slot_ms - line.upload_ms) / 1000
        tally.retries += line.retries
        tally.ended += end is not Outcome.RETRIED
        if line.media is not None and end is not Outcome.RETRIED:
            self.viewings.passed(line.backend, line.media)
        if end is Outcome.GAVE_UP:
            tally.gave_up += 1
            tally.waited_in_vain += self._in_vain(line)
        elif end is Outcome.REFUSED:
            tally.refused += 1
        elif end is Outcome.RETRIED:
            tally.retries += 1
            tally.server(line.server).failed += 1
        elif end is not Outcome.REJECTED:
            self._answered(tally, line)

    def _in_vain(self, line: Line) -> bool:
        """Whether the queue made it late: a replica's time alone would have kept the promise."""
        promise_ms = self.promises_ms.get(line.backend, math.inf)
        return line.answer_ms > promise_ms >= line.service_s * 1000

    def _stood_in(self, tally: Tally, line: Line) -> None:
        """The pool answered for its canary, and counts the request; if the canary was tried, it has failed it."""
        if line.retries:
            tally.retries += 1
            tally.server(STAND_IN).failed += 1

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

    def _answered(self, tally: Tally, line: Line) -> None:
        replica = tally.server(line.server)
        if line.end is not Outcome.ANSWERED:
            tally.failed += 1
            replica.failed += 1
        if line.end is Outcome.FAILED:
            return
        on_time = line.answer_ms <= self.promises_ms.get(line.backend, 0.0)
        tally.finished += 1
        tally.in_time += on_time and line.end is Outcome.ANSWERED
        tally.waited_in_vain += self._in_vain(line)
        tally.service_s_sum += line.service_s
        tally.service_s2_sum += line.service_s * line.service_s
        replica.finished += 1
        replica.service_s_sum += line.service_s
        index = bin_of(line.service_s)
        replica.times[index] = replica.times.get(index, 0) + 1
