"""The supervisor of one replica: `python -I -S -c "...; shim.main()" FOLDER`.

It starts the replica in a session of its own, carries its output into a rotated log, stops it when told (preStop,
SIGTERM, SIGKILL), ends everything that is left of it, and writes down how it ended. It lives as long as the replica
does, whatever happens to Tidegate; when it is killed itself, the kernel kills the replica with it.

Protocol, all in FOLDER: `order.json` is there before it starts; it writes `child.json` once the replica runs and
`exit.json` as its last act; `stop.json` followed by SIGTERM tells it to stop (SIGTERM alone: with the grace of the
order), and `stages.json` says how far that is. Three file descriptors are inherited and never read: 3 holds the lock
that says it lives, 4 reserves its port, 5 is closed once the replica runs, which whoever holds the other end notices.

Standard library only, about 20 ms to start. Order of events when stopping is Kubernetes': the grace covers preStop.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time

from tidegate.base import process_tree

TYPE_CHECKING = False  # typing takes 2 ms to import
if TYPE_CHECKING:
    from typing import Any

CHUNK = 65536
WATCH_S = 1.0  # how often memory is looked at when no cgroup limits it
REAP_S = 5.0  # wake up at least this often: children may end while a signal is on its way
OOM_SCORE = "500"  # when the machine runs out of memory, replicas go before Tidegate and the gateway
LOCK_FD, PORT_FD, STARTED_FD = 3, 4, 5
NOT_FOUND, NOT_RUNNABLE = 127, 126  # exit codes a shell gives for the same faults


def write_json(path: str, value: object) -> None:
    """Write a whole file or nothing: a reader never sees a part of it."""
    temporary = f"{path}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(value, file)
    os.replace(temporary, path)


class Log:
    """The replica's output: `path`, and `path`.1 before it; together never more than `limit` bytes.

    A full disk loses output and never blocks the replica.
    """

    def __init__(self, path: str, limit: int) -> None:
        self.path = path
        self.half = max(limit // 2, CHUNK)
        self._open()

    def _open(self) -> None:
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = os.fstat(self.fd).st_size

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            if self.size + len(data) > self.half:
                os.replace(self.path, f"{self.path}.1")
                os.close(self.fd)
                self._open()
            self.size += os.write(self.fd, data)


class ExecFailed(Exception):
    """The program could not be run; carries errno and what was being done."""


def spawn(argv: list[str], order: dict[str, Any], out: int) -> int:
    """Start a program in a session of its own, with the replica's environment, folder and limits.

    Raises:
        ExecFailed: it could not be run.
    """
    read_end, write_end = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        step = "start"
        try:
            os.setsid()
            process_tree.die_with_parent()
            if os.getppid() != parent:
                os._exit(1)
            for sig in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT):
                signal.signal(sig, signal.SIG_DFL)
            _limit_self(order)
            step = f"enter {order['cwd']}"
            os.chdir(order["cwd"])
            null = os.open(os.devnull, os.O_RDONLY)
            for source, number in ((null, 0), (out, 1), (out, 2)):
                os.dup2(source, number)
            step = f"run {argv[0]}"
            os.execve(argv[0], argv, order["env"])
        except BaseException as error:
            errno = error.errno if isinstance(error, OSError) and error.errno else 0
            os.write(write_end, f"{errno} cannot {step}: {error}".encode()[:4000])
        finally:
            os._exit(NOT_FOUND)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        fault = pipe.read().decode(errors="replace")
    if fault:
        os.waitpid(pid, 0)
        errno_text, _, text = fault.partition(" ")
        raise ExecFailed(int(errno_text), text)
    return pid


def _limit_self(order: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        _put("/proc/self/oom_score_adj", OOM_SCORE)
    if order.get("cgroup"):
        _put(f"{order['cgroup']}/cgroup.procs", str(os.getpid()))
    if order.get("cpus"):
        os.sched_setaffinity(0, order["cpus"])


def _put(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


class Supervisor:
    """One replica from its start to its end."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        with open(f"{folder}/order.json") as file:
            self.order = json.load(file)
        self.log = Log(self.order["log"], self.order["log_bytes"])
        self.out, self.out_write = os.pipe()
        os.set_blocking(self.out, False)
        self.child = 0
        self.status: int | None = None
        self.detail = ""
        self.pre_stop = 0
        self.deadline: float | None = None
        self.stop_asked = False
        self.term_sent = False
        self.stages: list[tuple[str, float]] = []

    def run(self) -> None:
        """Start the replica, stay until it has ended, leave nothing behind."""
        wake = self._listen()
        try:
            self.child = spawn(self.order["argv"], self.order, self.out_write)
        except ExecFailed as error:
            code = NOT_FOUND if error.args[0] == 2 else NOT_RUNNABLE
            self._write_exit(code, str(error.args[1]))
            return
        write_json(f"{self.folder}/child.json", {"pid": self.child, "ticks": process_tree.start_ticks(self.child) or 0})
        with contextlib.suppress(OSError):
            os.close(STARTED_FD)
        poll = select.poll()
        poll.register(self.out, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while self.status is None:
            events = dict(poll.poll(self._patience_s() * 1000))
            if self.out in events:
                self._carry()
            if wake in events:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
            self._reap()
            if self.status is None:
                self._stopping()
                self._watch_memory()
        self._finish()

    def _listen(self) -> int:
        """Signals become readable bytes; the returned descriptor wakes the loop."""
        wake, wake_write = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        return wake

    def _on_term(self, *_: object) -> None:
        self.stop_asked = True

    def _patience_s(self) -> float:
        waits = [REAP_S]
        if self.order.get("memory_bytes"):
            waits.append(WATCH_S)
        if self.deadline is not None:
            waits.append(max(0.0, self.deadline - time.monotonic()))
        return min(waits)

    def _carry(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.log.write(os.read(self.out, CHUNK))

    def _reap(self) -> None:
        ended = process_tree.reap()
        if self.pre_stop in ended:
            self.pre_stop = 0
        self.status = ended.get(self.child)

    def _watch_memory(self) -> None:
        limit = self.order.get("memory_bytes")
        if not limit or self.status is not None:
            return
        pids = process_tree.descendants(os.getpid())
        if process_tree.held_at_most_bytes(pids) <= limit or self.detail:
            return
        held = process_tree.held_bytes(pids)
        if held > limit:
            self.detail = f"out of memory: held {held >> 20} MiB of {limit >> 20} MiB"
            os.killpg(self.child, signal.SIGKILL)

    # -- stopping ------------------------------------------------------------------------------------------------

    def _stopping(self) -> None:
        """One look at how far the stop is: preStop first, then SIGTERM, and SIGKILL once the grace is over."""
        if self.stop_asked:
            self.stop_asked = False
            self._begin_stop()
        if self.deadline is None:
            return
        if not self.pre_stop and not self.term_sent:
            self.term_sent = True
            self._stage("SIGTERM")
            os.killpg(self.child, signal.SIGTERM)
        if time.monotonic() >= self.deadline:
            self._stage("SIGKILL")
            os.killpg(self.child, signal.SIGKILL)
            self.deadline += REAP_S

    def _stage(self, name: str) -> None:
        """Write down how far the stop is; a full disk does not hold it up."""
        if all(name != done for done, _ in self.stages):
            self.stages.append((name, time.time()))
            with contextlib.suppress(OSError):
                write_json(f"{self.folder}/stages.json", {"stages": self.stages})

    def _begin_stop(self) -> None:
        grace_s = float(self.order.get("grace_s", 30.0))
        with contextlib.suppress(OSError, ValueError), open(f"{self.folder}/stop.json") as file:
            grace_s = float(json.load(file)["grace_s"])
        until = time.monotonic() + grace_s
        first = self.deadline is None
        self.deadline = until if self.deadline is None else min(self.deadline, until)
        if first and self.order.get("pre_stop"):
            self._stage("preStop")
            try:
                self.pre_stop = spawn(self.order["pre_stop"], self.order, self.out_write)
            except ExecFailed as error:
                self.log.write(f"tidegate: preStop failed: {error.args[1]}\n".encode())

    def _finish(self) -> None:
        """The replica has ended: end what it left behind, keep its last words, say how it went."""
        process_tree.end_descendants()
        if self.order.get("cgroup"):
            with contextlib.suppress(OSError):
                _put(f"{self.order['cgroup']}/cgroup.kill", "1")
        os.close(self.out_write)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.out, CHUNK):
                self.log.write(data)
        code = os.waitstatus_to_exitcode(self.status or 0)
        self._write_exit(code, self.detail or self._killed_by_cgroup())

    def _killed_by_cgroup(self) -> str:
        if self.order.get("cgroup"):
            with contextlib.suppress(OSError), open(f"{self.order['cgroup']}/memory.events") as file:
                kills = dict(line.split() for line in file).get("oom_kill", "0")
                if kills != "0":
                    return f"out of memory: limit {int(self.order['resources']['memory']) >> 20} MiB"
        return ""

    def _write_exit(self, code: int, detail: str) -> None:
        write_json(f"{self.folder}/exit.json", {"exit_code": code, "at": time.time(), "detail": detail})


def main() -> None:
    """Supervise the replica whose folder is the first argument."""
    for fd in (LOCK_FD, PORT_FD, STARTED_FD):
        with contextlib.suppress(OSError):
            os.set_inheritable(fd, False)
    os.closerange(STARTED_FD + 1, 65536)  # whatever Tidegate itself was started with stays out of the replica
    folder = sys.argv[1]
    if os.path.exists(f"{folder}/exit.json"):
        return
    process_tree.become_subreaper()
    ticks = process_tree.start_ticks(os.getpid())
    write_json(f"{folder}/shim.json", {"pid": os.getpid(), "ticks": ticks})
    Supervisor(folder).run()
