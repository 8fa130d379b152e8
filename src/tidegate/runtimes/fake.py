"""A runtime in memory, on a clock given to it, with switches for everything that goes wrong in a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from tidegate.base.clock import Clock
from tidegate.base.errors import RuntimeFault
from tidegate.model.observed import ClusterSeen, ReplicaSeen
from tidegate.runtimes.protocol import StartOrder

SIGTERM, SIGKILL = 15, 9
FIRST_PORT = 20000


@dataclass(slots=True)
class _Replica:
    """A made-up process. Times are the clock's wall readings; None: has not happened and is not due."""

    order: StartOrder
    started_at: float
    address: str
    opens_at: float | None
    ends_at: float | None = None
    exit_code: int | None = None
    stopping: bool = False
    detail: str = ""
    placed: bool = True
    lines: list[str] = field(default_factory=list)


@dataclass
class FakeRuntime:
    """Implements `runtimes.protocol.Runtime`.

    Switches (times in seconds; they act on what comes after they are set):
        capacity: amounts per resource name. `claims`, when set, is reported instead: the cluster lies, takes on what
            fits into that, and never finds a place for what does not fit into its capacity.
        startup_s: time until a started replica has an address.
        lag_s: time until a started replica is seen at all.
        stop_s: time a replica takes to end once told to stop; longer than its grace, it is killed.
        fail_next_start: the next start fails with this text.
        never_ready: replicas started now never get an address.
        vanished: the cluster cannot be seen or told anything.
    """

    clock: Clock
    cluster: str = "fake"
    capacity: Mapping[str, float] = field(default_factory=lambda: {"cpu": 64.0, "memory": 64.0 * 2**30})
    claims: Mapping[str, float] | None = None
    startup_s: float = 0.0
    lag_s: float = 0.0
    stop_s: float = 0.0
    fail_next_start: str = ""
    never_ready: bool = False
    vanished: bool = False
    _replicas: dict[str, _Replica] = field(default_factory=dict)

    # -- the protocol --------------------------------------------------------------------------------------------

    async def observe(self) -> tuple[tuple[ReplicaSeen, ...], ClusterSeen]:
        self._reach()
        at = self.clock.wall()
        seen = tuple(self._seen(r, at) for r in self._replicas.values() if at >= r.started_at + self.lag_s)
        return seen, ClusterSeen(self.claims if self.claims is not None else self.capacity, self._used(at))

    async def start(self, order: StartOrder) -> None:
        self._reach()
        if order.replica in self._replicas:
            return
        fault, self.fail_next_start = self.fail_next_start, ""
        if fault:
            raise RuntimeFault(fault)
        at = self.clock.wall()
        address = f"127.0.0.1:{FIRST_PORT + len(self._replicas)}"
        placed = self._fits(order, at)
        opens_at = None if self.never_ready or not placed else at + self.startup_s
        self._replicas[order.replica] = _Replica(order, at, address, opens_at, placed=placed)

    async def stop(self, replica: str, grace_s: float) -> None:
        self._reach()
        known = self._replicas.get(replica)
        if known is None or known.stopping or known.exit_code is not None:
            return
        known.stopping = True
        known.ends_at = self.clock.wall() + min(self.stop_s, grace_s)
        known.exit_code = -SIGTERM if self.stop_s <= grace_s else -SIGKILL

    async def forget(self, replica: str) -> None:
        self._reach()
        known = self._replicas.get(replica)
        if known is not None and known.ends_at is not None and self.clock.wall() >= known.ends_at:
            del self._replicas[replica]

    async def logs(self, replica: str, *, tail: int = 100, follow: bool = False) -> AsyncIterator[str]:
        self._reach()
        if replica not in self._replicas:
            raise RuntimeFault(f"there is no log of replica {replica} in cluster {self.cluster}")
        for line in self._replicas[replica].lines[-tail:]:
            yield line

    async def close(self) -> None:
        """Nothing to let go of."""

    # -- what happens to it --------------------------------------------------------------------------------------

    def crash(self, replica: str, exit_code: int = 1, detail: str = "") -> None:
        """The replica ends by itself now."""
        known = self._replicas[replica]
        known.ends_at, known.exit_code, known.detail = self.clock.wall(), exit_code, detail

    def write(self, replica: str, line: str) -> None:
        """The replica prints a line."""
        self._replicas[replica].lines.append(line)

    def _used(self, at: float) -> dict[str, float]:
        used: dict[str, float] = {}
        for replica in self._replicas.values():
            if replica.placed and (replica.ends_at is None or at < replica.ends_at):
                for name, amount in replica.order.pool.resources.amounts().items():
                    used[name] = used.get(name, 0.0) + amount
        return used

    def _fits(self, order: StartOrder, at: float) -> bool:
        """Whether there is a place; only a cluster that claims more than it has finds none."""
        used = self._used(at)
        amounts = order.pool.resources.amounts().items()
        return self.claims is None or all(used.get(k, 0.0) + a <= self.capacity.get(k, 0.0) for k, a in amounts)

    def _reach(self) -> None:
        if self.vanished:
            raise RuntimeFault(f"cluster {self.cluster} cannot be seen")

    def _seen(self, replica: _Replica, at: float) -> ReplicaSeen:
        ended = replica.ends_at is not None and at >= replica.ends_at
        open_now = replica.opens_at is not None and at >= replica.opens_at
        pool = replica.order.pool
        return ReplicaSeen(
            id=replica.order.replica,
            key=pool.key,
            revision=pool.revision,
            cluster=self.cluster,
            created_at=replica.started_at,
            running=not ended,
            stopping=replica.stopping and not ended,
            address=replica.address if open_now else None,
            exit_code=replica.exit_code if ended else None,
            detail=replica.detail if ended else "",
            placed=replica.placed,
        )
