"""Starting the proxy, and how many connections a machine affords."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.world import PATIENCE_S, until
from tidegate.gateway.binary import Binary
from tidegate.gateway.process import ProxyProcess, affordable_connections

KIB, GIB = 2**10, 2**30


@pytest.mark.parametrize(
    ("descriptors", "memory", "affordable"),
    [
        (resource.RLIM_INFINITY, 64 * GIB, 20_000),
        (20_000, 64 * GIB, 9_500),
        (resource.RLIM_INFINITY, 2 * GIB, 4_297),
        (500, GIB, 50),
    ],
)
def test_it_follows_from_descriptors_and_memory(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, memory: int, affordable: int
):
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, descriptors))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=memory))
    assert affordable_connections(20_000, 244 * KIB) == affordable


async def test_who_is_cancelled_waits_for_the_start_that_is_under_way(tmp_path: Path):
    program = tmp_path / "proxy"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.01; done\n")
    program.chmod(0o755)
    process = ProxyProcess(tmp_path, tmp_path / "master.sock", tmp_path / "pipe")
    task = asyncio.create_task(process.launch(Binary(program, (3, 0))))

    async def begun() -> bool:
        return (tmp_path / "begun").exists()

    await until(begun)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    (tmp_path / "go").touch()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE_S)
    assert task.cancelled()
