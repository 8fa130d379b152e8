"""The proxy as a process: a master in a session of its own that outlives whoever started it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import signal
from pathlib import Path

import psutil

from tidegate.base.errors import GatewayError
from tidegate.gateway.binary import Binary
from tidegate.gateway.config import LOG_FD
from tidegate.gateway.settings import GatewaySettings

_PIPE_BYTES = 1024 * 1024
# Beside two per connection the proxy needs descriptors for checks, kept connections, sockets and workers' pipes.
_OTHER_DESCRIPTORS = 1000
_LONGEST_SOCKET_PATH = 90


def affordable_connections(wanted: int) -> int:
    """The number of client connections the file-descriptor limit allows, at most `wanted`.

    The proxy raises its own soft limit to the hard one. Worked example: a hard limit of 20 000 gives 9 500.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return wanted
    return max(50, min(wanted, (hard - _OTHER_DESCRIPTORS) // 2))


class ProxyProcess:
    """Starts, finds and ends the master process of one state directory."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings

    def pid(self) -> int | None:
        """The master's process id if it runs and is ours."""
        try:
            pid = int(self.settings.pid_file.read_text().split()[0])
            process = psutil.Process(pid)
            ours = str(self.settings.config_file) in process.cmdline()
            return pid if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, IndexError, psutil.Error):
            return None

    def prepare_folder(self) -> None:
        """Make the state directory and the pipe.

        Raises:
            GatewayError: the folder cannot be used.
        """
        folder = self.settings.state_directory
        if len(str(self.settings.successor_socket)) > _LONGEST_SOCKET_PATH or " " in str(folder):
            raise GatewayError(
                f"gateway state directory {folder}: choose a path without blanks and shorter than 80 characters "
                "(a socket is made in it)"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self.settings.log_pipe.is_fifo():
                self.settings.log_pipe.unlink(missing_ok=True)
                os.mkfifo(self.settings.log_pipe, 0o600)
        except OSError as error:
            raise GatewayError(f"gateway state directory {folder}: {error}") from error

    async def launch(self, binary: Binary) -> None:
        """Start the proxy with the files in the state directory; returns when it listens.

        Raises:
            GatewayError: the files were refused or an address is taken; the message holds what the proxy said.
        """
        s = self.settings
        # The shell opens the pipe for reading and writing, so that the proxy never meets a pipe without a reader.
        script = f'exec "$0" -W -D -S "$1,mode,600" -p "$2" -f "$3" {LOG_FD}<>"$4"'
        arguments = [binary.path, s.master_socket, s.pid_file, s.config_file, s.log_pipe]
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            script,
            *map(str, arguments),
            env={**os.environ, **binary.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        _, said = await process.communicate()
        if process.returncode != 0:
            raise GatewayError(_why(said.decode(errors="replace"), s))

    async def stop(self, grace_s: float) -> None:
        """End it: no new connections, running requests finish; after `grace_s` it is ended without asking."""
        for number, within_s in ((signal.SIGUSR1, grace_s), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
            pid = self.pid()
            if pid is None:
                return
            children = psutil.Process(pid).children()
            os.kill(pid, number)
            if await self._ended(within_s):
                return
            if number == signal.SIGKILL:
                psutil.wait_procs(children, timeout=0)

    async def _ended(self, within_s: float) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while self.pid() is not None:
            if loop.time() > until:
                return False
            await asyncio.sleep(0.02)
        return True


def open_pipe(path: Path) -> int:
    """The reading end of the request lines; made as large as the kernel allows (1 MiB, some 10 000 requests)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    # A smaller pipe holds fewer lines while this process is busy; lost ones are counted.
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return descriptor


def _why(said: str, settings: GatewaySettings) -> str:
    alerts = [line.partition("] ")[2] or line for line in said.splitlines() if "[ALERT]" in line]
    if any("cannot bind" in line.lower() or "Address already in use" in line for line in alerts):
        listen = f"{settings.listen_address}:{settings.listen_port}"
        management = f"{settings.management_address}:{settings.management_port}"
        return f"the gateway cannot listen on {listen} or {management}: " + " / ".join(alerts)
    return "the proxy did not start: " + " / ".join(alerts or [said.strip()[-500:]])
