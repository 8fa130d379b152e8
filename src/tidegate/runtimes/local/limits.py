"""Keeping a replica to its share of cores, memory and cards.

Where a cgroup of version 2 can be written, the kernel does it (`cpu.max`, `memory.max`). Elsewhere each replica is
tied to as many cores as it asks for, the least used ones, and its supervisor looks at its memory once a second. An
address-space limit (RLIMIT_AS) is no substitute: CUDA and numpy reserve tens of gigabytes that they never touch.
Thread-count variables are set in both cases.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tidegate.base.errors import RuntimeFault
from tidegate.runtimes.local.records import Order
from tidegate.spec.common import Resources

CPU_PERIOD_US = 100_000  # the kernel's default; quotas are written per this time
CGROUP_ROOT = Path("/sys/fs/cgroup")
NEEDED = {"cpu", "memory"}


@dataclass(frozen=True, slots=True)
class Share:
    """What one replica is given: a cgroup, or cores and a memory bound to watch; and the cards of each GPU kind."""

    cgroup: str = ""
    cpus: list[int] | None = None
    memory_bytes: int = 0
    cards: dict[str, list[int]] | None = None

    def variables(self, offered: dict[str, int]) -> dict[str, str]:
        """What tells CUDA its cards. Kinds are numbered one after the other in the order of the cluster manifest."""
        if not offered:
            return {}
        first, numbers = 0, []
        for kind, count in offered.items():
            numbers += [str(first + n) for n in (self.cards or {}).get(kind, [])]
            first += count
        return {"CUDA_VISIBLE_DEVICES": ",".join(numbers)}


class Limits:
    """Shares out this machine. Knows only the orders it is given; `detail` says in words how limits are kept."""

    def __init__(self, cluster: str, cards: dict[str, int], root: Path = CGROUP_ROOT) -> None:
        self._cards = cards
        self._usable = sorted(os.sched_getaffinity(0))
        self._group, why_not = _delegated(root, cluster)
        self.detail = (
            f"limits: cgroup v2 at {self._group}"
            if self._group is not None
            else f"limits: cores by affinity, memory watched every second ({why_not})"
        )

    def share(self, replica: str, wants: Resources, others: Iterable[Order]) -> Share:
        """A share for a new replica beside `others`.

        Raises:
            RuntimeFault: not enough cards of a kind are free.
        """
        others = tuple(others)
        cards = self._free_cards(replica, wants, others)
        if self._group is not None:
            with contextlib.suppress(OSError):
                return Share(cgroup=_group_for(self._group / replica, wants), cards=cards)
        return Share(cpus=self._quietest(wants.cpu, others), memory_bytes=wants.memory, cards=cards)

    def give_back(self, order: Order) -> None:
        """Remove the cgroup of a replica that has ended."""
        if order.cgroup:
            with contextlib.suppress(OSError):
                Path(order.cgroup).rmdir()

    def close(self) -> None:
        """Remove the group of all replicas if it is empty."""
        if self._group is not None:
            with contextlib.suppress(OSError):
                self._group.rmdir()

    def _quietest(self, cpu: float, others: tuple[Order, ...]) -> list[int]:
        """The cores with the least promised on them; a replica of 0.5 cores shares one."""
        promised: dict[int, float] = defaultdict(float)
        for order in others:
            for core in order.cpus or ():
                promised[core] += order.resources["cpu"] / len(order.cpus or ())
        count = min(len(self._usable), max(1, math.ceil(cpu)))
        return sorted(sorted(self._usable, key=lambda c: (promised[c], c))[:count])

    def _free_cards(self, replica: str, wants: Resources, others: tuple[Order, ...]) -> dict[str, list[int]]:
        chosen: dict[str, list[int]] = {}
        for kind, count in wants.gpu.items():
            taken = {n for o in others for n in (o.cards or {}).get(kind, [])}
            free = [n for n in range(self._cards.get(kind, 0)) if n not in taken]
            if len(free) < count:
                raise RuntimeFault(f"replica {replica} needs {count} card(s) of kind {kind}, {len(free)} free here")
            chosen[kind] = free[:count]
        return chosen


def _group_for(group: Path, wants: Resources) -> str:
    group.mkdir(exist_ok=True)
    settings = {
        "cpu.max": f"{max(1000, round(wants.cpu * CPU_PERIOD_US))} {CPU_PERIOD_US}",
        "memory.max": str(wants.memory),
        "memory.swap.max": "0",  # a replica that swaps answers, but not in time
        "memory.oom.group": "1",
    }
    for name, value in settings.items():
        try:
            (group / name).write_text(value)
        except OSError:
            if name in ("cpu.max", "memory.max"):
                raise
    return str(group)


def _delegated(root: Path, cluster: str) -> tuple[Path | None, str]:
    """A cgroup below which replicas can be limited, or None and why there is none.

    First this process's own cgroup, if everything in it is this process (a scope or service with Delegate=yes): it
    moves into a leaf of its own, since a group with limited children may hold no process. Then, for root, a group
    at the top of the hierarchy.
    """
    if not (root / "cgroup.controllers").is_file():
        return None, f"no cgroup v2 at {root}"
    own = _own_group(root)
    why = "no cgroup that may be written"
    if own != root and _only_us(own):
        try:
            leaf = own / "tidegate-control"
            leaf.mkdir(exist_ok=True)
            (leaf / "cgroup.procs").write_text(str(os.getpid()))
            return _enable(own, f"replicas-{cluster}"), ""
        except OSError as error:
            why = f"{own}: {error.strerror}"
    try:
        return _enable(root, f"tidegate-{cluster}"), ""
    except OSError as error:
        return None, f"{why}; {root}: {error.strerror}"


def _own_group(root: Path) -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return root / line[3:].lstrip("/")
    return root


def _only_us(group: Path) -> bool:
    try:
        return (group / "cgroup.procs").read_text().split() == [str(os.getpid())]
    except OSError:
        return False


def _enable(parent: Path, name: str) -> Path:
    """Make `parent`/`name` with the controllers on for its children.

    Raises:
        OSError: not permitted, or the controllers are not there.
    """
    for level in (parent, parent / name):
        level.mkdir(exist_ok=True)
        missing = NEEDED - set((level / "cgroup.controllers").read_text().split())
        if missing:
            raise OSError(0, f"no {' and '.join(sorted(missing))} controller")
        on = set((level / "cgroup.subtree_control").read_text().split())
        if not on >= NEEDED:
            (level / "cgroup.subtree_control").write_text("+cpu +memory")
    return parent / name
