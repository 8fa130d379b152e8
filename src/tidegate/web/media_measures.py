"""The measures of the media screen, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from tidegate.model.media import MediaCounts

_MEDIA_SUMS = {
    "pixels": "Pixels of the media a pool was sent, as far as they could be read.",
    "seconds": "Seconds of sound and film a pool was sent, as far as they could be read.",
    "bytes": "Bytes of the media a pool was sent.",
}


class MediaMeasures(Collector):
    """What the media screen saw and refused."""

    def __init__(self, media: MediaCounts) -> None:
        self._media = media

    def collect(self) -> Iterator[Metric]:
        pools = {tuple(name.split("/", 1)): seen for name, seen in sorted(self._media.pools.items())}
        requests = CounterMetricFamily(
            "tidegate_media_requests",
            "Requests with media, by pool and type of the largest.",
            labels=["service", "pool", "type"],
        )
        unread = CounterMetricFamily(
            "tidegate_media_unread_requests", "Those judged by their bytes.", labels=["service", "pool"]
        )
        for pool, seen in pools.items():
            for kind, count in sorted(seen.requests.items()):
                requests.add_metric([*pool, kind], count)
            unread.add_metric(pool, seen.unread)
        yield requests
        yield unread
        for name, meaning in _MEDIA_SUMS.items():
            total = CounterMetricFamily(f"tidegate_media_{name}", meaning, labels=["service", "pool"])
            for pool, seen in pools.items():
                total.add_metric(pool, getattr(seen, name))
            yield total
        refused = CounterMetricFamily(
            "tidegate_media_refused_requests", "Requests refused for their media, by code.", labels=["service", "code"]
        )
        for service, codes in sorted(self._media.refused.items()):
            for code, count in sorted(codes.items()):
                refused.add_metric([service, code], count)
        yield refused
