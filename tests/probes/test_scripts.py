"""Probe scripts, well and badly behaved: bounded, reported, and nothing of them left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from probes.servers import Web, reply
from probes.targets import PATIENCE_S, target, until
from tidegate.base import process_tree
from tidegate.model.observed import Verdict
from tidegate.probes.checks import Asked, Checks
from tidegate.probes.scripts import Scripts
from tidegate.probes.verdicts import Result
from tidegate.spec.probes import Probe

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
SDK = "from tidegate.probe import replica, healthy, unhealthy, unknown\n"


class Bench:
    """Runs scripts given as text in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scripts = Scripts()
        self.checks = Checks(self.scripts)

    async def run(self, code: str, *, timeout: float = PATIENCE_S, memory: str = "256Mi", **over: Any) -> Result:
        asked = over.pop("asked", Asked("liveness"))
        path = self.folder / "probe.py"
        path.write_text(code)
        probe = Probe(python={"script": "probe.py", "memory": memory, "args": ["a", "b"]}, timeout=timeout)
        return await self.checks.run(target(directory=str(self.folder), **over), probe, asked)

    async def run_command(self, *command: str, timeout: float = PATIENCE_S, **over) -> Result:
        probe = Probe(exec=list(command), timeout=timeout)
        return await self.checks.run(target(directory=str(self.folder), **over), probe, Asked("readiness"))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.scripts.close()
    left = [p for p in process_tree.marked(f"PROBE_TEST={tmp_path}") if process_tree.start_ticks(p)]
    assert left == []


@pytest.mark.parametrize(
    ("code", "verdict", "reason"),
    [
        pytest.param("", PASS, "", id="nothing said"),
        pytest.param("print('all'); print('well')", PASS, "well", id="exit 0"),
        pytest.param("import sys; print('too slow'); sys.exit(1)", FAIL, "too slow", id="exit 1"),
        pytest.param("import sys; sys.exit('no model')", FAIL, "no model", id="exit with words"),
        pytest.param("import sys; print('?'); sys.exit(7)", UNKNOWN, "exit code 7: ?", id="exit 7"),
        pytest.param(SDK + "healthy('fine')", PASS, "fine", id="sdk healthy"),
        pytest.param(SDK + "unhealthy('sick\\nand tired')", FAIL, "sick and tired", id="sdk unhealthy"),
        pytest.param(SDK + "unknown('no idea')", UNKNOWN, "exit code 2: no idea", id="sdk unknown"),
        pytest.param(SDK + "try:\n healthy()\nexcept Exception:\n unhealthy('caught')", PASS, "", id="broad except"),
        pytest.param("def check(): return True", PASS, "", id="check true"),
        pytest.param("def check(): return False", FAIL, "check() returned False", id="check false"),
        pytest.param("def check(): return False, 'why'", FAIL, "why", id="check with reason"),
        pytest.param("def check(): pass", PASS, "", id="check none"),
        pytest.param("assert 1 + 1 == 3", FAIL, "assertion failed: assert 1 + 1 == 3", id="assertion"),
        pytest.param("assert 0, 'wrong answer'", FAIL, "wrong answer", id="assertion with words"),
        pytest.param("open('/nothing/here')", FAIL, "No such file or directory", id="os error"),
        pytest.param("1 / 0", UNKNOWN, "ZeroDivisionError: division by zero", id="raises"),
        pytest.param("nonsense(", UNKNOWN, "SyntaxError", id="syntax error"),
        pytest.param("def check(): return 42", UNKNOWN, "check() returned 42; expected True, False", id="nonsense"),
        pytest.param("def check(): return 'fine'", UNKNOWN, "check() returned 'fine'", id="text is no verdict"),
        pytest.param("import os, signal; os.kill(os.getpid(), 9)", UNKNOWN, "exit code -9", id="killed"),
        pytest.param("import os; os._exit(0)", PASS, "", id="hard exit"),
        pytest.param("print('\\x1b[31m\\udcff\\x00red')", PASS, "[31m\ufffd red", id="broken text"),
        pytest.param(
            "import sys; sys.stdout.buffer.write(b'\\xff\\x00\\x1b[1m ok')", PASS, "[1m ok", id="control codes"
        ),
    ],
)
async def test_what_a_script_can_say(bench: Bench, code: str, verdict: Verdict, reason: str):
    result = await bench.run(code)
    assert result.verdict is verdict, result
    assert (reason in result.reason) if reason else not result.reason


async def test_a_script_that_hangs_is_ended_and_counts_as_a_failure(bench: Bench):
    result = await bench.run("print('asking', flush=True); import time; time.sleep(600)", timeout=2.5)
    assert (result.verdict, result.reason) == (FAIL, "asking; no verdict within 2.5 s")


async def test_time_in_which_the_whole_machine_stood_still_does_not_run_against_a_script(bench: Bench):
    slow = asyncio.create_task(bench.run("import time; time.sleep(0.5); print('well')", timeout=2.5))
    await until(lambda: bench.scripts._process is not None and len(_below(bench)) >= 2)
    both = [bench.scripts._process.pid, *_below(bench)]
    for pid in both:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(3)
    for pid in reversed(both):
        os.kill(pid, signal.SIGCONT)
    assert (await slow).verdict is PASS


async def test_a_script_that_ignores_every_signal_is_ended(bench: Bench):
    code = (
        "import signal, time\n"
        "for s in range(1, 32):\n  if s not in (9, 19): signal.signal(s, signal.SIG_IGN)\n"
        "time.sleep(600)"
    )
    assert (await bench.run(code, timeout=0.3)).verdict is FAIL


FORKS = """
import os, sys, time
for n in range(5):
    if os.fork() == 0:
        if n % 2: os.setsid()
        time.sleep(600)
print("left five")
"""
# Doubles its processes every 2 ms, as a fork bomb does, but not beyond 512 should nothing stop it.
BOMB = "import os, time\nfor _ in range(9):\n  os.fork(); time.sleep(0.002)\ntime.sleep(600)"


async def test_what_a_script_leaves_running_is_ended_with_it(bench: Bench):
    result = await bench.run(FORKS, env={"PROBE_TEST": str(bench.folder)})
    assert (result.verdict, result.reason) == (PASS, "left five")
    assert process_tree.marked(f"PROBE_TEST={bench.folder}") == {}


async def test_a_script_that_forks_without_end_is_stopped_and_blamed(bench: Bench):
    result = await bench.run(BOMB, env={"PROBE_TEST": str(bench.folder)})
    assert (result.verdict, result.reason) == (UNKNOWN, "the script started too many processes")
    assert process_tree.marked(f"PROBE_TEST={bench.folder}") == {}


async def test_a_script_that_takes_too_much_memory_fails_by_itself(bench: Bench):
    result = await bench.run("hog = bytearray(300 << 20)", memory="64Mi")
    assert result.verdict is UNKNOWN and "MemoryError" in result.reason


async def test_memory_spread_over_processes_is_stopped_and_blamed(bench: Bench):
    code = "import os, time\nfor _ in range(3): os.fork()\nhog = bytearray(os.urandom(1) * (40 << 20))\ntime.sleep(600)"
    result = await bench.run(code, memory="128Mi")
    assert (result.verdict, result.reason) == (UNKNOWN, "the script took more than its 128 MiB of memory")


async def test_megabytes_of_output_are_read_dropped_and_their_end_is_kept(bench: Bench):
    code = "import sys\nfor _ in range(80): sys.stdout.write('x' * 99999 + '\\n'); sys.stderr.write('y' * 99999)\n"
    code += "print('done')"
    assert await bench.run(code) == Result(PASS, "done", pytest.approx(0, abs=PATIENCE_S))


async def test_a_line_without_end_is_cut(bench: Bench):
    result = await bench.run("print('é' * 1_000_000)")
    assert result.verdict is PASS and len(result.reason) == 300


async def test_a_script_is_told_about_its_replica_with_and_without_the_sdk(bench: Bench, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TOKEN", "secret")
    asked = Asked("liveness", [{"verdict": "fail", "reason": "r", "took_s": 0.1, "age_s": 2.0}], {"in_flight": 3})
    plain = (
        "import os, json, sys\n"
        "told = [json.loads(os.environ['TIDEGATE_PROBE']), sys.argv[1:], os.getcwd(), dict(os.environ)]\n"
        "open('told.json', 'w').write(json.dumps(told))"
    )
    over = {"pid": os.getpid(), "env": {"MODEL": "big"}, "gateway": "http://gw"}
    assert (await bench.run(plain, asked=asked, **over)).verdict is PASS
    facts, args, cwd, env = json.loads((bench.folder / "told.json").read_text())
    assert facts["replica"] == "web-1" and facts["address"] == "127.0.0.1:1" and facts["probe"] == "liveness"
    assert args == ["a", "b"] and cwd == str(bench.folder)
    assert env["MODEL"] == "big" and env["PORT"] == "1" and "TIDEGATE_TOKEN" not in env
    code = SDK + (
        "last = replica.last[0]\n"
        "print(replica.name, replica.pid, replica.gateway, last.verdict, last.age_s, replica.traffic['in_flight'])"
    )
    assert (await bench.run(code, asked=asked, **over)).reason == f"web-1 {os.getpid()} http://gw fail 2.0 3"


async def test_the_sdk_asks_the_replica_and_measures_it(bench: Bench):
    code = SDK + (
        "a = replica.get('/x'); b = replica.post('/y', json_body={'k': 1})\n"
        "assert a.ok and a.json() == {'n': 1} and b.status == 404, (a, b)\n"
        "healthy(f'{replica.memory_bytes > 1 << 20} {a.took_s < 60}')"
    )
    pages = {"/x": reply(200, '{"n": 1}'), "/y": reply(404)}
    async with Web(pages.get).listening() as web:
        result = await bench.run(code, address=web.address, pid=os.getpid())
    assert (result.verdict, result.reason) == (PASS, "True True")


@pytest.mark.parametrize(
    ("code", "verdict", "reason"),
    [
        ("replica.get('/')", FAIL, "GET /: [Errno 111] Connection refused"),
        ("replica.pid", UNKNOWN, "exit code 2: the replica's pid is not known: it does not run on this machine"),
        ("def check(): return replica.memory_bytes > 0", UNKNOWN, "exit code 2: the replica's pid is not known"),
    ],
)
async def test_what_the_sdk_cannot_find_out(bench: Bench, code: str, verdict: Verdict, reason: str):
    result = await bench.run(SDK + code)
    assert result.verdict is verdict and reason in result.reason


async def test_a_script_that_is_not_there_says_nothing_about_the_replica(bench: Bench):
    probe = Probe(python="missing.py")
    result = await bench.checks.run(target(directory=str(bench.folder)), probe, Asked("liveness"))
    assert result.verdict is UNKNOWN and "missing.py does not exist" in result.reason


@pytest.mark.parametrize(
    ("command", "verdict", "reason"),
    [
        (["true"], PASS, ""),
        (["sh", "-c", "echo $PORT $TIDEGATE_REPLICA; exit 5"], FAIL, "1 web-1"),
        (["python", "-c", "import sys; print(sys.executable)"], PASS, sys.executable),
        (["no-such-program"], UNKNOWN, "program 'no-such-program' is not on PATH"),
    ],
)
async def test_commands(bench: Bench, command: list[str], verdict: Verdict, reason: str):
    result = await bench.run_command(*command)
    assert result.verdict is verdict and reason in result.reason


async def test_the_script_host_is_started_again_when_it_was_killed(bench: Bench):
    assert (await bench.run("")).verdict is PASS
    slow = asyncio.create_task(bench.run("import time; time.sleep(600)", env={"PROBE_TEST": str(bench.folder)}))
    await until(lambda: process_tree.marked(f"PROBE_TEST={bench.folder}") or len(_below(bench)) >= 2)
    bench.scripts._process.send_signal(signal.SIGKILL)
    result = await slow
    assert (result.verdict, result.reason) == (UNKNOWN, "could not be run: the script host was killed")
    assert (await bench.run("")).verdict is PASS


async def test_a_killed_supervisor_of_a_script_is_reported_and_leaves_nothing(bench: Bench):
    await bench.run("")
    slow = asyncio.create_task(bench.run(FORKS + "time.sleep(600)", env={"PROBE_TEST": str(bench.folder)}))
    await until(lambda: len(_below(bench)) >= 7)
    pids = _below(bench)
    os.kill(process_tree.children(bench.scripts._process.pid)[0], signal.SIGKILL)
    result = await slow
    assert (result.verdict, result.reason) == (UNKNOWN, "could not be run: its supervisor was killed")
    await until(lambda: not any(process_tree.start_ticks(p) for p in pids))


def _below(bench: Bench) -> list[int]:
    return process_tree.descendants(bench.scripts._process.pid)


async def test_scripts_end_with_the_prober(bench: Bench):
    slow = asyncio.create_task(bench.run("import time; time.sleep(600)"))
    await until(lambda: bench.scripts._process is not None and len(_below(bench)) >= 2)
    pids = _below(bench)
    await bench.scripts.close()
    assert (await slow).verdict is UNKNOWN
    assert not any(process_tree.start_ticks(p) for p in pids)


async def test_many_scripts_at_once_wait_for_each_other_and_no_time_runs_against_them(bench: Bench):
    results = await asyncio.gather(*(bench.run("import time; time.sleep(0.05)") for _ in range(20)))
    assert {r.verdict for r in results} == {PASS}


async def test_a_script_is_run_as_it_was_when_its_revision_was_applied(bench: Bench):
    (bench.folder / "beside.py").write_text("WORD = 'a'")
    text = "import beside, sys\ndef check():\n  assert beside.WORD == sys.argv[1], 'no'\n  assert False  # the text's\n"
    pinned = {"probe.py": text}
    result = await bench.run("healthy in place, and longer\n" * 9, scripts=pinned)
    assert (result.verdict, result.reason) == (FAIL, "assertion failed: assert False  # the text's")
    (bench.folder / "probe.py").unlink()
    broken = await bench.run("", scripts={"probe.py": "1 +"})
    assert broken.verdict is UNKNOWN and "invalid syntax" in broken.reason
