"""The fetching helper as a process: started when a service needs it, found again by the next driver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tidegate.gateway.instance import write_whole

_MODULE = "tidegate.fetch"
_LOG_BYTES = 1024 * 1024


class Helper:
    """One `python -m tidegate.fetch` per state directory, in a session of its own like the proxy."""

    def __init__(self, folder: Path, rules: Path, socket: Path) -> None:
        self._rules = rules
        self._socket = socket
        self._pid_file = folder / "fetch.pid"
        self._log = folder / "fetch.log"
        self._wanted = False

    def pid(self) -> int | None:
        """Its process id if it runs and is ours."""
        try:
            number = int(self._pid_file.read_text())
            with contextlib.suppress(ChildProcessError):
                os.waitpid(number, os.WNOHANG)  # one of ours that has ended leaves nothing behind
            process = psutil.Process(number)
            ours = _MODULE in (line := process.cmdline()) and str(self._rules) in line
            return process.pid if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, psutil.Error):
            return None

    def follow(self, rules: str, wanted: bool) -> None:
        """Have these rules in force; it runs only while it is wanted."""
        self._wanted = wanted
        if wanted:
            write_whole(self._rules, rules)
            self.revive()
        else:
            self._signal(signal.SIGTERM)

    def revive(self) -> None:
        """Start it when it is wanted and has ended. Until it listens, requests that need it are told 503."""
        if not self._wanted or self.pid() is not None:
            return
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(self._rules), str(self._socket)],
                env={name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        write_whole(self._pid_file, f"{process.pid}\n")
        # It is not waited for: it outlives this process, and its end is seen by `pid`.
        process.returncode = 0

    async def stop(self) -> None:
        """End it; within two seconds by asking, then without."""
        self._wanted = False
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._signal(number):
                return
            for _ in range(100):
                if self.pid() is None:
                    return
                await asyncio.sleep(0.02)

    def _signal(self, number: signal.Signals) -> bool:
        pid = self.pid()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return True
