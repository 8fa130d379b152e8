"""What this machine has: the cores and the memory this process may use, container limits included.

Sources: cgroup v2 `cpu.max` and `memory.max` (https://docs.kernel.org/admin-guide/cgroup-v2.html).
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def cores(cgroup: Path = CGROUP) -> float:
    """Cores this process may use: its CPU affinity, or less where a container's quota says so."""
    allowed = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0:
        return min(allowed, int(quota) / int(period))
    return allowed


def memory_bytes(cgroup: Path = CGROUP) -> int:
    """Bytes of memory this process may use: the machine's, or less where a container's limit says so."""
    total = int(psutil.virtual_memory().total)
    limit = _read(cgroup / "memory.max")
    return min(total, int(limit)) if limit.isdecimal() and int(limit) > 0 else total


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
