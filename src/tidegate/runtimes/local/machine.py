"""What this machine has for replicas: cores and memory, as far as its control groups let this process use them."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP_V1_UNLIMITED = 2**60  # version 1 writes "no limit" as a huge number of bytes


def cores(root: Path = Path("/")) -> float:
    """Cores this process may use: its affinity, cut by the quotas of its cgroup and those above it."""
    usable = float(len(os.sched_getaffinity(0)))
    for folder in _cgroup_folders(root, "cpu"):
        usable = min(usable, _quota_v2(folder), _quota_v1(folder))
    return usable


def memory_bytes(root: Path = Path("/")) -> float:
    """Bytes of memory of the machine, cut by the limits of the cgroup and those above it."""
    total = math.inf
    for line in (root / "proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            total = float(line.split()[1]) * 1024
    for folder in _cgroup_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _number(folder / name)
            if limit < CGROUP_V1_UNLIMITED:
                total = min(total, limit)
    return total


def _cgroup_folders(root: Path, controller: str) -> list[Path]:
    """The folders of this process's cgroup and of all above it, in whichever hierarchy has the controller."""
    folders: list[Path] = []
    base = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for top in (base / controller,) if controllers else (base, base / "unified"):
            here = top / path.lstrip("/")
            while here.is_relative_to(top):
                folders.append(here)
                here = here.parent
    return folders


def _number(path: Path) -> float:
    try:
        return float(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return math.inf


def _quota_v2(folder: Path) -> float:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return math.inf if quota == "max" else float(quota) / float(period)
    except (OSError, ValueError):
        return math.inf


def _quota_v1(folder: Path) -> float:
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota / period if 0 < quota < math.inf and period < math.inf else math.inf
