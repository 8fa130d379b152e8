"""The moment at which everything answers: say where, and run a command of the user's."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from tidegate.base.units import format_seconds
from tidegate.cli.output import clean
from tidegate.model.status import Status


def answers(status: Status) -> bool:
    """Whether the gateway is up and every pool that wants replicas has one that is ready."""
    pools = [p for s in status.services for p in s.pools]
    return status.gateway.up and bool(pools) and all(p.ready for p in pools if p.wanted) and not status.stopping


class WhenReady:
    """Looks at statuses until everything answers for the first time; then says so and runs `command` in a shell.

    The command finds the addresses in TIDEGATE_GATEWAY and TIDEGATE_PAGE. What it prints is said line by line, so that
    it never breaks into the live table. Its failure is said and ends nothing.
    """

    def __init__(self, command: str | None, say: Callable[[str], None]) -> None:
        self._command = command
        self._say = say
        self._done = False
        self._task: asyncio.Task[None] | None = None

    def look(self, status: Status) -> None:
        """Take in a status; called inside the event loop."""
        if self._done or not answers(status):
            return
        self._done = True
        self._say(f"Everything answers after {format_seconds(max(0.0, status.uptime_s))}.")
        for service in status.services:
            self._say(f"  {service.name}: {service.url}")
        if status.page:
            self._say(f"  status page: {status.page}")
        if self._command:
            self._task = asyncio.get_running_loop().create_task(self._run(self._command, status))

    async def close(self) -> None:
        """End the command if it still runs."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, command: str, status: Status) -> None:
        env = os.environ | {"TIDEGATE_GATEWAY": status.gateway.url, "TIDEGATE_PAGE": status.page}
        pipe, both = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
        process = await asyncio.create_subprocess_shell(command, stdout=pipe, stderr=both, env=env)
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self._say(clean(line.decode(errors="replace").rstrip("\n")))
            code = await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            raise
        if code:
            self._say(f"The command for --when-ready ended with exit code {code}: {command}")
