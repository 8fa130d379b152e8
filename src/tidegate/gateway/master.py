"""The proxy's master socket: one connection per question, several commands in one line, answered by a worker by id."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from tidegate.base.errors import GatewayError
from tidegate.gateway.tables import Workers, read_workers

# The proxy reads one line of commands into one buffer (1 MiB or more here); 200 commands are some 50 KiB.
_COMMANDS_PER_LINE = 200
_ANSWER_S = 5.0
_OLD_ANSWER_S = 0.3
_RELOAD_S = 30.0
_START_S = 10.0


class MasterSocket:
    """Questions to the master process and, through it, to its workers."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def workers(self) -> Workers:
        return read_workers(await self._ask("show proc"))

    async def ready(self) -> Workers:
        """Wait until the proxy answers; right after its start the master starts itself anew and resets connections.

        Raises:
            GatewayError: it does not answer in time.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + _START_S
        while True:
            try:
                workers = await self.workers()
                if workers.current is not None:
                    return workers
                fault = GatewayError(f"the proxy at {self.path} has no worker")
            except GatewayError as error:
                fault = error
            if loop.time() > until:
                raise fault
            await asyncio.sleep(0.01)

    async def worker(self, pid: int, command: str, *, old: bool = False) -> str:
        """The answer of one worker; an `old` one may end without answering, so it is given less time.

        Raises:
            GatewayError: the master does not answer, or that worker has ended.
        """
        answer = await self._ask(f"@!{pid} {command}", _OLD_ANSWER_S if old else _ANSWER_S)
        if answer.startswith("Can't find the target"):
            raise GatewayError(f"the proxy's worker {pid} has ended")
        return answer

    async def tell(self, pid: int, commands: Iterable[str], *, old: bool = False) -> tuple[str, ...]:
        """Run commands on a worker; the lines it answered that are not empty."""
        commands = list(commands)
        answers: list[str] = []
        for i in range(0, len(commands), _COMMANDS_PER_LINE):
            line = ";".join(f"@!{pid} {c}" for c in commands[i : i + _COMMANDS_PER_LINE])
            answers += (await self._ask(line, _OLD_ANSWER_S if old else _ANSWER_S)).splitlines()
        return tuple(a for a in answers if a)

    async def reload(self) -> None:
        """Start a worker with the present files and let the old one finish; returns when the new one has taken over.

        Raises:
            GatewayError: the files were refused; the old worker goes on as before.
        """
        answer = await self._ask("reload", _RELOAD_S)
        if not answer.startswith("Success=1"):
            alerts = [line for line in answer.splitlines() if "[ALERT]" in line]
            raise GatewayError("the proxy refused its new configuration: " + " / ".join(alerts or [answer.strip()]))

    async def _ask(self, line: str, within_s: float = _ANSWER_S) -> str:
        try:
            async with asyncio.timeout(within_s):
                reader, writer = await asyncio.open_unix_connection(self.path)
                try:
                    writer.write(line.encode() + b"\n")
                    writer.write_eof()
                    return (await reader.read()).decode(errors="replace")
                finally:
                    writer.close()
        except TimeoutError:
            raise GatewayError(f"the proxy did not answer within {within_s:g} s at {self.path}") from None
        except OSError as error:
            raise GatewayError(f"the proxy cannot be reached at {self.path}: {error}") from error
