"""How many requests of each tenant are in progress, and how many of them wait.

The proxy counts per tenant what is in progress, and per tenant and pool what is inside (waiting or on a replica); per
pool it knows what is on replicas. While one tenant uses a pool, the rest of its requests wait. Between several, the
replicas' places are given out by how long replicas worked for each of them lately, nobody more than it has inside; what
is left of each one's requests waits. Worked example: 10 places; A has 30 inside, B 4; replicas worked 6 s for A and 2 s
for B. A gets 7 or 8 of the places, B the others; so 22 or 23, and 2 or 1, wait, together 24.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping

from tidegate.gateway.access import TENANTS_TABLE
from tidegate.gateway.master import MasterSocket
from tidegate.gateway.sharing import NOBODY, SHARES_TABLE
from tidegate.gateway.tables import BackendRow, read_table

_LEAST_S = 1e-6

Busy = Mapping[tuple[str, str], float]


async def look(
    master: MasterSocket, seen: Mapping[int, Mapping[str, BackendRow]], busy_s: Busy
) -> tuple[dict[str, int], dict[str, int]]:
    """By tenant, requests in progress and those of them that wait. `busy_s` is by tenant and backend."""
    in_progress = await _counts(master, seen, TENANTS_TABLE)
    inside: dict[str, dict[str, int]] = {}
    for holder, n in (await _counts(master, seen, SHARES_TABLE)).items():
        tenant, _, backend = holder.partition("@")
        if n:
            inside.setdefault(backend, {})[tenant] = n
    queued: dict[str, int] = {}
    for backend, held in inside.items():
        on_replicas = sum(pools[backend].in_flight for pools in seen.values() if backend in pools)
        for tenant, n in waiting(held, on_replicas, {t: busy_s.get((t, backend), 0.0) for t in held}).items():
            if tenant != NOBODY:
                queued[tenant] = queued.get(tenant, 0) + n
    return in_progress, queued


def waiting(inside: Mapping[str, int], on_replicas: int, busy_s: Mapping[str, float]) -> dict[str, int]:
    """Of one pool, by tenant; together exactly what waits."""
    wait = dict(inside)
    if on_replicas >= sum(inside.values()):
        return dict.fromkeys(inside, 0)
    # The next place goes to whoever is farthest below its part of them.
    pull = {name: max(busy_s.get(name, 0.0), _LEAST_S) for name in inside}
    turns = [(1 / pull[name], name) for name in inside]
    heapq.heapify(turns)
    for _ in range(on_replicas):
        turn, name = heapq.heappop(turns)
        wait[name] -= 1
        if wait[name]:
            heapq.heappush(turns, (turn + 1 / pull[name], name))
    return wait


async def _counts(master: MasterSocket, seen: Mapping[int, Mapping[str, BackendRow]], table: str) -> dict[str, int]:
    """The counters of every worker, added up."""
    counts: dict[str, int] = {}
    ask = (master.worker(pid, f"show table {table}", old=i > 0) for i, pid in enumerate(seen))
    for answer in await asyncio.gather(*ask, return_exceptions=True):
        for name, n in read_table(answer if isinstance(answer, str) else "").items():
            counts[name] = counts.get(name, 0) + n
    return counts
