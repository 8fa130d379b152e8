"""The status as Prometheus reads it: pools, and what the gateway refused. Tenants are in `metrics`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidegate.model.status import Status

_POOL = {
    "wanted": "Replicas wanted.",
    "ready": "Replicas ready.",
    "starting": "Replicas that start or prepare.",
    "draining": "Replicas that drain.",
    "pending": "Replicas wanted that fit nowhere.",
    "slots": "Requests the ready replicas can work on at a time.",
    "in_flight": "Requests on replicas.",
    "queued": "Requests in the gateway's queue.",
}


class Measures(Collector):
    """One status."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        pools = [pool for service in self._status.services for pool in service.pools]
        for name, meaning in _POOL.items():
            gauge = GaugeMetricFamily(f"tidegate_pool_{name}", meaning, labels=["service", "pool"])
            for pool in pools:
                gauge.add_metric([pool.service, pool.pool], getattr(pool, name))
            yield gauge
        gateway = self._status.gateway
        yield GaugeMetricFamily("tidegate_gateway_up", "Whether the gateway answers.", float(gateway.up))
        refused = CounterMetricFamily("tidegate_gateway_refused", "What the gateway itself refused.", labels=["code"])
        for code, count in sorted(gateway.refused.items()):
            refused.add_metric([code], count)
        yield refused
        ends = GaugeMetricFamily(
            "tidegate_gateway_certificate_end_seconds", "When a certificate ends, seconds since 1970.", labels=["file"]
        )
        for file, until_at in sorted(gateway.certificates.items()):
            ends.add_metric([file], until_at)
        yield ends
