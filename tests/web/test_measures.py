"""What Prometheus reads of pools and gateway."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest

from tidegate.model.status import GatewayStatus
from tidegate.web.measures import Measures
from web.world import FakeControl


def test_pools_refusals_and_ends_of_certificates_have_samples():
    gateway = GatewayStatus(up=True, refused={"bad_path": 3}, certificates={"/tls/a.pem": 1.8e9})
    registry = CollectorRegistry()
    registry.register(Measures(replace(FakeControl().now, gateway=gateway)))
    text = generate_latest(registry).decode()
    for sample in (
        'tidegate_gateway_refused_total{code="bad_path"} 3.0',
        'tidegate_gateway_certificate_end_seconds{file="/tls/a.pem"} 1.8e+09',
        "tidegate_gateway_up 1.0",
        'tidegate_pool_ready{pool="default",service="face-fusion"} 1.0',
    ):
        assert sample in text, sample
