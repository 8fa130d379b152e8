"""A local runtime on a folder of its own, and the certainty that no test leaves a process behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from contract.replicas import ended
from tidegate.base import process_tree
from tidegate.base.clock import SystemClock
from tidegate.runtimes.local.runtime import LocalRuntime
from tidegate.spec.cluster import Cluster

Make = Callable[..., LocalRuntime]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes runtimes on the same folder, one after the other; afterwards nothing they started may be left."""
    made: list[LocalRuntime] = []

    def make_one(home: Path = tmp_path, log_bytes: int = 10 * 2**20, **spec: object) -> LocalRuntime:
        cluster = Cluster(metadata={"name": "here"}, spec={"capacity": {"cpu": 4, "memory": "8Gi"}} | spec)
        made.append(LocalRuntime(cluster, home, SystemClock(), log_bytes=log_bytes))
        return made[-1]

    yield make_one
    for runtime in made:
        await runtime.close()
    for runtime in made:
        replicas, _ = await runtime.observe()
        for replica in replicas:
            await runtime.stop(replica.id, 0)
        for replica in replicas:
            await ended(runtime, replica.id)
        await runtime.close()
    left = process_tree.marked(f"TIDEGATE_RUN={tmp_path}")
    process_tree.end_marked(f"TIDEGATE_RUN={tmp_path}")
    assert not left, f"left behind: {left}"


@pytest.fixture
async def runtime(make: Make) -> LocalRuntime:
    return make()
