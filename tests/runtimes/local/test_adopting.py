"""What the next Tidegate finds: replicas go on when the control process is killed, and are taken over or ended."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from contract.replicas import PATIENCE_S, SERVER, ended, one, order, running, until
from tidegate.base import process_tree
from tidegate.base.errors import RuntimeFault
from tidegate.runtimes.local.records import Folder, write
from tidegate.runtimes.local.runtime import LocalRuntime

# A control process that only starts replicas and then waits to be killed.
CONTROL = f"""
import asyncio, sys
from pathlib import Path
sys.path[:0] = {[p for p in sys.path if p]!r}
from contract.replicas import SERVER, order
from tidegate.base.clock import SystemClock
from tidegate.runtimes.local.runtime import LocalRuntime
from tidegate.spec.cluster import Cluster
async def main():
    cluster = Cluster(metadata={{"name": "here"}}, spec={{"capacity": {{"cpu": 4, "memory": "8Gi"}}}})
    runtime = LocalRuntime(cluster, Path(sys.argv[1]), SystemClock())
    print("begun", flush=True)
    for n in range(1, int(sys.argv[2]) + 1):
        await runtime.start(order(f"web-{{n}}", SERVER if sys.argv[3] == "serve" else "import time; time.sleep(600)"))
    print("started", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def control(home: Path, count: int, what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CONTROL, str(home), str(count), what], stdout=subprocess.PIPE, text=True
    )


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def ask(address: str | None) -> bytes:
    with urllib.request.urlopen(f"http://{address}/", timeout=PATIENCE_S) as answer:
        return answer.read()


async def test_replicas_outlive_a_killed_control_process_and_are_adopted(make, tmp_path: Path):
    process = control(tmp_path, 2, "serve")
    assert process.stdout is not None
    while process.stdout.readline() != "started\n":
        pass
    kill(process)
    runtime = make()
    seen = [await running(runtime, name) for name in ("web-1", "web-2")]
    for replica in seen:
        await until(lambda: _listens(runtime, replica.id), bool)  # noqa: B023 - awaited within the turn
        assert await asyncio.to_thread(ask, replica.address) == b"ok"
    await runtime.stop("web-1", 10)
    assert (await ended(runtime, "web-1")).exit_code == -signal.SIGTERM


async def _listens(runtime: LocalRuntime, name: str) -> bool:
    return "listening" in await lines_of(runtime, name)


async def lines_of(runtime: LocalRuntime, name: str = "web-1") -> list[str]:
    return [line async for line in runtime.logs(name)]


async def test_a_kill_at_any_instant_leaves_only_replicas_that_are_known(make, tmp_path: Path):
    dice = random.Random(7)
    for round_number in range(4):
        home = tmp_path / str(round_number)
        process = control(home, 8, "sleep")
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(dice.uniform(0, 0.03))  # the instant is the subject: anywhere within eight starts
        kill(process)
        runtime = make(home)
        replicas, _ = await runtime.observe()
        alive = {r.id for r in replicas if r.running}
        marks = set(process_tree.marked(f"TIDEGATE_RUN={home}").values())
        assert len(marks) <= len(alive)
        for name in alive:
            await running(runtime, name)
            await runtime.stop(name, 0)
        for replica in replicas:
            await ended(runtime, replica.id)
            await runtime.forget(replica.id)
        assert process_tree.marked(f"TIDEGATE_RUN={home}") == {}
        assert list((home / "runtime/here/replicas").iterdir()) == []


async def test_an_order_whose_supervisor_never_came_is_reported_as_ended(make, tmp_path: Path):
    runtime = make()
    await runtime.start(order())
    await running(runtime)
    await runtime.stop("web-1", 0)
    await ended(runtime)
    await runtime.close()
    folder = tmp_path / "runtime/here/replicas/web-1"
    for name in ("exit.json", "child.json", "shim.json", "stop.json"):
        (folder / name).unlink()
    seen = await one(make())
    assert seen is not None and not seen.running
    assert seen.exit_code is None and seen.detail == "it was never started"


async def test_a_recycled_pid_is_neither_adopted_nor_touched(make, tmp_path: Path):
    runtime = make()
    await runtime.start(order())
    await running(runtime)
    await runtime.stop("web-1", 0)
    await ended(runtime)
    await runtime.close()
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        folder = tmp_path / "runtime/here/replicas/web-1"
        (folder / "exit.json").unlink()
        ticks = process_tree.start_ticks(bystander.pid)
        for name in ("shim", "child"):
            write(folder / f"{name}.json", {"pid": bystander.pid, "ticks": ticks})
        runtime = make()
        seen = await one(runtime)
        assert seen is not None and not seen.running
        await runtime.stop("web-1", 0)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_replicas_without_a_record_are_ended(make, tmp_path: Path):
    runtime = make()
    await runtime.start(order())
    seen = await running(runtime)
    await runtime.close()
    (tmp_path / "runtime/here/replicas/web-1/order.json").write_text("{")
    runtime = make()
    assert (await runtime.observe())[0] == ()
    assert seen.pid is not None and process_tree.start_ticks(seen.pid) is None
    assert not (tmp_path / "runtime/here/replicas/web-1").exists()


async def test_a_stop_that_was_under_way_goes_on_after_a_restart(make, tmp_path: Path):
    runtime = make()
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    await runtime.start(order(code=code))
    await running(runtime)
    await until(lambda: lines_of(runtime), lambda found: found == ["up"])
    await runtime.stop("web-1", 600)
    await runtime.close()
    runtime = make()
    seen = await one(runtime)
    assert seen is not None and seen.running and seen.stopping
    await runtime.stop("web-1", 0.05)
    assert (await ended(runtime)).exit_code == -signal.SIGKILL


async def test_what_ended_while_nobody_looked_is_reported(make, tmp_path: Path):
    runtime = make()
    await runtime.start(order())
    seen = await running(runtime)
    await runtime.close()
    assert seen.pid is not None
    os.kill(seen.pid, signal.SIGKILL)
    await until(lambda: _exists(tmp_path / "runtime/here/replicas/web-1/exit.json"), bool)
    found = await one(make())
    assert found is not None and not found.running and found.exit_code == -signal.SIGKILL


async def test_how_a_replica_was_stopped_is_known_when_it_ended_while_nobody_looked(make, tmp_path: Path):
    runtime = make()
    await runtime.start(order(preStop=["sleep", "0.05"]))
    await running(runtime)
    await runtime.stop("web-1", 30)
    await runtime.close()
    await until(lambda: _exists(tmp_path / "runtime/here/replicas/web-1/exit.json"), bool)
    found = await one(make())
    assert found is not None and not found.running
    assert [what for what, _ in found.ending] == ["preStop", "SIGTERM"]


async def test_a_replica_that_ends_while_it_is_taken_over_has_ended_as_it_said(make, tmp_path: Path, monkeypatch):
    runtime = make()
    await runtime.start(order())
    await running(runtime)
    await runtime.stop("web-1", 30)
    await ended(runtime)
    await runtime.close()
    looks = iter([None])  # its last word comes after the first look for it
    monkeypatch.setattr(Folder, "exit", lambda self, real=Folder.exit: next(looks, real(self)))
    found = await one(make())
    assert found is not None and (found.exit_code, found.detail) == (-signal.SIGTERM, "")


async def _exists(path: Path) -> bool:
    return path.exists()


async def test_two_control_processes_do_not_share_a_state_folder(make):
    first, second = make(), make()
    await first.observe()
    with pytest.raises(RuntimeFault, match="another Tidegate runs cluster here"):
        await second.observe()
    await first.close()
    await second.observe()


async def test_the_control_loop_is_woken_when_a_replica_runs_and_when_it_has_ended(make):
    woken = asyncio.Event()
    runtime = make()
    runtime._on_change = woken.set
    await runtime.start(order(code=SERVER))
    async with asyncio.timeout(PATIENCE_S):
        await woken.wait()
        seen = await one(runtime)
        assert seen is not None and seen.address
        woken.clear()
        await runtime.stop("web-1", 5)
        await woken.wait()
    seen = await one(runtime)
    assert seen is not None and not seen.running
