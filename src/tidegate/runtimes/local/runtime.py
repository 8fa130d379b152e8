"""The local runtime: starts supervisors, adopts those that are there, tells them to stop, reports.

Nothing is read or started before the first call. Replicas go on when this process dies in any way; the next one
takes them over by the locks their supervisors hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from tidegate.base import machine, process_tree
from tidegate.base.clock import Clock
from tidegate.base.errors import RuntimeFault
from tidegate.model.observed import ClusterSeen, ReplicaSeen
from tidegate.runtimes.local import launch, logs
from tidegate.runtimes.local.limits import Limits
from tidegate.runtimes.local.ports import Ports
from tidegate.runtimes.local.records import Exit, Folder, Order, Process, seen
from tidegate.runtimes.protocol import StartOrder
from tidegate.spec.cluster import Cluster

HOST = "127.0.0.1"
LOG_BYTES = 10 * 2**20  # per replica, both files together
# A supervisor writes who it is within 30 ms. One that was started in the last moment before a crash gets 1 s for it.
YOUNG_LOOKS, YOUNG_PAUSE_S = 100, 0.01
LOCK_LOOKS = 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(slots=True)
class _Replica:
    """A replica in memory; its folder holds the same.

    `pidfd` is the supervisor's, -1 once it has ended; `started` is readable once the replica runs, -1 afterwards.
    """

    order: Order
    folder: Folder
    pid: int = 0
    pidfd: int = -1
    started: int = -1
    child: Process | None = None
    exit: Exit | None = None
    stop_grace_s: float | None = None


class LocalRuntime:
    """Implements `runtimes.protocol.Runtime` with processes of this machine (Linux).

    Args:
        cluster: the manifest; its capacity overrides what the machine has.
        state: the folder of everything that must survive.
        on_change: called when a replica runs or has ended, so that the next look need not wait.
    """

    def __init__(
        self,
        cluster: Cluster,
        state: Path,
        clock: Clock,
        on_change: Callable[[], None] = lambda: None,
        *,
        log_bytes: int = LOG_BYTES,
    ) -> None:
        self._cluster = cluster
        self._home = state.resolve() / "runtime" / cluster.name
        self._mark = f"TIDEGATE_RUN={self._home}:"
        self._clock = clock
        self._on_change = on_change
        self._log_bytes = log_bytes
        self._replicas: dict[str, _Replica] = {}
        self._burying: set[asyncio.Task[None]] = set()
        self._lock = -1

    @property
    def cluster(self) -> str:
        """The name of the cluster this runtime stands for."""
        return self._cluster.name

    # -- the protocol --------------------------------------------------------------------------------------------

    async def observe(self) -> tuple[tuple[ReplicaSeen, ...], ClusterSeen]:
        """All replicas it knows of, and what this machine has and has given away."""
        self._open()
        return tuple(self._seen(r) for r in self._replicas.values()), self._cluster_seen()

    async def start(self, order: StartOrder) -> None:
        """Start the replica's supervisor; repeating changes nothing.

        Raises:
            RuntimeFault: it cannot be started; the message says what to do.
        """
        self._open()
        if order.replica in self._replicas:
            return
        if not _NAME.fullmatch(order.replica):
            raise RuntimeFault(f"replica {order.replica!r} cannot name a folder: letters, digits, '.', '_', '-' only")
        port, hold = self._ports.reserve(HOST)
        with hold:
            composed = self._compose(order, f"{HOST}:{port}")
            try:
                replica = self._launch(composed, hold.fileno())
            except OSError as error:
                raise RuntimeFault(f"replica {order.replica} cannot be started: {error}") from error
        self._replicas[order.replica] = replica
        self._watch(replica)

    async def stop(self, replica: str, grace_s: float) -> None:
        """Tell the supervisor to stop its replica; a second stop can only shorten the grace."""
        self._open()
        known = self._replicas.get(replica)
        if known is None or known.exit is not None or known.pidfd < 0:
            return
        if known.stop_grace_s is not None and grace_s >= known.stop_grace_s:
            return
        known.folder.ask_to_stop(grace_s, self._clock.wall())
        known.stop_grace_s = grace_s
        self._signal_stop(known)

    async def forget(self, replica: str) -> None:
        """Drop the record of a replica that has ended; its log stays for a while."""
        self._open()
        known = self._replicas.get(replica)
        if known is None or known.exit is None:
            return
        del self._replicas[replica]
        self._limits.give_back(known.order)
        known.folder.remove()
        logs.prune(self._home / "logs", set(self._replicas))

    async def logs(self, replica: str, *, tail: int = 100, follow: bool = False) -> AsyncIterator[str]:
        """The replica's output, line by line, also of one that was forgotten lately.

        Raises:
            RuntimeFault: there is no log of it.
        """
        path = self._home / "logs" / f"{replica}.log"
        if not _NAME.fullmatch(replica) or not path.exists():
            raise RuntimeFault(f"there is no log of replica {replica} in cluster {self.cluster}")
        if follow:
            async for line in logs.follow(path, tail, lambda: not self._is_alive(replica)):
                yield line
        else:
            for line in logs.last_lines(path, tail):
                yield line

    async def close(self) -> None:
        """Let go; replicas go on running and are adopted by the next runtime on the same folder."""
        if self._lock < 0:
            return
        await asyncio.gather(*self._burying, return_exceptions=True)
        for replica in self._replicas.values():
            self._unwatch(replica)
        self._replicas.clear()
        self._limits.close()
        os.close(self._lock)
        self._lock = -1

    # -- opening and adopting ------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._lock >= 0:
            return
        for folder in ("logs", "replicas"):
            (self._home / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = self._take_charge()
        self._ports = Ports()
        spec = self._cluster.spec
        self._limits = Limits(self.cluster, dict(spec.capacity.gpu))
        self._capacity = {
            "cpu": spec.capacity.cpu or machine.cores(),
            "memory": float(spec.capacity.memory or machine.memory_bytes()),
        } | {f"gpu/{kind}": float(count) for kind, count in spec.capacity.gpu.items()}
        self._adopt()

    def _take_charge(self) -> int:
        """The lock of the state folder. A process killed while it was starting a child leaves it held for a moment."""
        lock = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        for _ in range(LOCK_LOOKS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                time.sleep(YOUNG_PAUSE_S)
        os.close(lock)
        raise RuntimeFault(
            f"another Tidegate runs cluster {self.cluster} from {self._home}. Stop it, or use another state folder."
        )

    def _adopt(self) -> None:
        """Take over every replica with a living supervisor; end and write off whatever else is left."""
        lost: list[_Replica] = []
        for path in sorted((self._home / "replicas").iterdir()):
            folder = Folder(path)
            order = folder.order()
            if order is None:
                continue
            replica = _Replica(order, folder, child=folder.process("child"), exit=folder.exit())
            self._replicas[order.replica] = replica
            if replica.exit is None and not self._take_over(replica):
                lost.append(replica)
        living = {r.order.run for r in self._replicas.values() if r.pidfd >= 0}
        process_tree.end_marked(self._mark_of(""), keep=living)
        for replica in lost:
            self._write_off(replica)
        for path in (self._home / "replicas").iterdir():
            if path.name not in self._replicas:
                Folder(path).remove()

    def _take_over(self, replica: _Replica) -> bool:
        shim = self._shim_of(replica.folder)
        if shim is None:
            replica.exit = replica.folder.exit()  # it may have ended since that was read
            return replica.exit is not None
        with contextlib.suppress(OSError):
            replica.pidfd = os.pidfd_open(shim.pid)
            replica.pid = shim.pid
        if replica.pidfd < 0 or process_tree.start_ticks(shim.pid) != shim.ticks:
            self._unwatch(replica)
            replica.exit = replica.folder.exit()  # it ended between two looks
            return replica.exit is not None
        self._watch(replica)
        if replica.folder.stop_asked():
            replica.stop_grace_s = replica.order.grace_s
            self._signal_stop(replica)
        return True

    @staticmethod
    def _shim_of(folder: Folder) -> Process | None:
        """Who supervises; waits a moment for one that has only just been started."""
        for _ in range(YOUNG_LOOKS):
            if not folder.is_supervised():
                return None
            shim = folder.process("shim")
            if shim is not None:
                return shim
            time.sleep(YOUNG_PAUSE_S)
        return None

    # -- one replica ---------------------------------------------------------------------------------------------

    def _mark_of(self, nonce: str) -> str:
        return f"{self._mark}{nonce}"

    def _compose(self, order: StartOrder, address: str) -> Order:
        alive = (r.order for r in self._replicas.values() if r.exit is None)
        return launch.compose(
            order,
            self._limits.share(order.replica, order.pool.resources, alive),
            cards=dict(self._cluster.spec.capacity.gpu),
            address=address,
            run=self._mark_of(secrets.token_hex(8)),
            at=self._clock.wall(),
            log=self._home / "logs" / f"{order.replica}.log",
            log_bytes=self._log_bytes,
        )

    def _launch(self, order: Order, hold: int) -> _Replica:
        folder = Folder(self._home / "replicas" / order.replica)
        lock = folder.create(order)
        started, starts = os.pipe()
        try:
            pid = launch.start_supervisor(folder.path, order, lock, hold, starts)
        except OSError:
            os.close(started)
            folder.remove()
            raise
        finally:
            os.close(lock)
            os.close(starts)
        return _Replica(order, folder, pid=pid, pidfd=os.pidfd_open(pid), started=started)

    def _watch(self, replica: _Replica) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(replica.pidfd, self._ended, replica)
        if replica.started >= 0:
            loop.add_reader(replica.started, self._started, replica)

    def _started(self, replica: _Replica) -> None:
        """It runs, or its supervisor has given up; both are worth a look."""
        asyncio.get_running_loop().remove_reader(replica.started)
        os.close(replica.started)
        replica.started = -1
        self._on_change()

    def _unwatch(self, replica: _Replica) -> None:
        if replica.started >= 0:
            self._started(replica)
        if replica.pidfd >= 0:
            asyncio.get_running_loop().remove_reader(replica.pidfd)
            os.close(replica.pidfd)
            replica.pidfd = -1

    def _ended(self, replica: _Replica) -> None:
        """Its supervisor has ended: normally with a last word, otherwise what is left of the replica is ended."""
        self._unwatch(replica)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(replica.pid, os.WNOHANG)
        replica.exit = replica.folder.exit()
        if replica.exit is not None:
            self._on_change()
            return
        task = asyncio.get_running_loop().create_task(self._bury(replica))
        self._burying.add(task)
        task.add_done_callback(self._burying.discard)

    async def _bury(self, replica: _Replica) -> None:
        await asyncio.to_thread(process_tree.end_marked, replica.order.run)
        self._write_off(replica)
        self._on_change()

    def _write_off(self, replica: _Replica) -> None:
        started = replica.folder.process("child") is not None
        detail = "its supervisor was killed" if started else "it was never started"
        replica.exit = Exit(None, self._clock.wall(), detail)
        replica.folder.write_exit(replica.exit)

    def _signal_stop(self, replica: _Replica) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(replica.pidfd, signal.SIGTERM)

    def _is_alive(self, replica: str) -> bool:
        known = self._replicas.get(replica)
        return known is not None and known.exit is None

    # -- reporting -----------------------------------------------------------------------------------------------

    def _seen(self, replica: _Replica) -> ReplicaSeen:
        if replica.child is None and replica.exit is None:
            replica.child = replica.folder.process("child")
        stopping = replica.stop_grace_s is not None
        ending = replica.folder.stages() if stopping or replica.exit is not None else ()
        return seen(replica.order, self.cluster, replica.child, replica.exit, stopping=stopping, ending=ending)

    def _cluster_seen(self) -> ClusterSeen:
        used: dict[str, float] = {}
        for replica in self._replicas.values():
            if replica.exit is None:
                for name, amount in replica.order.resources.items():
                    used[name] = used.get(name, 0.0) + amount
        return ClusterSeen(self._capacity, used, detail=self._limits.detail)
