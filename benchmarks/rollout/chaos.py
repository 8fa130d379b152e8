"""What else may happen during an upgrade: replicas killed, the proxy reloaded, the control process killed."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path[:0] = [str(Path(__file__).parents[2] / "tests")]

from e2e.system import System  # noqa: E402


@dataclass
class Chaos:
    """Every `every_s` one of: a random replica is killed, HAProxy is reloaded, the control process is killed with
    SIGKILL and started again. The same seed does the same things in the same order."""

    live: System
    seed: int
    every_s: float = 4.0
    done: dict[str, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Chaos:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(60)

    def _run(self) -> None:
        draw = random.Random(self.seed)
        while not self._stop.wait(self.every_s):
            what = draw.choice(["replica", "replica", "reload", "control"])
            {"replica": self._kill_one, "reload": self._reload, "control": self._restart}[what](draw)
            self.done[what] = self.done.get(what, 0) + 1

    def _kill_one(self, draw: random.Random) -> None:
        found = [p for p in self.live.processes() if "replica.py" in " ".join(_command(p))]
        if found:
            with contextlib.suppress(psutil.Error):
                draw.choice(sorted(found, key=lambda p: p.pid)).kill()

    def _reload(self, _: random.Random) -> None:
        """The master worker re-reads its file and starts a new worker; the old one ends its requests."""
        for p in self.live.processes():
            if "haproxy" in " ".join(_command(p)[:1]) and not _is_haproxy(p.parent()):
                with contextlib.suppress(psutil.Error):
                    p.send_signal(signal.SIGUSR2)

    def _restart(self, _: random.Random) -> None:
        self.live.kill()
        time.sleep(1.0)
        self.live.process = None
        self.live.up()


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _is_haproxy(process: psutil.Process | None) -> bool:
    return process is not None and "haproxy" in " ".join(_command(process)[:1])
