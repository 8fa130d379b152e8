"""The gateway on HAProxy: follows snapshots, reports what was measured, outlives the process that drives it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tidegate.base.clock import Clock, SystemClock
from tidegate.base.errors import GatewayError
from tidegate.gateway import binary as binaries
from tidegate.gateway.config import Rendered, render
from tidegate.gateway.converge import commands
from tidegate.gateway.ledger import Ledger
from tidegate.gateway.master import MasterSocket
from tidegate.gateway.meter import Meter
from tidegate.gateway.names import backend_name, check_names, number_servers
from tidegate.gateway.process import ProxyProcess, affordable_connections, open_pipe
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.tables import BackendRow, read_info, read_stat
from tidegate.model.observed import GatewaySeen, PoolLoad
from tidegate.model.snapshot import Snapshot
from tidegate.spec.resolve import PoolKey

_PUMP_S = 0.1
_READ_BYTES = 1024 * 1024
# What the proxy says when it did as told; anything else is a refusal.
_DONE = (
    "New server registered",
    "Server deleted",
    "IP changed",
    "port changed",
    "no need to change",
)
_LATER = "still has connections attached"

Seen = dict[int, dict[str, BackendRow]]


class HaproxyGateway:
    """One HAProxy with its state directory. All methods may be called again after an error."""

    def __init__(self, settings: GatewaySettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.restarts = 0
        self._process = ProxyProcess(settings)
        self._master = MasterSocket(settings.master_socket)
        self._meter = Meter()
        self._ledger = Ledger()
        self._snapshot = Snapshot()
        self._version: str | None = None
        self._shape = ""
        self._numbers: dict[str, int] = {}
        self._balances: dict[str, str] = {}
        self._busy = asyncio.Lock()
        self._pump_task: asyncio.Task[None] | None = None
        self._pipe: int | None = None
        self._folder_lock: int | None = None

    # -- the protocol --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the proxy, or adopt the one that still runs in this state directory.

        Raises:
            GatewayError: no usable proxy, an address is taken, or another process drives this directory.
        """
        self.settings = replace(self.settings, max_connections=affordable_connections(self.settings.max_connections))
        self._process.prepare_folder()
        self._lock_folder()
        self._pipe = open_pipe(self.settings.log_pipe)
        try:
            async with self._busy:
                if self._process.pid() is None or not await self._adopt():
                    await self._fresh()
        except BaseException:
            await self.close(stop=False)
            raise
        self._pump_task = asyncio.create_task(self._pump_forever(), name="gateway request lines")

    async def publish(self, snapshot: Snapshot) -> None:
        """Become like `snapshot`. Idempotent.

        Raises:
            GatewayError: the snapshot does not fit together, or the proxy refused it; what it had stays in force.
        """
        faults = snapshot.check()
        if faults:
            raise GatewayError("the routing does not fit together: " + "; ".join(faults))
        check_names(snapshot)
        async with self._busy:
            if self._process.pid() is None:
                await self._revive()
            numbers = number_servers(snapshot, self._numbers)
            rendered = render(snapshot, self.settings, numbers=numbers, balances=self._kept_balances())
            renumbered = any(self._numbers.get(name, number) != number for name, number in numbers.items())
            self._meter.promises_ms = _promises(snapshot)
            if rendered.shape != self._shape or renumbered:
                await self._reload(rendered)
            else:
                self._write(rendered)
            self._snapshot, self._numbers = snapshot, numbers
            await self._converge(await self._look())
            self._version = snapshot.version

    async def observe(self) -> tuple[GatewaySeen, Mapping[PoolKey, PoolLoad]]:
        """The servers now, and what was measured per pool since the last call.

        Raises:
            GatewayError: the proxy cannot be seen now.
        """
        async with self._busy:
            if self._process.pid() is None:
                await self._revive()
            seen = await self._look()
            if self._version is not None:
                await self._converge(seen)
            self._pump()
            at, tick = self.clock.wall(), self.clock.monotonic()
            lost = await self._dropped_lines(seen)
            return self._ledger.close_interval(self._snapshot, self._version, seen, self._meter.take(), lost, at, tick)

    async def close(self, *, stop: bool) -> None:
        """Let go of the proxy; with `stop`, end it after its running requests."""
        if self._pump_task is not None:
            self._pump_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump_task
            self._pump_task = None
        if stop:
            await self._process.stop(self.settings.stop_grace_s)
        for descriptor in (self._pipe, self._folder_lock):
            if descriptor is not None:
                os.close(descriptor)
        self._pipe = self._folder_lock = None

    # -- starting ------------------------------------------------------------------------------------------------

    def _lock_folder(self) -> None:
        """One driver per state directory; the kernel gives the lock back when its holder ends, however it ends."""
        descriptor = os.open(self.settings.state_directory / "driver.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise GatewayError(
                f"another process drives the gateway of {self.settings.state_directory}; "
                "end it or use another directory"
            ) from None
        self._folder_lock = descriptor

    async def _adopt(self) -> bool:
        """Take over the running proxy: its shape, its servers' ids, its counters so far."""
        try:
            seen = await self._look()
            current = next(iter(seen))
            shape = await self._master.worker(current, "show env TIDEGATE_SHAPE")
        except (GatewayError, StopIteration):
            await self._process.stop(0.0)
            return False
        self._shape = shape.strip().removeprefix("TIDEGATE_SHAPE=")
        self._numbers = {row.name: row.number for be in seen[current].values() for row in be.servers.values()}
        self._balances = {name: be.balance for name, be in seen[current].items()}
        self._read_pipe()  # lines of requests that nobody observed are not part of the first interval
        self._ledger.open(seen, self.clock.monotonic())
        return True

    async def _fresh(self) -> None:
        rendered = render(Snapshot(), self.settings)
        self._write(rendered)
        await self._launch()
        self._shape = rendered.shape
        self._ledger.open(await self._look(), self.clock.monotonic())

    async def _revive(self) -> None:
        """The proxy has ended: start it from its files, which hold the servers of the last snapshot."""
        await self._launch()
        self.restarts += 1
        self._ledger.open(await self._look(), self.clock.monotonic())

    async def _launch(self) -> None:
        await self._process.launch(binaries.find(self.settings.haproxy))
        await self._master.ready()

    # -- following a snapshot ------------------------------------------------------------------------------------

    def _kept_balances(self) -> dict[str, str]:
        """A pool that was once filled by tier stays so: going back would cost a reload and gain nothing."""
        return {name: how for name, how in self._balances.items() if how == "first"}

    async def _reload(self, rendered: Rendered) -> None:
        before = {name: _read(self.settings.state_directory / name) for name in rendered.files}
        self._write(rendered)
        try:
            await self._master.reload()
        except GatewayError:
            for name, text in before.items():
                if text is not None:
                    _write(self.settings.state_directory / name, text)
            raise
        self._shape = rendered.shape

    def _write(self, rendered: Rendered) -> None:
        for name, text in rendered.files.items():
            path = self.settings.state_directory / name
            if _read(path) != text:
                _write(path, text)

    async def _look(self) -> Seen:
        """The pools of every worker, the accepting one first; an old one that just ended is left out."""
        workers = await self._master.workers()
        if workers.current is None:
            raise GatewayError("the proxy has no worker")
        seen = {workers.current: read_stat(await self._master.worker(workers.current, "show stat"))}
        for pid in workers.old:
            with contextlib.suppress(GatewayError):
                seen[pid] = read_stat(await self._master.worker(pid, "show stat"))
        self._balances = {name: be.balance for name, be in seen[workers.current].items()}
        return seen

    async def _converge(self, seen: Seen) -> None:
        """Tell each worker what it lacks.

        Raises:
            GatewayError: the accepting worker refused a command.
        """
        current = next(iter(seen))
        for pid, actual in seen.items():
            told = commands(self._snapshot, self._numbers, actual, leaving=pid != current)
            if not told:
                continue
            answers = await self._master.tell(pid, told)
            faults = [a for a in answers if _LATER not in a and not any(done in a for done in _DONE)]
            if faults and pid == current:
                raise GatewayError("the proxy refused: " + "; ".join(faults[:5]))

    # -- measuring -----------------------------------------------------------------------------------------------

    async def _pump_forever(self) -> None:
        """Read the request lines often enough that the pipe does not fill, and bring back a proxy that has ended."""
        while True:
            await asyncio.sleep(_PUMP_S)
            self._pump()
            if self._process.pid() is None:
                with contextlib.suppress(GatewayError):
                    async with self._busy:
                        if self._process.pid() is None:
                            await self._revive()

    def _pump(self) -> None:
        data = self._read_pipe()
        if data:
            self._meter.feed(data)

    def _read_pipe(self) -> bytes:
        try:
            return os.read(self._pipe, _READ_BYTES) if self._pipe is not None else b""
        except BlockingIOError:
            return b""

    async def _dropped_lines(self, seen: Seen) -> dict[int, int]:
        dropped = {}
        for pid in seen:
            with contextlib.suppress(GatewayError):
                dropped[pid] = int(read_info(await self._master.worker(pid, "show info")).get("DroppedLogs", 0))
        return dropped


def _promises(snapshot: Snapshot) -> dict[str, float]:
    return {backend_name(p.key): p.within_s * 1000 for s in snapshot.services for p in s.pools}


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a proxy that starts in between reads the old file or the new one."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(text)
    draft.chmod(0o600)
    draft.replace(path)
