"""The switches of the fake runtime; what it shares with real ones is in the contract suite."""

from __future__ import annotations

import pytest

from contract.replicas import one, order
from tidegate.base.clock import ManualClock
from tidegate.base.errors import RuntimeFault
from tidegate.runtimes.fake import FakeRuntime


@pytest.fixture
def fake() -> FakeRuntime:
    return FakeRuntime(ManualClock(100.0))


async def test_the_next_start_fails_once(fake: FakeRuntime):
    fake.fail_next_start = "no room"
    with pytest.raises(RuntimeFault, match="no room"):
        await fake.start(order())
    await fake.start(order())
    assert await one(fake) is not None


async def test_a_vanished_cluster_answers_nothing_and_keeps_its_replicas(fake: FakeRuntime):
    await fake.start(order())
    fake.vanished = True
    with pytest.raises(RuntimeFault, match="cannot be seen"):
        await fake.observe()
    fake.vanished = False
    assert await one(fake) is not None


async def test_replicas_are_seen_late_and_open_later(fake: FakeRuntime):
    fake.lag_s, fake.startup_s = 2.0, 5.0
    await fake.start(order())
    assert await one(fake) is None
    fake.clock.advance(2)
    assert (await one(fake)).address is None
    fake.clock.advance(3)
    assert (await one(fake)).address is not None


async def test_a_replica_can_be_made_never_to_open(fake: FakeRuntime):
    fake.never_ready = True
    await fake.start(order())
    fake.clock.advance(1e6)
    assert (await one(fake)).address is None


async def test_the_cluster_can_lie_about_its_capacity(fake: FakeRuntime):
    fake.claims = {"cpu": 1000.0}
    assert (await fake.observe())[1].capacity == {"cpu": 1000.0}


async def test_a_crash_is_reported_with_its_code(fake: FakeRuntime):
    await fake.start(order())
    fake.crash("web-1", 137, "out of memory")
    seen = await one(fake)
    assert (seen.running, seen.exit_code, seen.detail) == (False, 137, "out of memory")


async def test_a_slow_stop_takes_its_time_within_the_grace(fake: FakeRuntime):
    fake.stop_s = 10.0
    await fake.start(order())
    await fake.stop("web-1", 30)
    fake.clock.advance(9)
    assert (await one(fake)).stopping
    fake.clock.advance(1)
    assert (await one(fake)).exit_code == -15
