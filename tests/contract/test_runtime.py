"""What every runtime does, on each of them. A new runtime joins by adding a `Bench` to `BENCHES`."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from contract.replicas import ended, one, order, running, until
from tidegate.base.clock import ManualClock, SystemClock
from tidegate.base.errors import RuntimeFault
from tidegate.runtimes.fake import FakeRuntime
from tidegate.runtimes.local.runtime import LocalRuntime
from tidegate.runtimes.protocol import Runtime
from tidegate.spec.cluster import Cluster

PRINTS = "print('one'); print('two'); print('three', flush=True); import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


@dataclass
class Bench:
    """A runtime under test, and how the outside world acts on it."""

    runtime: Runtime
    again: Callable[[], Runtime] | None
    crash: Callable[[str, int], Awaitable[None]]
    prints: Callable[[str], None]
    make_stubborn: Callable[[], None]


def fake_bench(_: Path) -> Bench:
    fake = FakeRuntime(ManualClock(1000.0), "here", capacity={"cpu": 4.0, "memory": 2.0**33})

    def prints(name: str) -> None:
        for line in ("one", "two", "three"):
            fake.write(name, line)

    def make_stubborn() -> None:
        fake.stop_s = 1000.0

    async def crash(name: str, code: int) -> None:
        fake.crash(name, code)

    return Bench(fake, None, crash, prints, make_stubborn)


def local_bench(home: Path) -> Bench:
    cluster = Cluster(metadata={"name": "here"}, spec={"capacity": {"cpu": 4, "memory": "8Gi"}})

    def make() -> LocalRuntime:
        return LocalRuntime(cluster, home, SystemClock())

    runtime = make()

    async def crash(name: str, code: int) -> None:
        seen = await one(runtime, name)
        assert seen is not None and seen.pid is not None
        os.kill(seen.pid, -code)

    return Bench(runtime, make, crash, lambda _: None, lambda: None)


BENCHES = {"fake": fake_bench, "local": local_bench}


@pytest.fixture(params=BENCHES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = BENCHES[request.param](tmp_path)
    yield bench
    replicas, _ = await bench.runtime.observe()
    for replica in replicas:
        await bench.runtime.stop(replica.id, 0)
    for replica in replicas:
        await ended(bench.runtime, replica.id)
    await bench.runtime.close()


async def test_a_started_replica_is_reported_with_what_it_is_and_where_it_listens(bench: Bench):
    wanted = order()
    await bench.runtime.start(wanted)
    seen = await running(bench.runtime)
    assert (seen.id, seen.key, seen.revision) == ("web-1", wanted.pool.key, wanted.pool.revision)
    assert seen.cluster == bench.runtime.cluster == "here"
    assert seen.address is not None and seen.address.rpartition(":")[2].isdigit()
    assert not seen.stopping and seen.exit_code is None


async def test_starting_again_changes_nothing(bench: Bench):
    await bench.runtime.start(order())
    first = await running(bench.runtime)
    await bench.runtime.start(order())
    replicas, _ = await bench.runtime.observe()
    assert replicas == (first,)


async def test_two_replicas_never_share_an_address(bench: Bench):
    for name in ("web-1", "web-2", "web-3"):
        await bench.runtime.start(order(name))
    addresses = {(await running(bench.runtime, name)).address for name in ("web-1", "web-2", "web-3")}
    assert len(addresses) == 3


async def test_a_stopped_replica_ends_and_stays_reported_until_it_is_forgotten(bench: Bench):
    await bench.runtime.start(order())
    await running(bench.runtime)
    await bench.runtime.stop("web-1", 10)
    seen = await ended(bench.runtime)
    assert seen.exit_code == -signal.SIGTERM
    assert not seen.stopping
    await bench.runtime.forget("web-1")
    assert await one(bench.runtime) is None


async def test_a_replica_that_does_not_end_in_its_grace_is_killed(bench: Bench):
    bench.make_stubborn()
    await bench.runtime.start(order(code=STUBBORN))
    await running(bench.runtime)
    if bench.again is not None:
        await _line(bench.runtime, "up")
    await bench.runtime.stop("web-1", 600)
    seen = await one(bench.runtime)
    assert seen is not None and seen.running and seen.stopping
    if isinstance(bench.runtime, FakeRuntime):
        bench.runtime.clock.advance(600)
    else:
        await bench.runtime.stop("web-1", 0.05)
    assert (await ended(bench.runtime)).exit_code == -signal.SIGKILL


async def test_stopping_again_changes_nothing(bench: Bench):
    await bench.runtime.start(order())
    await running(bench.runtime)
    await bench.runtime.stop("web-1", 10)
    await bench.runtime.stop("web-1", 10)
    assert (await ended(bench.runtime)).exit_code == -signal.SIGTERM
    await bench.runtime.stop("web-1", 10)


async def test_a_replica_that_ends_by_itself_is_reported_with_how(bench: Bench):
    await bench.runtime.start(order())
    await running(bench.runtime)
    await bench.crash("web-1", -signal.SIGKILL)
    seen = await ended(bench.runtime)
    assert seen.exit_code == -signal.SIGKILL


async def test_a_living_replica_is_not_forgotten(bench: Bench):
    await bench.runtime.start(order())
    await running(bench.runtime)
    await bench.runtime.forget("web-1")
    assert await one(bench.runtime) is not None


async def test_unknown_ids_are_ignored(bench: Bench):
    await bench.runtime.stop("nobody", 1)
    await bench.runtime.forget("nobody")
    assert (await bench.runtime.observe())[0] == ()


async def test_logs_are_the_last_lines_of_the_output(bench: Bench):
    await bench.runtime.start(order(code=PRINTS))
    await running(bench.runtime)
    bench.prints("web-1")
    await _line(bench.runtime, "three")
    assert [line async for line in bench.runtime.logs("web-1", tail=2)] == ["two", "three"]


async def test_logs_of_an_unknown_replica_are_refused(bench: Bench):
    with pytest.raises(RuntimeFault, match="no log of replica nobody"):
        [line async for line in bench.runtime.logs("nobody")]


async def test_capacity_is_the_manifests_and_used_is_what_living_replicas_were_given(bench: Bench):
    await bench.runtime.start(order("web-1", resources={"cpu": 0.5, "memory": "256Mi"}))
    await bench.runtime.start(order("web-2", resources={"cpu": 1.5, "memory": "256Mi"}))
    _, cluster = await bench.runtime.observe()
    assert cluster.capacity == {"cpu": 4.0, "memory": 2.0**33}
    assert cluster.used == {"cpu": 2.0, "memory": 2.0**29}
    await bench.runtime.stop("web-2", 0)
    await ended(bench.runtime, "web-2")
    _, cluster = await bench.runtime.observe()
    assert cluster.used == {"cpu": 0.5, "memory": 2.0**28}


async def test_closing_leaves_replicas_running_and_the_next_runtime_takes_them_over(bench: Bench):
    if bench.again is None:
        pytest.skip("the fake keeps its replicas in memory")
    await bench.runtime.start(order())
    before = await running(bench.runtime)
    await bench.runtime.close()
    bench.runtime = bench.again()
    assert (await bench.runtime.observe())[0] == (before,)
    await bench.runtime.stop("web-1", 10)
    assert (await ended(bench.runtime)).exit_code == -signal.SIGTERM


async def _line(runtime: Runtime, wanted: str) -> None:
    async def lines() -> list[str]:
        try:
            return [line async for line in runtime.logs("web-1")]
        except RuntimeFault:
            return []

    if not isinstance(runtime, FakeRuntime):
        await until(lines, lambda found: wanted in found)
