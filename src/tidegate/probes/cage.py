"""One run of a script or command, fenced in: time, memory, number of processes and output are bounded.

Runs in a process of its own, forked by `host`. Whatever the script does (hang, fork, detach, fill its memory, print
without end), nothing of it is left when the cage reports, and the report fits in one line.
Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any

from tidegate.base import process_tree
from tidegate.probe.run import run_script

WATCH_S = 0.05  # how often memory and processes are looked at; at first every EARLY_WATCH_S, for a script that forks
EARLY_WATCH_S, EARLY_S = 0.005, 0.1  # doubles its processes every few milliseconds
MOST_PROCESSES = 64
STOOD_STILL_S = 0.5  # a wait so much longer than it was to be: neither this process nor, likely, the script could run
SHARED_BYTES = 16 * 2**20  # on top for each process: the interpreter they share, which the quick count sees in each
TAIL_BYTES = 4096  # kept of each stream; the rest is read and dropped, so that a script is never blocked by its output
REASON_CHARS = 300  # two of them, four bytes a character, fit into one line below 4096 bytes
CHUNK = 65536


def run(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out `order` and say how it ended.

    The order: `id`, `cwd`, `env`, `timeout_s`, `memory_bytes`, and `argv` for a command or `script`, `text` and `args`.
    The answer: `id`, `end` ("exited", "timeout", "memory", "processes" or "fault"), `code` (negative: a signal),
    `out` and `err` (the last line of each stream), `took_s`.
    """
    process_tree.become_subreaper()
    started = time.monotonic()
    out, out_write = os.pipe()
    err, err_write = os.pipe()
    child = _fork(order, out_write, err_write)
    os.close(out_write)
    os.close(err_write)
    tails = {out: b"", err: b""}
    end, status = _wait(order, child, tails, started + order["timeout_s"])
    ended = process_tree.end_descendants()
    for fd in tails:
        _drain(fd, tails)
    if status is None:
        status = ended.get(child)
    return {
        "id": order["id"],
        "end": end,
        "code": os.waitstatus_to_exitcode(status) if status is not None else None,
        "out": _last_line(tails[out]),
        "err": _last_line(tails[err]),
        "took_s": time.monotonic() - started,
    }


def _wait(order: dict[str, Any], child: int, tails: dict[int, bytes], deadline: float) -> tuple[str, int | None]:
    """Until the script ends or breaks a bound: (why it is over, the wait status if it ended by itself)."""
    poll = select.poll()
    pidfd = os.pidfd_open(child)
    poll.register(pidfd, select.POLLIN)
    for fd in tails:
        os.set_blocking(fd, False)
        poll.register(fd, select.POLLIN)
    look_at = time.monotonic() + EARLY_WATCH_S
    early_until = time.monotonic() + EARLY_S
    try:
        while True:
            now = time.monotonic()
            if now >= deadline:
                return "timeout", None
            if now >= look_at:
                look_at = now + (EARLY_WATCH_S if now < early_until else WATCH_S)
                broken = _broken_bound(order)
                if broken:
                    return broken, None
            wait_s = max(0.0, min(deadline, look_at) - now)
            ready = dict(poll.poll(wait_s * 1000 + 1))
            overslept_s = time.monotonic() - now - wait_s
            if overslept_s > STOOD_STILL_S:
                deadline += overslept_s
            if pidfd in ready:
                return "exited", process_tree.reap().get(child)
            for fd in tails:
                if fd in ready and not _read(fd, tails):
                    poll.unregister(fd)
    finally:
        os.close(pidfd)


def _limit_processes() -> None:
    """The kernel's own bound, which root does not have: what the user runs now, and `MOST_PROCESSES` on top."""
    if os.geteuid() != 0:
        mine = sum(process_tree.threads_of_user(os.geteuid()))
        hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        limit = mine + MOST_PROCESSES
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (bound, bound))


def _broken_bound(order: dict[str, Any]) -> str:
    pids = process_tree.descendants(os.getpid(), most=MOST_PROCESSES + 1)
    if len(pids) > MOST_PROCESSES:
        return "processes"
    limit = order["memory_bytes"] + SHARED_BYTES * len(pids)
    return "memory" if process_tree.held_at_most_bytes(pids) > limit else ""


def _read(fd: int, tails: dict[int, bytes]) -> bool:
    """Take one chunk; False at the end of the stream."""
    try:
        data = os.read(fd, CHUNK)
    except BlockingIOError:
        return True
    tails[fd] = (tails[fd] + data)[-TAIL_BYTES:]
    return bool(data)


def _drain(fd: int, tails: dict[int, bytes]) -> None:
    with contextlib.suppress(BlockingIOError):
        while data := os.read(fd, CHUNK):
            tails[fd] = (tails[fd] + data)[-TAIL_BYTES:]


def _last_line(tail: bytes) -> str:
    lines = tail.decode(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return "".join(c if c.isprintable() else " " for c in last).strip()[:REASON_CHARS]


def _fork(order: dict[str, Any], out: int, err: int) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 127
    try:
        os.setsid()
        process_tree.die_with_parent()
        if os.getppid() != parent:
            os._exit(1)
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(sig, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, number in ((null, 0), (out, 1), (err, 2)):
            os.dup2(source, number)
        os.closerange(3, 65536)
        os.chdir(order["cwd"])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _limit_processes()
        if order.get("argv"):
            os.execve(order["argv"][0], order["argv"], order["env"])
        code = _python(order)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"cannot run: {error}\n".encode())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code & 0xFF)


def _python(order: dict[str, Any]) -> int:
    """Run the script in this interpreter, which is warm: the fork of one that has the SDK loaded."""
    os.environ.clear()
    os.environ.update(order["env"])
    sys.path[:0] = [p for p in order["env"].get("PYTHONPATH", "").split(os.pathsep) if p]
    # Private writable memory, not address space: numpy and CUDA reserve far more of that than they use.
    resource.setrlimit(resource.RLIMIT_DATA, (order["memory_bytes"], order["memory_bytes"]))
    return run_script(order["script"], order["args"], order["text"])


def report(order: dict[str, Any], fd: int) -> None:
    """Run the order and write its answer to `fd` as one line. Lines below 4096 bytes of several cages never mix."""
    try:
        answer = run(order)
    except Exception as error:
        answer = {"id": order["id"], "end": "fault", "code": None, "out": "", "err": str(error)[:REASON_CHARS]}
    os.write(fd, json.dumps(answer, ensure_ascii=False).encode() + b"\n")
