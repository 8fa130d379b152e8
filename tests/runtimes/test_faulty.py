"""Faults of clusters that come and go by a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from policy.world import cluster, service
from tidegate.base.clock import ManualClock
from tidegate.base.errors import RuntimeFault
from tidegate.runtimes.fake import FakeRuntime
from tidegate.runtimes.faulty import FaultyRuntime
from tidegate.runtimes.protocol import StartOrder
from tidegate.spec.resolve import Specs


def order(name: str) -> StartOrder:
    return StartOrder(name, Specs.of((service(),), (cluster(),)).pools[0])


async def test_a_file_says_what_is_wrong_with_a_cluster_now(tmp_path: Path):
    clock, file = ManualClock(), tmp_path / "faults.json"
    runtime = FaultyRuntime(FakeRuntime(clock, "here"), file, clock)
    await runtime.start(order("r1"))
    assert [r.id for r in (await runtime.observe())[0]] == ["r1"]
    file.write_text(json.dumps({"here": {"cut": True}}))
    with pytest.raises(RuntimeFault, match="cut off"):
        await runtime.observe()
    with pytest.raises(RuntimeFault):
        await runtime.stop("r1", 1)
    file.write_text(json.dumps({"here": {"refuse": True}}))
    assert not (await runtime.observe())[1].healthy
    file.write_text(json.dumps({"here": {"hang": True}}))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(runtime.observe(), 0.01)
    file.write_text("{}")
    assert (await runtime.observe())[1].healthy


async def test_replicas_without_a_place_wait_until_they_are_stopped(tmp_path: Path):
    clock, file = ManualClock(), tmp_path / "faults.json"
    file.write_text(json.dumps({"here": {"places": 1}}))
    runtime = FaultyRuntime(FakeRuntime(clock, "here"), file, clock)
    for name in ("r1", "r2"):
        await runtime.start(order(name))
    assert {r.id: r.placed for r in (await runtime.observe())[0]} == {"r1": True, "r2": False}
    await runtime.stop("r2", 1)
    assert {r.id: r.running for r in (await runtime.observe())[0]} == {"r1": True, "r2": False}
    await runtime.forget("r2")
    assert [r.id for r in (await runtime.observe())[0]] == ["r1"]
