"""The processes below one: who they are, what memory they hold, and ending all of them. Linux only (/proc, prctl).

Standard library only and quick to import (the supervisor of every replica and of every probe script loads it).
Signals go through pidfds after a second look at the process, so a recycled pid is never hit.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h: orphans below this process become its children instead of init's
END_S, END_PAUSE_S = 5.0, 0.002


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def become_subreaper() -> None:
    """From now on every process below this one stays below it, however often it forks."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(sig: int = signal.SIGKILL) -> None:
    """Get `sig` when the parent dies (in a child, before exec)."""
    _prctl(PR_SET_PDEATHSIG, sig)


def _stat(pid: int) -> tuple[str, int, int] | None:
    """(state, parent, start time in clock ticks since boot), None when there is no such process.

    The name in field 2 may hold spaces and brackets, so fields are counted from its last bracket.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[1]), int(fields[19])


def start_ticks(pid: int) -> int | None:
    """When `pid` started (clock ticks since boot): with the pid, the identity of a process. None: it has ended."""
    seen = _stat(pid)
    return None if seen is None or seen[0] in "ZX" else seen[2]


def children(pid: int) -> list[int]:
    """The direct children of `pid`, over all of its threads, zombies included."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except FileNotFoundError:
        if start_ticks(pid) is not None:  # a kernel without CONFIG_PROC_CHILDREN
            return [p for p in all_pids() if (s := _stat(p)) is not None and s[1] == pid]
    except OSError:
        pass
    return found


def all_pids() -> Iterator[int]:
    """Every process that can be seen."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def descendants(pid: int, *, most: int = 100_000) -> list[int]:
    """The processes below `pid`, parents before their children; no more than about `most`.

    A tree that grows faster than it can be read would otherwise never end.
    """
    found: list[int] = []
    front = children(pid)
    seen = {pid}
    while front and len(found) < most:
        found += front
        seen.update(front)
        front = [c for p in front[:most] for c in children(p) if c not in seen]
    return found


def held_at_most_bytes(pids: Iterable[int]) -> int:
    """Memory that belongs to these processes, counted quickly: what they share after a fork counts once for each."""
    return sum(_sum_kib(f"/proc/{pid}/status", _QUICK) for pid in pids) * 1024


def held_bytes(pids: Iterable[int]) -> int:
    """Memory that belongs to these processes: anonymous, shared and swapped; pages of files count for nobody.

    Pages shared after a fork are counted by their share: a server that forks workers from a loaded model does not
    hold the model many times. Takes milliseconds per GiB, and waits for processes that are forking.
    """
    pids = list(pids)
    return sum(_sum_kib(f"/proc/{pid}/smaps_rollup", _EXACT) for pid in pids) * 1024 or held_at_most_bytes(pids)


_QUICK = (b"RssAnon:", b"RssShmem:", b"VmSwap:")
_EXACT = (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")


def _sum_kib(path: str, names: tuple[bytes, ...]) -> int:
    total = 0
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        for line in file:
            if line.startswith(names):
                total += int(line.split()[1])
    return total


def rss_bytes(pids: Iterable[int]) -> int:
    """Resident memory of these processes, pages of files included (shared ones are counted once per process)."""
    page, total = os.sysconf("SC_PAGE_SIZE"), 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", "rb") as file:
            total += int(file.read().split()[1]) * page
    return total


def send(pid: int, ticks: int | None, sig: int) -> bool:
    """Signal `pid` if it is still the process that started at `ticks`; False when it is not."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if ticks is None or start_ticks(pid) != ticks:
            return False
        signal.pidfd_send_signal(fd, sig)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def reap() -> dict[int, int]:
    """Take in every child that has ended: wait status by pid."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = status
    return ended


def _kill_group(child: int) -> None:
    """SIGKILL a child and its process group, unless that is this process's own."""
    with contextlib.suppress(ProcessLookupError):
        group = os.getpgid(child)
        if group != os.getpgrp():
            os.killpg(group, signal.SIGKILL)
        else:
            os.kill(child, signal.SIGKILL)


def end_descendants() -> dict[int, int]:
    """SIGKILL everything below this process until nothing is left; the wait statuses it took in.

    Needs `become_subreaper`: what loses its parent becomes a child of this process, so killing direct children again
    and again reaches everything, and hits nothing else (the pid of a child is not given away before it is taken in).
    Whole process groups are killed: that is one step for the kernel, which a group cannot outrun by forking. Bounded by
    `END_S`: a process in uninterruptible sleep outlives that, or one that forks into new sessions without end.
    """
    ended: dict[int, int] = {}
    me = os.getpid()
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline:
        ended |= reap()
        left = children(me)
        if not left:
            break
        for pid in left:
            _kill_group(pid)
        select.select([], [], [], END_PAUSE_S)
    return ended


def threads_of_user(uid: int) -> Iterator[int]:
    """The number of threads of each process of a user: what RLIMIT_NPROC counts."""
    for pid in all_pids():
        with contextlib.suppress(OSError, ValueError):
            if os.stat(f"/proc/{pid}").st_uid == uid:
                yield os.stat(f"/proc/{pid}/task").st_nlink - 2


def marked(prefix: str) -> dict[int, str]:
    """Processes whose environment (as it was at exec) has an entry that starts with `prefix`: that entry by pid."""
    found: dict[int, str] = {}
    wanted = prefix.encode()
    for pid in all_pids():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            for entry in file.read().split(b"\0"):
                if entry.startswith(wanted):
                    found[pid] = entry.decode(errors="replace")
                    break
    return found


def end_marked(prefix: str, *, keep: Iterable[str] = (), within_s: float = 2.0) -> int:
    """SIGKILL every process with such an entry in its environment, and all below it; how many were hit.

    Entries in `keep` are left alone.
    """
    hit: set[int] = set()
    spared = set(keep)
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = [p for p, entry in marked(prefix).items() if entry not in spared and start_ticks(p) is not None]
        if not found:
            break
        for pid in [*found, *(d for p in found for d in descendants(p))]:
            if send(pid, start_ticks(pid), signal.SIGKILL):
                hit.add(pid)
        time.sleep(END_PAUSE_S)
    return len(hit)
