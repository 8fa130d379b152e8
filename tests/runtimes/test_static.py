"""Hosts that somebody else runs: reported, never started or stopped."""

from __future__ import annotations

import pytest

from contract.replicas import order
from tidegate.base.clock import ManualClock
from tidegate.base.errors import RuntimeFault
from tidegate.runtimes.static import StaticRuntime
from tidegate.spec.cluster import Cluster

HOSTS = [{"service": "ocr", "address": "10.0.0.5:8080"}, {"service": "ocr", "pool": "large", "address": "big:80"}]


@pytest.fixture
def runtime() -> StaticRuntime:
    return StaticRuntime(Cluster(metadata={"name": "rack"}, spec={"runtime": "static", "hosts": HOSTS}), ManualClock(5))


async def test_every_host_is_a_running_replica(runtime: StaticRuntime):
    replicas, cluster = await runtime.observe()
    assert [(r.id, str(r.key), r.address, r.running) for r in replicas] == [
        ("ocr-default-10.0.0.5-8080", "ocr/default", "10.0.0.5:8080", True),
        ("ocr-large-big-80", "ocr/large", "big:80", True),
    ]
    assert cluster.capacity == {} and cluster.detail == "2 fixed hosts, run by others"


async def test_starting_and_stopping_are_refused_with_what_to_do_instead(runtime: StaticRuntime):
    with pytest.raises(RuntimeFault, match=r"add the address to spec\.hosts of Cluster rack"):
        await runtime.start(order())
    with pytest.raises(RuntimeFault, match="somebody else runs it"):
        await runtime.stop("ocr-large-big-80", 1)
    await runtime.stop("nobody", 1)
    await runtime.forget("nobody")
