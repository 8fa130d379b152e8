"""Counting what the screen saw, from the records in the proxy's lines. Pure but for its own counters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tidegate.gateway.lines import Media
from tidegate.model.media import MediaCounts, MediaSeen

_REFUSAL = "media_"


@dataclass(slots=True)
class _Sheet:
    requests: dict[str, int] = field(default_factory=dict)
    unread: int = 0
    pixels: int = 0
    seconds: float = 0.0
    bytes: int = 0


class Viewings:
    """Adds up records per pool, and refusals per service and code."""

    def __init__(self) -> None:
        self._pools: dict[str, _Sheet] = {}
        self._refused: dict[str, Counter[str]] = {}

    def counts(self) -> MediaCounts:
        """All counts so far."""
        pools = {
            backend.replace(".", "/", 1): MediaSeen(dict(s.requests), s.unread, s.pixels, s.seconds, s.bytes)
            for backend, s in self._pools.items()
        }
        return MediaCounts(pools, {service: dict(codes) for service, codes in self._refused.items()})

    def refused(self, service: str, code: str) -> None:
        """A request that was refused at the entrance; other codes than the screen's are not counted here."""
        if code.startswith(_REFUSAL):
            self._refused.setdefault(service, Counter())[code] += 1

    def passed(self, backend: str, media: Media) -> None:
        """A request that its pool got, with what was read of its media."""
        sheet = self._pools.get(backend)
        if sheet is None:
            sheet = self._pools[backend] = _Sheet()
        sheet.requests[media.type] = sheet.requests.get(media.type, 0) + 1
        sheet.bytes += media.bytes
        if media.known:
            sheet.pixels += media.pixels
            sheet.seconds += media.seconds
        else:
            sheet.unread += 1
