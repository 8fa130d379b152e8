"""The script host: one small process that forks a cage for every script, instead of a new interpreter for each.

`python -I -c "...; host.main()"`; orders come in on standard input, one JSON line each, answers go out on standard
output. When its input ends (Tidegate has ended, however), it ends every script and itself. Standard library only.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
from types import FrameType
from typing import Any

from tidegate.base import process_tree
from tidegate.probe import replica  # loaded once here, so that no script has to wait for it
from tidegate.probes import cage

_ = replica
CHUNK = 65536


def main() -> None:
    """Serve until standard input ends."""
    process_tree.become_subreaper()
    gc.freeze()  # a collection in a fork would copy the pages of everything loaded here
    wake, wake_write = os.pipe()
    for fd in (wake, wake_write):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cages: dict[int, int] = {}
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(wake, select.POLLIN)
    rest = b""
    while True:
        ready = dict(poll.poll())
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, CHUNK)
            _take_in(cages)
        if 0 in ready:
            data = os.read(0, CHUNK)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                cages[_fork_cage(order)] = order["id"]
    process_tree.end_descendants()


def _fork_cage(order: dict[str, Any]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, _end_all)
        process_tree.die_with_parent(signal.SIGTERM)
        if os.getppid() == parent:
            cage.report(order, 1)
    finally:
        os._exit(0)


def _end_all(_signal: int, _frame: FrameType | None) -> None:
    process_tree.end_descendants()
    os._exit(1)


def _take_in(cages: dict[int, int]) -> None:
    """Cages that ended; one that was killed has not reported, and may have left processes behind."""
    for pid, status in process_tree.reap().items():
        number = cages.pop(pid, None)
        if number is not None and status != 0:
            line = {"id": number, "end": "fault", "code": None, "out": "", "err": "its supervisor was killed"}
            os.write(1, json.dumps(line).encode() + b"\n")
    for pid in process_tree.children(os.getpid()):
        if pid not in cages:  # orphaned by a killed cage; what is below it comes here next
            os.kill(pid, signal.SIGKILL)
