"""How often the gateway itself said no, by code: requests from the proxy's lines, connections from its statistics."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.gateway.tables import read_turned_away

TURNED_AWAY = "too_many_connections"


class Refusals:
    """Connections that were turned away, over any number of workers."""

    def __init__(self) -> None:
        self._ended = 0
        self._by_worker: dict[int, int] = {}

    def look(self, stats: Mapping[int, str]) -> None:
        """Take over what `show stat` of every worker says; one that is not there any more keeps its last count."""
        for worker in self._by_worker.keys() - stats.keys():
            self._ended += self._by_worker.pop(worker)
        self._by_worker |= {worker: read_turned_away(text) for worker, text in stats.items()}

    def with_requests(self, requests: Mapping[str, int]) -> dict[str, int]:
        """All counts, the refused requests included; what never happened is left out."""
        turned_away = self._ended + sum(self._by_worker.values())
        counts = dict(requests) | {TURNED_AWAY: turned_away}
        return {code: count for code, count in sorted(counts.items()) if count}
