"""The example scripts under examples/probes, on a real process that is made to misbehave."""

from __future__ import annotations

import ctypes.util
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tidegate.model.observed import Verdict
from tidegate.probes.checks import Asked, Checks
from tidegate.probes.protocol import ProbeTarget
from tidegate.probes.scripts import Scripts
from tidegate.probes.verdicts import Result
from tidegate.spec.load import load
from tidegate.spec.probes import Probes, Python
from tidegate.spec.rollout import Rollout

FOLDER = Path(__file__).parents[2] / "examples" / "probes"
PASS, FAIL = Verdict.PASS, Verdict.FAIL


@dataclass
class Bench:
    """A running example service and a way to run scripts about it."""

    address: str
    pid: int
    checks: Checks

    async def ask(self, script: str, *args: str) -> Result:
        target = ProbeTarget("sums-1", "sums", self.address, self.pid, str(FOLDER), {}, Probes(), Rollout())
        return await self.checks.script(target, Python(script=script, args=args), 20, Asked("liveness"))

    def tell(self, path: str) -> None:
        request = urllib.request.Request(f"http://{self.address}{path}", b"", method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    import asyncio

    code = (
        "import sys; sys.argv = ['service.py']; sys.path.insert(0, '.'); import service\n"
        "server = service.ThreadingHTTPServer(('127.0.0.1', 0), service.Sums)\n"
        "print(server.server_port, flush=True); server.serve_forever()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-B", "-c", code, cwd=FOLDER, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    scripts = Scripts()
    yield Bench(f"127.0.0.1:{port}", process.pid, Checks(scripts))
    await scripts.close()
    process.kill()
    await process.wait()


async def test_memory_beyond_its_bound_is_found_although_the_port_answers(bench: Bench):
    assert (await bench.ask("enough_memory.py", "100")).verdict is PASS
    bench.tell("/leak?mib=120")
    result = await bench.ask("enough_memory.py", "100")
    assert result.verdict is FAIL and result.reason.endswith("at most 100 MiB are right")
    with urllib.request.urlopen(f"http://{bench.address}/healthz", timeout=60) as answer:
        assert answer.status == 200


async def test_a_wrong_prediction_is_found(bench: Bench):
    result = await bench.ask("prediction.py", "10")
    assert result.verdict is PASS and result.reason.startswith("right after")
    bench.tell("/lie")
    result = await bench.ask("prediction.py", "10")
    assert (result.verdict, result.reason) == (FAIL, "the golden request gave 4.0, expected 3.0")


async def test_a_slow_prediction_is_found(bench: Bench):
    bench.tell("/stall?s=60")
    result = await bench.ask("prediction.py", "0.2")
    assert (result.verdict, result.reason) == (FAIL, "POST /sum: no answer within 0.2 s")


async def test_one_liveness_script_asks_both_questions(bench: Bench):
    result = await bench.ask("alive.py", "100", "10")
    assert result.verdict is PASS and "right after" in result.reason and "of 100 MiB" in result.reason
    bench.tell("/lie")
    assert (await bench.ask("alive.py", "100", "10")).verdict is FAIL


def crypted(word: str) -> str:
    library = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(word.encode(), b"$6$saltsalt").decode()


async def test_weak_passwords_are_locked_in_a_scratch_shadow_file(bench: Bench, tmp_path: Path):
    shadow = tmp_path / "shadow"
    good = f"good:{crypted('a long and unusual one')}:19000:0:99999:7:::"
    lines = [
        "root:!:19000:0:99999:7:::",
        "daemon:*:19000::::::",
        good,
        f"admin:{crypted('admin')}:19000:0:99999:7:::",
        f"web:{crypted('123456')}:19000:0:99999:7:::",
        "empty::19000:0:99999:7:::",
    ]
    shadow.write_text("\n".join(lines) + "\n")
    shadow.chmod(0o640)
    result = await bench.ask("weak_passwords.py", str(shadow))
    assert (result.verdict, result.reason) == (PASS, "locked admin, web, empty")
    after = shadow.read_text().splitlines()
    assert after[:3] == lines[:3]
    assert [line.split(":")[1][0] for line in after[3:]] == ["!", "!", "!"]
    assert shadow.stat().st_mode & 0o777 == 0o640
    result = await bench.ask("weak_passwords.py", str(shadow))
    assert (result.verdict, result.reason) == (PASS, "6 accounts, none weak")


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "No such file or directory"), ("hello\n", "is no shadow file; nothing was changed")],
)
async def test_what_is_not_a_shadow_file_is_left_alone(bench: Bench, tmp_path: Path, text: str | None, reason: str):
    path = tmp_path / "file"
    if text is not None:
        path.write_text(text)
    result = await bench.ask("weak_passwords.py", str(path))
    assert result.verdict is FAIL and reason in result.reason
    assert not path.exists() or path.read_text() == text


def test_the_manifest_is_accepted():
    loaded = load([FOLDER])
    assert [s.name for s in loaded.services] == ["sums"]
