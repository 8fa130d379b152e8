"""The numbers of the last minutes, so that a page that is opened now shows how it came to this."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tidegate.model.status import History, PoolHistory, PoolStatus, Status

KEPT_S = 300.0
STEP_S = 5.0  # between two rows: a page draws some two pixels for each

_Row = dict[tuple[str, str], PoolStatus]


@dataclass(slots=True)
class Past:
    """A row every few seconds, of the last five minutes; begins anew when the clock is set back."""

    rows: deque[tuple[float, _Row]] = field(default_factory=deque)

    def add(self, status: Status) -> None:
        """Take in a status, when the last one that was kept is old enough."""
        if self.rows and status.at < self.rows[-1][0]:
            self.rows.clear()
        if self.rows and status.at < self.rows[-1][0] + STEP_S:
            return
        numbers = {(p.service, p.pool): p for s in status.services for p in s.pools}
        self.rows.append((status.at, {key: _numbers(pool) for key, pool in numbers.items()}))
        while self.rows[0][0] < status.at - KEPT_S:
            self.rows.popleft()

    def told(self) -> History:
        """By pool, oldest first; None where a pool did not exist yet or nothing was measured."""
        keys = dict.fromkeys(key for _, row in self.rows for key in row)
        return History(
            at=tuple(at for at, _ in self.rows),
            pools=tuple(self._pool(*key) for key in keys),
        )

    def _pool(self, service: str, pool: str) -> PoolHistory:
        rows = [row.get((service, pool)) for _, row in self.rows]
        return PoolHistory(
            service,
            pool,
            ready=tuple(r.ready if r else None for r in rows),
            wanted=tuple(r.wanted if r else None for r in rows),
            queued=tuple(r.queued if r else None for r in rows),
            arrival_per_s=tuple(r.arrival_per_s if r else None for r in rows),
            wait_ms_mean=tuple(r.wait_ms_mean if r else None for r in rows),
            service_ms_mean=tuple(r.service_ms_mean if r else None for r in rows),
        )


def _numbers(pool: PoolStatus) -> PoolStatus:
    """Without replicas and reasons, which nobody asks the past for."""
    return PoolStatus(
        pool.service,
        pool.pool,
        pool.revision,
        pool.wanted,
        ready=pool.ready,
        queued=pool.queued,
        arrival_per_s=pool.arrival_per_s,
        wait_ms_mean=pool.wait_ms_mean,
        service_ms_mean=pool.service_ms_mean,
    )
