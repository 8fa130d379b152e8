"""Counting requests per tenant, from the lines of the proxy. Pure but for its own counters.

A large request passes the proxy twice, as does one for which its pool stands in for a canary. As a request it counts by
its line at the entrance; its media and its time on a replica are told by the second line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tidegate.gateway.lines import STAGED, Line, Outcome
from tidegate.gateway.names import STAND_IN
from tidegate.model.admission import TenantUse

# Between two looks, half a second apart: work of seven looks ago counts half.
_KEPT, _FORGOTTEN_S = 0.9, 1e-3
_NO_WORK = (Outcome.REFUSED, Outcome.REJECTED, Outcome.RETRIED, Outcome.FAILED, Outcome.FAILED_ANSWER)


@dataclass(slots=True)
class _Sheet:
    worked: int = 0
    in_time: int = 0
    failed: int = 0
    gave_up: int = 0
    sent_bytes: int = 0
    pixels: int = 0
    media_s: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)
    key_ids: set[str] = field(default_factory=set)

    def refuse(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1


class Accounts:
    """Adds up lines per tenant; `promises_ms` says per service within how many milliseconds an answer is in time."""

    def __init__(self) -> None:
        self.promises_ms: Mapping[str, float] = {}
        self._sheets: dict[str, _Sheet] = {}
        self._busy_s: dict[tuple[str, str], float] = {}

    def take(self) -> dict[str, TenantUse]:
        """The counts since the last call, by tenant; "" for refused requests of nobody known."""
        sheets, self._sheets = self._sheets, {}
        return {name: _use(sheet) for name, sheet in sheets.items()}

    def busy_s(self) -> dict[tuple[str, str], float]:
        """By tenant and backend, how long replicas worked for it of late, seconds; older work counts ever less."""
        busy_s = dict(self._busy_s)
        self._busy_s = {place: s * _KEPT for place, s in busy_s.items() if s > _FORGOTTEN_S}
        return busy_s

    def count(self, lines: Iterable[Line]) -> None:
        """Take over what these say; lines of nobody known only count as refusals."""
        for line in lines:
            if line.tenant or line.code:
                sheet = self._sheets.setdefault(line.tenant, _Sheet())
                if line.admitted != STAGED:
                    self._request(sheet, line)
                self._work(sheet, line)

    def _request(self, sheet: _Sheet, line: Line) -> None:
        if line.key:
            sheet.key_ids.add(line.key)
        if line.code or not line.admitted:
            sheet.refuse(line.code or "-")
        elif line.end in (Outcome.REFUSED, Outcome.REJECTED):
            sheet.refuse("no_capacity" if line.end is Outcome.REFUSED else "bad_request")
        elif line.end in _NO_WORK:
            sheet.failed += 1
        else:
            sheet.gave_up += line.end is Outcome.GAVE_UP
            if line.assigned:
                sheet.worked += 1
                sheet.sent_bytes += line.sent_bytes
                in_time = line.answer_ms <= self.promises_ms.get(line.service, 0.0)
                sheet.in_time += in_time and line.end is Outcome.ANSWERED

    def _work(self, sheet: _Sheet, line: Line) -> None:
        """What a replica worked on, in the line that names its pool."""
        if not line.assigned or line.code or "." not in line.backend or line.server == STAND_IN:
            return
        place = line.tenant, line.backend
        self._busy_s[place] = self._busy_s.get(place, 0.0) + line.service_s
        if line.media is not None and line.end not in _NO_WORK:
            sheet.pixels += line.media.pixels
            sheet.media_s += line.media.seconds


def _use(sheet: _Sheet) -> TenantUse:
    return TenantUse(
        worked=sheet.worked,
        in_time=sheet.in_time,
        failed=sheet.failed,
        gave_up=sheet.gave_up,
        sent_bytes=sheet.sent_bytes,
        pixels=sheet.pixels,
        media_s=sheet.media_s,
        refused=sheet.refused,
        key_ids=frozenset(sheet.key_ids),
    )
