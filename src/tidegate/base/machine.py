"""What this machine has: the cores and the memory this process may use, container limits included.

Looked for in the process's own control group and in every one above it, in version 2 and in version 1.
Sources: cgroup v2 `cpu.max` and `memory.max` (https://docs.kernel.org/admin-guide/cgroup-v2.html), cgroup v1
`cpu.cfs_quota_us` and `memory.limit_in_bytes`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

V1_UNLIMITED = 2**60  # version 1 writes "no limit" as a huge number of bytes


def cores(root: Path = Path("/")) -> float:
    """Cores this process may use: its CPU affinity, or less where a quota says so."""
    usable = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)
    for folder in _groups(root, "cpu"):
        usable = min(usable, _quota_v2(folder), _quota_v1(folder))
    return usable


def memory_bytes(root: Path = Path("/")) -> int:
    """Bytes of memory this process may use: the machine's, or less where a limit says so."""
    total = int(psutil.virtual_memory().total)
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _number(folder / name)
            if 0 < limit < V1_UNLIMITED:
                total = min(total, int(limit))
    return total


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of all above it, in whichever hierarchy has the controller."""
    base = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        lines = ["0::/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for top in (base / controller,) if controllers else (base, base / "unified"):
            here = top / path.lstrip("/")
            while here.is_relative_to(top):
                yield here
                here = here.parent


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _number(path: Path) -> float:
    text = _read(path)
    return float(text) if text.isdecimal() else math.inf


def _quota_v2(folder: Path) -> float:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    return _cores(quota, period)


def _quota_v1(folder: Path) -> float:
    return _cores(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _cores(quota: str, period: str) -> float:
    """Quota over period; no number (v2 "max", v1 -1) means no limit."""
    limited = quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0
    return int(quota) / int(period) if limited else math.inf
