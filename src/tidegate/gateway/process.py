"""The proxy as a process: a master in a session of its own that outlives whoever started it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import signal
import stat
from pathlib import Path

import psutil

from tidegate.base.errors import GatewayError
from tidegate.gateway.binary import Binary
from tidegate.gateway.lines import LOG_FD
from tidegate.gateway.settings import GatewaySettings

_PIPE_BYTES = 1024 * 1024
# Beside two per connection the proxy needs descriptors for checks, kept connections, sockets and workers' pipes.
_OTHER_DESCRIPTORS = 1000


def affordable_connections(wanted: int, bytes_each: int) -> int:
    """The number of client connections that file descriptors and memory allow, at most `wanted`.

    Each may hold a buffer of `bytes_each`; all together get half of the machine's memory. The proxy raises its own soft
    limit of descriptors to the hard one. Worked example: a hard limit of 20 000 gives 9 500; 2 GiB of memory and
    buffers of 244 KiB give 4 297.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    described = wanted if hard == resource.RLIM_INFINITY else (hard - _OTHER_DESCRIPTORS) // 2
    held = psutil.virtual_memory().total // 2 // bytes_each
    return max(50, min(wanted, described, held))


def affordable_memory(wanted: int) -> int:
    """Bytes for bodies in lanes: at most `wanted`, and half of what the machine has."""
    return int(min(wanted, psutil.virtual_memory().total // 2))


class ProxyProcess:
    """Starts, finds and ends the master process that belongs to a folder."""

    def __init__(self, folder: Path, master_socket: Path, pipe: Path) -> None:
        self.folder = folder
        self.master_socket = master_socket
        self.pipe = pipe
        self.config_file = folder / "haproxy.cfg"
        self.pid_file = folder / "haproxy.pid"

    def pid(self) -> int | None:
        """The master's process id if it runs and is ours."""
        try:
            pid = int(self.pid_file.read_text().split()[0])
            process = psutil.Process(pid)
            ours = str(self.config_file) in process.cmdline()
            return pid if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, IndexError, psutil.Error):
            return None

    async def launch(self, binary: Binary) -> None:
        """Start the proxy with the files in the folder; returns when it listens.

        A start that is under way is waited for, also by who is cancelled: only then is it known what has to be ended.

        Raises:
            GatewayError: the files were refused or an address is taken; the message holds what the proxy said.
        """
        starting = asyncio.ensure_future(self._launch(binary))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.gather(starting, return_exceptions=True)
            raise

    async def _launch(self, binary: Binary) -> None:
        # The shell opens the pipe for reading and writing, so that the proxy never meets a pipe without a reader.
        script = f'exec "$0" -W -D -S "$1,mode,600" -p "$2" -f "$3" {LOG_FD}<>"$4"'
        arguments = [binary.path, self.master_socket, self.pid_file, self.config_file, self.pipe]
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
            raise GatewayError(_why(said.decode(errors="replace")))

    def leave(self) -> None:
        """Tell it to end once its running requests have; returns at once."""
        self._signal(signal.SIGUSR1)

    async def stop(self, grace_s: float) -> None:
        """End it: no new connections, running requests finish; after `grace_s` it is ended without asking."""
        for number, within_s in ((signal.SIGUSR1, grace_s), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
            if not self._signal(number) or await self._ended(within_s):
                return

    def _signal(self, number: signal.Signals) -> bool:
        pid = self.pid()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    async def _ended(self, within_s: float) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while self.pid() is not None:
            if loop.time() > until:
                return False
            await asyncio.sleep(0.02)
        return True


def prepare_folder(settings: GatewaySettings) -> None:
    """Make the state directory and the pipe.

    Raises:
        GatewayError: the folder cannot be used.
    """
    folder = settings.state_directory
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        sockets = settings.socket_folder
        sockets.mkdir(exist_ok=True, mode=0o700)
        # Below /tmp somebody else may have made it; the master's socket obeys whoever can reach it.
        found = sockets.stat() if sockets == folder else sockets.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise GatewayError(f"{sockets} is not a folder; remove it")
        if found.st_uid != os.getuid() or (sockets != folder and found.st_mode & 0o077):
            raise GatewayError(f"{sockets} is open to other users; remove it")
        if not settings.log_pipe.is_fifo():
            settings.log_pipe.unlink(missing_ok=True)
            os.mkfifo(settings.log_pipe, 0o600)
    except OSError as error:
        raise GatewayError(f"gateway state directory {folder}: {error}") from error


def open_pipe(path: Path) -> int:
    """The reading end of the request lines; made as large as the kernel allows (1 MiB, some 10 000 requests)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    # A smaller pipe holds fewer lines while this process is busy; lost ones are counted.
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return descriptor


def _why(said: str) -> str:
    alerts = [line.partition("] ")[2] or line for line in said.splitlines() if "[ALERT]" in line]
    if any("cannot bind" in line.lower() or "address already in use" in line.lower() for line in alerts):
        return "the gateway cannot listen: " + " / ".join(alerts)
    return "the proxy did not start: " + " / ".join(alerts or [said.strip()[-500:]])
