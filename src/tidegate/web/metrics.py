"""What the control process counts, as Prometheus reads it; the proxy's own figures are at its management port."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from tidegate.model.status import Status
from tidegate.model.tenancy import TenancyStatus, TenantStatus
from tidegate.web.measures import Measures
from tidegate.web.media_measures import MediaMeasures

CONTENT_TYPE = CONTENT_TYPE_LATEST
GZIP_LEVEL = 1
"""The megabyte of a thousand tenants becomes 50 kB in a millisecond; higher levels spare a tenth of that."""

_COUNTS = {
    "worked": "Requests a replica answered, or that the client left while one worked on them.",
    "in_time": "Requests that were answered within the promise of their service.",
    "failed": "Requests that a replica failed to answer.",
    "gave_up": "Requests that the client left before their answer.",
}
_GAUGES = {
    "in_progress": "Requests now, waiting ones included.",
    "queued": "Requests that wait now for a replica.",
    "active_keys": "Keys in force.",
    "requests_today": "Requests of the tenant's day so far.",
    "bytes_today": "Bytes sent by the tenant in its day so far.",
    "megapixels_today": "Megapixels of the media in them; what could not be read by its size in bytes.",
    "media_seconds_today": "Seconds of the sound and film in them, counted in the same way.",
}
_LIMITS = {
    "requests_per_day": "Requests a day at most.",
    "bytes_per_day": "Bytes a day at most.",
    "megapixels_per_day": "Megapixels a day at most.",
    "media_seconds_per_day": "Seconds of sound and film a day at most.",
    "requests_per_s": "Requests a second in the long run at most.",
    "concurrency": "Requests in progress at most.",
}


def takes_gzip(accept_encoding: str) -> bool:
    """Whether who sends this header takes gzip, as Prometheus does."""
    for offer in accept_encoding.lower().split(","):
        name, _, weight = offer.partition(";")
        if name.strip() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def text(tenancy: TenancyStatus, status: Status) -> bytes:
    """The metrics of tenants, pools, gateway and media."""
    registry = CollectorRegistry()
    registry.register(Measures(status))
    registry.register(_Collector(tenancy))
    registry.register(MediaMeasures(status.gateway.media))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, tenancy: TenancyStatus) -> None:
        self._tenancy = tenancy

    def collect(self) -> Iterator[Metric]:
        tenants = self._tenancy.tenants
        for name, meaning in _COUNTS.items():
            counter = CounterMetricFamily(f"tidegate_tenant_{name}_requests", meaning, labels=["tenant"])
            for tenant in tenants:
                counter.add_metric([tenant.name], getattr(tenant, name))
            yield counter
        for name, meaning in _GAUGES.items():
            yield _gauge(f"tidegate_tenant_{name}", meaning, name, tenants)
        for name, meaning in _LIMITS.items():
            yield _gauge(f"tidegate_tenant_limit_{name}", meaning, name, tenants)
        refused = CounterMetricFamily(
            "tidegate_tenant_refused_requests",
            "Requests refused, by code; tenant none: unknown.",
            labels=["tenant", "code"],
        )
        for who, codes in (*((t.name, t.refused) for t in tenants), ("", self._tenancy.refused_unknown)):
            for code, count in sorted(codes.items()):
                refused.add_metric([who, code], count)
        yield refused


def _gauge(name: str, meaning: str, field: str, tenants: tuple[TenantStatus, ...]) -> GaugeMetricFamily:
    """A tenant without this limit has no sample."""
    gauge = GaugeMetricFamily(name, meaning, labels=["tenant"])
    for tenant in tenants:
        value = getattr(tenant, field)
        if value is not None:
            gauge.add_metric([tenant.name], value)
    return gauge
