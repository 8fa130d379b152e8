"""Running scripts and commands for probes: orders to the script host, its answers as results."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import tidegate
from tidegate.base.units import format_bytes
from tidegate.model.observed import Verdict
from tidegate.probe.answers import HEALTHY, UNHEALTHY
from tidegate.probes.verdicts import Result

_ROOT = str(Path(tidegate.__file__).parents[1])
_BOOT = f"import sys; sys.path.insert(0, {_ROOT!r}); from tidegate.probes.host import main; main()"
AT_ONCE = max(4, 2 * (os.cpu_count() or 1))  # scripts side by side; more of them wait, and no time runs against them
OVERTIME_S = 10.0  # a cage ends its script and reports within about 2 s after the time is over
COMMAND_MEMORY_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Task:
    """A command (`argv`) or a Python script (`script`, `args`) to run in `cwd` with exactly `env`.

    `text` is what the script says; None: what its file says when it runs.
    """

    cwd: str
    env: dict[str, str]
    timeout_s: float
    memory_bytes: int = COMMAND_MEMORY_BYTES
    argv: list[str] = field(default_factory=list)
    script: str = ""
    text: str | None = None
    args: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended; see `cage.run`."""

    end: str
    code: int | None
    out: str = ""
    err: str = ""
    took_s: float = 0.0


def result(task: Task, outcome: Outcome) -> Result:
    """An outcome as a result. Too slow says something about the replica; too greedy only about the script."""
    took_s = outcome.took_s
    said = outcome.out or outcome.err
    match outcome.end:
        case "timeout":
            after = f"{said}; " if said else ""
            return Result(Verdict.FAIL, f"{after}no verdict within {task.timeout_s:g} s", took_s)
        case "memory":
            limit = format_bytes(task.memory_bytes)
            return Result(Verdict.UNKNOWN, f"the script took more than its {limit} of memory", took_s)
        case "processes":
            return Result(Verdict.UNKNOWN, "the script started too many processes", took_s)
        case "exited" if outcome.code == HEALTHY:
            return Result(Verdict.PASS, outcome.out, took_s)
        case "exited" if outcome.code == UNHEALTHY or (task.argv and outcome.code is not None):
            return Result(Verdict.FAIL, said or f"exit code {outcome.code}", took_s)
        case "exited":
            why = outcome.err or outcome.out
            return Result(Verdict.UNKNOWN, f"exit code {outcome.code}{': ' if why else ''}{why}", took_s)
    return Result(Verdict.UNKNOWN, f"could not be run: {outcome.err or outcome.end}", took_s)


class Scripts:
    """Owns the script host; starts it at the first task and again when it has died."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def run(self, task: Task) -> Result:
        """Run a task in a cage; never raises for what the task does."""
        async with self._gate:
            number = next(self._numbers)
            answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            self._waiting[number] = answer
            try:
                await self._send({"id": number} | asdict(task))
                async with asyncio.timeout(task.timeout_s + OVERTIME_S):
                    return result(task, await answer)
            except (OSError, TimeoutError) as error:
                return Result(Verdict.UNKNOWN, f"could not be run: {error or 'the script host does not answer'}")
            finally:
                self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the host; it ends every script."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(OVERTIME_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader

    async def _send(self, order: dict[str, object]) -> None:
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                await self._start()
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-X",
            "utf8",
            "-c",
            _BOOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )
        self._reader = asyncio.create_task(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            value = json.loads(line)
            waiting = self._waiting.get(value.pop("id"))
            if waiting is not None and not waiting.done():
                waiting.set_result(Outcome(**value))
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(Outcome("fault", None, err="the script host was killed"))
