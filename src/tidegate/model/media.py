"""What the media of requests were, counted at the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MediaSeen:
    """Requests with media that one pool got since the gateway's driver began; services that screen nothing have none.

    `requests` counts them by the type of their largest medium (`image/jpeg`); `unread` of them were judged by their
    bytes. `pixels`, `seconds` and `bytes` are sums over all their media, the first two without what was judged.
    """

    requests: Mapping[str, int] = field(default_factory=dict)
    unread: int = 0
    pixels: int = 0
    seconds: float = 0.0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class MediaCounts:
    """By pool (`service/pool`) what it got; by service, and by code, what was refused for its media."""

    pools: Mapping[str, MediaSeen] = field(default_factory=dict)
    refused: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
