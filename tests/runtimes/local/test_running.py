"""How a replica runs: its environment, folder, output, and what cannot be started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from contract.replicas import SERVER, ended, one, order, running, until
from tidegate.base import process_tree
from tidegate.base.errors import RuntimeFault
from tidegate.runtimes.local import logs
from tidegate.runtimes.local.runtime import LocalRuntime
from tidegate.runtimes.protocol import StartOrder

TELLS = """
import json, os, sys, time
told = {"env": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv[1:], "fds": os.listdir("/proc/self/fd"),
        "cpus": len(os.sched_getaffinity(0)), "sid": os.getsid(0), "pid": os.getpid()}
print(json.dumps(told), flush=True)
"""


async def output(runtime: LocalRuntime, name: str = "web-1") -> list[str]:
    return [line async for line in runtime.logs(name, tail=1000)]


async def told(runtime: LocalRuntime, wanted: StartOrder) -> dict:
    await runtime.start(wanted)
    await ended(runtime)
    (line,) = await output(runtime)
    return json.loads(line)


async def test_a_replica_is_told_its_port_and_who_it_is(runtime: LocalRuntime, tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TOKEN", "secret")
    monkeypatch.setenv("SHELL_SETTING", "kept")
    wanted = order(code=TELLS, env={"MODEL": "big"}, workingDir=str(tmp_path))
    said = await told(runtime, StartOrder("web-1", wanted.pool, "http://127.0.0.1:8080"))
    env = said["env"]
    assert env["HOST"] == "127.0.0.1" and int(env["PORT"]) > 1024
    assert (env["MODEL"], env["SHELL_SETTING"]) == ("big", "kept")
    assert {k: env[f"TIDEGATE_{k}"] for k in ("SERVICE", "POOL", "REPLICA", "REVISION", "GATEWAY")} == {
        "SERVICE": "web",
        "POOL": "default",
        "REPLICA": "web-1",
        "REVISION": wanted.pool.revision,
        "GATEWAY": "http://127.0.0.1:8080",
    }
    assert "TIDEGATE_TOKEN" not in env
    assert said["cwd"] == str(tmp_path)
    assert said["sid"] == said["pid"]


async def test_the_command_may_name_the_port_as_in_kubernetes(runtime: LocalRuntime):
    said = await told(runtime, order(command=[sys.executable, "-c", TELLS, "--port=$(PORT)", "$$(PORT)"]))
    assert said["argv"] == [f"--port={said['env']['PORT']}", "$(PORT)"]


async def test_no_file_descriptor_of_the_control_process_reaches_a_replica(runtime: LocalRuntime, tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(fd, True)
    try:
        said = await told(runtime, order(code=TELLS))
    finally:
        os.close(fd)
    assert len(said["fds"]) == 4  # standard streams, and the folder being listed


async def test_without_cgroups_a_replica_gets_as_many_cores_and_threads_as_it_asks_for(runtime: LocalRuntime):
    said = await told(runtime, order(code=TELLS, resources={"cpu": 1, "memory": "256Mi"}))
    _, cluster = await runtime.observe()
    if "cgroup v2 at" not in cluster.detail:
        assert said["cpus"] == 1
        assert "affinity" in cluster.detail
    assert said["env"]["OMP_NUM_THREADS"] == "1"


async def test_python_is_the_interpreter_tidegate_runs_under(runtime: LocalRuntime):
    await runtime.start(order(command=["python", "-c", "import sys; print(sys.executable)"]))
    await ended(runtime)
    assert await output(runtime) == [sys.executable]


async def test_a_path_of_the_manifests_own_names_another_python(runtime: LocalRuntime, tmp_path):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho mine\n")
    python.chmod(0o755)
    await runtime.start(order(command=["python"], env={"PATH": f"{python.parent}:/bin:/usr/bin"}))
    await ended(runtime)
    assert await output(runtime) == ["mine"]


async def test_exit_code_and_last_words_are_kept(runtime: LocalRuntime):
    await runtime.start(order(code="import sys; print('no model'); sys.exit(3)"))
    assert (await ended(runtime)).exit_code == 3
    await runtime.forget("web-1")
    assert await output(runtime) == ["no model"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param({"command": ["no-such-program"]}, r"'no-such-program' is not on PATH\. Install", id="not on PATH"),
        pytest.param({"command": ["./missing"]}, r"/missing does not exist\. Correct", id="missing file"),
        pytest.param({"command": ["./plain"]}, r"/plain is not executable\. Run chmod", id="not executable"),
        pytest.param({"workingDir": "/no/such/dir"}, r"/no/such/dir does not exist\. Create", id="missing folder"),
        pytest.param({"preStop": ["no-such"]}, r"preStop: program 'no-such'", id="preStop"),
        pytest.param({"command": [], "image": "web:1"}, r"no command; a local cluster cannot run an image", id="image"),
    ],
)
async def test_what_cannot_be_started_is_refused_with_what_to_do(runtime, tmp_path, spec, says):
    (tmp_path / "plain").write_text("not a program")
    with pytest.raises(RuntimeFault, match=says):
        await runtime.start(order(**({"workingDir": str(tmp_path)} | spec)))
    assert (await runtime.observe())[0] == ()


async def test_a_file_the_kernel_cannot_run_is_an_ended_replica(runtime: LocalRuntime, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    await runtime.start(order(command=[str(broken)]))
    seen = await ended(runtime)
    assert seen.exit_code == 126
    assert "Exec format error" in seen.detail


async def test_an_id_that_cannot_name_a_folder_is_refused(runtime: LocalRuntime):
    with pytest.raises(RuntimeFault, match="cannot name a folder"):
        await runtime.start(order("../web"))


async def test_output_is_bounded_and_its_end_is_kept(make):
    runtime = make(log_bytes=256 * 1024)
    code = "for n in range(40000): print(f'line {n:06d} of a talkative replica')"
    await runtime.start(order(code=code))
    await ended(runtime)
    folder = Path(runtime._home, "logs")
    assert sum(p.stat().st_size for p in folder.iterdir()) <= 256 * 1024
    lines = await output(runtime)
    assert lines[-1] == "line 039999 of a talkative replica"
    assert len(lines) == 1000


async def test_following_a_log_ends_with_the_replica(runtime: LocalRuntime):
    code = (
        "import signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
        "print('a', flush=True)\nsignal.sigwait([signal.SIGUSR1])\nprint('b')\nprint('c')"
    )
    await runtime.start(order(code=code))
    seen = await running(runtime)
    await until(lambda: output(runtime), lambda lines: lines == ["a"])
    lines = []
    async for line in runtime.logs("web-1", follow=True):
        lines.append(line)
        if lines == ["a"]:
            asyncio.get_running_loop().call_later(0.05, os.kill, seen.pid, signal.SIGUSR1)
    assert lines == ["a", "b", "c"]


async def test_logs_of_forgotten_replicas_are_pruned_oldest_first(tmp_path: Path):
    for n in range(6):
        path = tmp_path / f"web-{n}.log"
        path.write_text("x")
        os.utime(path, (n, n))
    logs.prune(tmp_path, {"web-0"}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["web-0.log", "web-4.log", "web-5.log"]


async def test_too_much_memory_ends_a_replica_and_says_so(runtime: LocalRuntime):
    code = "hog = bytearray(200 << 20); import time; time.sleep(600)"
    await runtime.start(order(code=code, resources={"cpu": 0.5, "memory": "64Mi"}))
    seen = await ended(runtime)
    assert seen.exit_code == -9
    assert seen.detail.startswith("out of memory:") and "64 MiB" in seen.detail


async def test_memory_that_forked_workers_share_counts_once(runtime: LocalRuntime):
    code = (
        "import os, signal, time\nmodel = bytearray(os.urandom(1) * (60 << 20))\n"
        "for _ in range(3):\n  if os.fork() == 0: time.sleep(600)\n"
        "print('forked', flush=True); time.sleep(600)"
    )
    await runtime.start(order(code=code, resources={"cpu": 0.5, "memory": "128Mi"}))
    await until(lambda: output(runtime), lambda lines: "forked" in lines)
    seen = await one(runtime)
    assert seen is not None and seen.pid is not None
    pids = [seen.pid, *process_tree.descendants(seen.pid)]
    assert process_tree.held_at_most_bytes(pids) > 4 * (60 << 20)
    assert 60 << 20 < process_tree.held_bytes(pids) < 128 << 20


async def test_cards_are_given_to_one_replica_each(make):
    runtime = make(capacity={"cpu": 4, "memory": "8Gi", "gpu": {"a10": 1, "t4": 2}})
    wants = {"cpu": 0.1, "memory": "64Mi", "gpu": {"t4": 1}}
    for name in ("web-1", "web-2"):
        await runtime.start(order(name, resources=wants))
    cards = [runtime._replicas[n].order.env["CUDA_VISIBLE_DEVICES"] for n in ("web-1", "web-2")]
    assert cards == ["1", "2"]
    with pytest.raises(RuntimeFault, match=r"needs 1 card\(s\) of kind t4, 0 free"):
        await runtime.start(order("web-3", resources=wants))
    await runtime.start(order("web-4"))
    assert runtime._replicas["web-4"].order.env["CUDA_VISIBLE_DEVICES"] == ""


async def test_an_address_appears_together_with_the_process_that_will_listen_there(runtime: LocalRuntime):
    await runtime.start(order(code=SERVER))
    seen = await until(lambda: one(runtime), lambda r: r is not None and (r.address or r.pid))
    assert seen is not None and seen.address and seen.pid
