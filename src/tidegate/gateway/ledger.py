"""From what the workers count and what the lines add up to, to loads per pool and servers by replica. Pure.

Works over any number of reloads: nothing depends on a worker's totals living on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tidegate.base.times import times_of
from tidegate.gateway.meter import ServerTally, Tally
from tidegate.gateway.names import STAND_IN, backend_name
from tidegate.gateway.tables import BackendRow
from tidegate.model.observed import GatewaySeen, PoolLoad, ServerSeen
from tidegate.model.snapshot import Snapshot
from tidegate.spec.resolve import PoolKey

Seen = Mapping[int, Mapping[str, BackendRow]]


class Ledger:
    """Remembers, per pool, how many requests were inside at the end of the last interval.

    Arrivals follow from what ended and what is inside now: 7 ended, 3 inside, 2 inside before: 8 arrived. The
    workers' own totals would lose what came in between the last look at a worker and its end. Those totals serve as a
    floor in an interval in which lines were lost.
    """

    def __init__(self) -> None:
        self._inside: dict[str, int] = {}
        self._totals: dict[int, dict[str, int]] = {}
        self._lost: dict[int, int] = {}
        self._closed_at = 0.0

    def open(self, seen: Seen, monotonic: float) -> None:
        """Begin anew: what the workers hold and have counted so far is not part of the first interval."""
        self._inside, self._totals, self._closed_at = _inside(seen), _totals(seen), monotonic

    def close_interval(
        self,
        snapshot: Snapshot,
        version: str | None,
        seen: Seen,
        tallies: Mapping[str, Tally],
        lost: Mapping[int, int],
        at: float,
        monotonic: float,
    ) -> tuple[GatewaySeen, dict[PoolKey, PoolLoad]]:
        """What happened since the last call; `seen` has the accepting worker first."""
        interval_s = monotonic - self._closed_at
        unmeasured = sum(max(0, n - self._lost.get(pid, 0)) for pid, n in lost.items())
        arrived = self._arrived(seen, tallies, unmeasured > 0)
        self._lost, self._closed_at = dict(lost), monotonic
        loads = {}
        for service in snapshot.services:
            for pool in service.pools:
                name = backend_name(pool.key)
                rows = [pools[name] for pools in seen.values() if name in pools]
                loads[pool.key] = _load(rows, arrived.get(name, 0), tallies.get(name, Tally()), at, interval_s)
        return GatewaySeen(version, _servers(seen, tallies), unmeasured), loads

    def _arrived(self, seen: Seen, tallies: Mapping[str, Tally], lines_lost: bool) -> dict[str, int]:
        inside, totals = _inside(seen), _totals(seen)
        arrived: dict[str, int] = {}
        for name in {*inside, *tallies, *self._inside}:
            ended = tallies[name].ended if name in tallies else 0
            arrived[name] = ended + inside.get(name, 0) - self._inside.get(name, 0)
            if lines_lost:
                counted = sum(t.get(name, 0) - self._totals.get(pid, {}).get(name, 0) for pid, t in totals.items())
                arrived[name] = max(arrived[name], counted)
            # A line read just before its request is seen to be gone gives -1 here and +1 next time.
            inside[name] = inside.get(name, 0) - min(0, arrived[name])
        self._inside, self._totals = inside, totals
        return {name: max(0, count) for name, count in arrived.items()}


def _inside(seen: Seen) -> dict[str, int]:
    inside: dict[str, int] = {}
    for pools in seen.values():
        for name, row in pools.items():
            inside[name] = inside.get(name, 0) + row.inside
    return inside


def _totals(seen: Seen) -> dict[int, dict[str, int]]:
    return {pid: {name: row.arrivals for name, row in pools.items()} for pid, pools in seen.items()}


def _load(rows: list[BackendRow], arrivals: int, tally: Tally, at: float, interval_s: float) -> PoolLoad:
    in_flight = sum(r.in_flight for r in rows)
    return PoolLoad(
        at=at,
        interval_s=interval_s,
        arrivals=arrivals,
        finished=tally.finished,
        in_time=tally.in_time,
        failed=tally.failed,
        gave_up=tally.gave_up,
        refused=tally.refused,
        in_flight=in_flight,
        queued=max(0, sum(r.inside for r in rows) - in_flight),
        service_s_sum=tally.service_s_sum,
        service_s2_sum=tally.service_s2_sum,
        wait_s_sum=tally.wait_s_sum,
        waited_in_vain=tally.waited_in_vain,
    )


def _servers(seen: Seen, tallies: Mapping[str, Tally]) -> dict[str, ServerSeen]:
    """Servers of the accepting worker, and those an old worker still has requests on (they count as draining)."""
    servers: dict[str, ServerSeen] = {}
    for position, pools in enumerate(seen.values()):
        for name, backend in pools.items():
            counted = _known(tallies[name].servers, backend) if name in tallies else {}
            for row in backend.servers.values():
                known = servers.get(row.name)
                if known is None and (position == 0 or row.in_flight):
                    mine = counted.get(row.name, ServerTally())
                    draining = row.closed or position > 0
                    servers[row.name] = ServerSeen(
                        draining=draining,
                        up=row.up,
                        in_flight=row.in_flight,
                        finished=mine.finished,
                        failed=mine.failed,
                        service_s_sum=mine.service_s_sum,
                        connect_s=row.connect_s,
                        times=times_of(mine.times),
                    )
                elif known is not None:
                    servers[row.name] = _plus(known, row.in_flight)
    return servers


def _known(counted: Mapping[str, ServerTally], backend: BackendRow) -> Mapping[str, ServerTally]:
    """What the pool answered for its canary is a failure of the canary: of its first replica, mostly the only one."""
    stood_in, first = counted.get(STAND_IN), min(backend.servers, default=None)
    if stood_in is None or first is None:
        return counted
    mine = counted.get(first, ServerTally())
    return {**counted, first: replace(mine, failed=mine.failed + stood_in.failed)}


def _plus(server: ServerSeen, in_flight: int) -> ServerSeen:
    return replace(server, in_flight=server.in_flight + in_flight)
