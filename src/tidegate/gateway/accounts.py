"""Counting requests per tenant from the lines the proxy writes. Pure but for its own counters.

The last cell of a line is the account (see `access.LOG_FIELDS`), with "-" for what is not known:

    tenant=SERVICE,TENANT,KEY,CODE,ADMITTED,BYTES

A large request passes the proxy twice; only its line at the entrance names a tenant, so it counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.gateway.meter import Outcome, outcome
from tidegate.model.admission import TenantUse

_MARK = "tenant="


@dataclass(slots=True)
class _Sheet:
    worked: int = 0
    in_time: int = 0
    failed: int = 0
    gave_up: int = 0
    sent_bytes: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    key_ids: set[str] = field(default_factory=set)

    def refuse(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1


class Accounts:
    """Adds up lines per tenant; `promises_ms` says per service within how many milliseconds an answer is in time."""

    def __init__(self) -> None:
        self.promises_ms: Mapping[str, float] = {}
        self._sheets: dict[str, _Sheet] = {}
        self._rest = b""

    def take(self) -> dict[str, TenantUse]:
        """The counts since the last call, by tenant; "" for refused requests of nobody known."""
        sheets, self._sheets = self._sheets, {}
        return {
            name: TenantUse(s.worked, s.in_time, s.failed, s.gave_up, s.sent_bytes, s.refused, frozenset(s.key_ids))
            for name, s in sheets.items()
        }

    def feed(self, data: bytes) -> None:
        """Take over what was read; the last line may be incomplete and is kept."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            _, mark, account = line.decode("ascii", "replace").rpartition(_MARK)
            cells = account.split(",")
            if mark and len(cells) == 6 and (cells[1], cells[3]) != ("-", "-"):
                self._count(line.decode("ascii", "replace").split(" "), *cells)

    def _count(
        self, cells: list[str], service: str, tenant: str, key: str, code: str, admitted: str, size: str
    ) -> None:
        sheet = self._sheets.setdefault("" if tenant == "-" else tenant, _Sheet())
        if key != "-":
            sheet.key_ids.add(key)
        if code != "-" or admitted == "-":
            sheet.refuse(code)
            return
        assigned = cells[2] != "<NOSRV>"
        end = outcome(cells[4], int(cells[3]), assigned)
        if end in (Outcome.REFUSED, Outcome.REJECTED):
            sheet.refuse("no_capacity" if end is Outcome.REFUSED else "bad_request")
        elif end in (Outcome.FAILED, Outcome.FAILED_ANSWER):
            sheet.failed += 1
        else:
            sheet.gave_up += end is Outcome.GAVE_UP
            if end is Outcome.GAVE_UP and not assigned:
                return
            sheet.worked += 1
            sheet.sent_bytes += int(size)
            sheet.in_time += end is Outcome.ANSWERED and self._in_time(cells, service)

    def _in_time(self, cells: list[str], service: str) -> bool:
        head_ms, up_us, active_ms = int(cells[5]), cells[6], int(cells[10])
        upload_ms = int(up_us) / 1000 if up_us != "-" else 0.0
        return active_ms - max(0, head_ms) - upload_ms <= self.promises_ms.get(service, 0.0)
