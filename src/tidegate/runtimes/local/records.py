"""What is on disk about each replica. After a restart it is the whole truth; while running, what is written first.

    STATE/runtime/CLUSTER/
        lock                    held by the Tidegate process in charge
        logs/REPLICA.log[.1]    output; stays when the replica is forgotten
        replicas/REPLICA/
            order.json          written whole, before the supervisor is started
            lock                held by the supervisor as long as it lives
            shim.json           the supervisor's pid and start time
            child.json          the replica's pid and start time
            stop.json           it was told to stop, with which grace
            stages.json         what was done to stop it, and when
            exit.json           how it ended

A lock, not a pid, says whether a supervisor lives: locks go away with their holder at any instant of a kill -9, and
nobody else can come to hold one. Files are replaced whole and not synced: a killed process loses nothing that way,
and after a power cut there is no replica left that a record could be about.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tidegate.model.observed import ReplicaSeen
from tidegate.spec.resolve import PoolKey


@dataclass(frozen=True, slots=True)
class Order:
    """Everything the supervisor needs, and everything to know the replica again by. Sizes in bytes, grace in seconds.

    `run` is an entry of the environment of every process of the replica. `memory_bytes` is 0 when a cgroup limits it.
    """

    replica: str
    service: str
    pool: str
    revision: str
    run: str
    created_at: float
    address: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    pre_stop: list[str]
    grace_s: float
    resources: dict[str, float]
    log: str
    log_bytes: int
    memory_bytes: int = 0
    cpus: list[int] | None = None
    cards: dict[str, list[int]] | None = None
    cgroup: str = ""

    @property
    def key(self) -> PoolKey:
        return PoolKey(self.service, self.pool)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Exit:
    """How a replica ended. `exit_code` is negative for a signal, None when nobody saw it."""

    exit_code: int | None
    at: float
    detail: str = ""


def write(path: Path, value: object) -> None:
    """Write a whole file or nothing; readable by its owner only, since environments hold secrets."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(value, file)
    temporary.replace(path)


def read(path: Path) -> dict[str, Any] | None:
    """The file's content; None when it is missing or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


class Folder:
    """The folder of one replica."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, order: Order) -> int:
        """Write the order and take the lock for the supervisor; returns the lock's file descriptor."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write(self.path / "order.json", asdict(order))
        return fd

    def is_supervised(self) -> bool:
        """Whether its supervisor lives."""
        try:
            fd = os.open(self.path / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def order(self) -> Order | None:
        """The order; None when it is missing or damaged. Fields written by a newer version are passed over."""
        value = read(self.path / "order.json")
        known = {f.name for f in fields(Order)}
        try:
            return None if value is None else Order(**{k: v for k, v in value.items() if k in known})
        except TypeError:
            return None

    def process(self, name: str) -> Process | None:
        """`shim` or `child`, as soon as it is written."""
        value = read(self.path / f"{name}.json")
        return None if value is None else Process(int(value["pid"]), int(value["ticks"]))

    def ask_to_stop(self, grace_s: float, at: float) -> None:
        write(self.path / "stop.json", {"grace_s": grace_s, "at": at})

    def stop_asked(self) -> bool:
        return (self.path / "stop.json").exists()

    def stages(self) -> tuple[tuple[str, float], ...]:
        """What its supervisor has done to stop it: preStop, SIGTERM, SIGKILL, with epoch seconds."""
        value = read(self.path / "stages.json")
        return tuple((str(name), float(at)) for name, at in value.get("stages", ())) if value else ()

    def exit(self) -> Exit | None:
        value = read(self.path / "exit.json")
        return None if value is None else Exit(value["exit_code"], float(value["at"]), str(value["detail"]))

    def write_exit(self, how: Exit) -> None:
        write(self.path / "exit.json", asdict(how))

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def seen(
    order: Order,
    cluster: str,
    child: Process | None,
    how: Exit | None,
    *,
    stopping: bool,
    ending: tuple[tuple[str, float], ...] = (),
) -> ReplicaSeen:
    """The replica as a runtime reports it; its address and pid appear together, once its process exists."""
    return ReplicaSeen(
        id=order.replica,
        key=order.key,
        revision=order.revision,
        cluster=cluster,
        created_at=order.created_at,
        running=how is None,
        stopping=stopping and how is None,
        address=order.address if child is not None else None,
        pid=child.pid if child is not None and how is None else None,
        exit_code=how.exit_code if how is not None else None,
        detail=how.detail if how is not None else "",
        ending=ending,
    )
