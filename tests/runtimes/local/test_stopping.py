"""How a replica stops, and that nothing of it is left: not after a stop, an exit, or the death of its supervisor."""

from __future__ import annotations

import os
import signal

from contract.replicas import ended, order, running, until
from tidegate.base import process_tree
from tidegate.runtimes.local.runtime import LocalRuntime

# Leaves a child, a detached grandchild in a session of its own that ignores SIGTERM, and one that dropped its
# environment, then prints their pids.
SPREADS = """
import os, signal, subprocess, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
def detached():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.setsid()
    if os.fork(): os._exit(0)
    print(os.getpid(), flush=True)
    time.sleep(600)
child = subprocess.Popen(["sleep", "600"])
bare = subprocess.Popen(["sleep", "600"], env={}, start_new_session=True)
print(child.pid, flush=True)
print(bare.pid, flush=True)
if os.fork() == 0: detached()
print("spread", flush=True)
"""


async def lines_of(runtime: LocalRuntime) -> list[str]:
    return [line async for line in runtime.logs("web-1")]


async def spread_pids(runtime: LocalRuntime, code: str) -> list[int]:
    """Start the spreading replica; the pids of what it left around."""
    await runtime.start(order(code=SPREADS + code))
    await running(runtime)
    lines = await until(lambda: lines_of(runtime), lambda found: len(found) == 4)
    pids = [int(line) for line in lines if line.isdigit()]
    assert all(process_tree.start_ticks(p) for p in pids)
    return pids


def living(pids: list[int]) -> list[int]:
    return [p for p in pids if process_tree.start_ticks(p) is not None]


async def test_nothing_is_left_after_a_stop(runtime: LocalRuntime):
    pids = await spread_pids(runtime, "time.sleep(600)")
    await runtime.stop("web-1", 10)
    await ended(runtime)
    assert living(pids) == []


async def test_nothing_is_left_after_a_replica_ended_by_itself(runtime: LocalRuntime):
    pids = await spread_pids(runtime, "signal.sigwait([signal.SIGUSR1]); sys.exit(0)")
    seen = await running(runtime)
    assert seen.pid is not None
    os.kill(seen.pid, signal.SIGUSR1)
    await ended(runtime)
    assert living(pids) == []


async def test_nothing_that_kept_its_environment_is_left_when_the_supervisor_is_killed(runtime: LocalRuntime):
    pids = await spread_pids(runtime, "time.sleep(600)")
    os.kill(runtime._replicas["web-1"].pid, signal.SIGKILL)
    seen = await ended(runtime)
    assert seen.exit_code is None and seen.detail == "its supervisor was killed"
    child, bare, detached = pids
    assert living([child, detached]) == []
    os.kill(bare, signal.SIGKILL)  # the documented gap: detached, without its environment, and without cgroups


async def test_prestop_comes_before_sigterm_and_counts_against_the_grace(runtime: LocalRuntime):
    code = (
        "import signal, sys, time\n"
        "signal.signal(15, lambda *_: (print('term', flush=True), sys.exit(0)))\n"
        "print('up', flush=True)\ntime.sleep(600)"
    )
    await runtime.start(order(code=code, preStop=["sh", "-c", "echo prestop $TIDEGATE_REPLICA"]))
    await running(runtime)
    await until(lambda: lines_of(runtime), lambda found: found == ["up"])
    await runtime.stop("web-1", 30)
    assert (await ended(runtime)).exit_code == 0
    assert await lines_of(runtime) == ["up", "prestop web-1", "term"]


async def test_a_prestop_that_hangs_ends_with_the_grace(runtime: LocalRuntime):
    await runtime.start(order(preStop=["sleep", "600"]))
    await running(runtime)
    await runtime.stop("web-1", 0.2)
    assert (await ended(runtime)).exit_code == -signal.SIGKILL


async def test_a_stop_that_comes_right_after_the_start_is_not_lost(runtime: LocalRuntime):
    await runtime.start(order())
    await runtime.stop("web-1", 30)
    assert (await ended(runtime)).exit_code == -signal.SIGTERM


async def test_a_supervisor_told_to_end_by_somebody_else_stops_its_replica_properly(runtime: LocalRuntime):
    await runtime.start(order())
    await running(runtime)
    os.kill(runtime._replicas["web-1"].pid, signal.SIGTERM)
    assert (await ended(runtime)).exit_code == -signal.SIGTERM
