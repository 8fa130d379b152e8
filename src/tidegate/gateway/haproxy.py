"""The gateway on HAProxy: follows snapshots, reports what was measured, outlives the process that drives it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property

from tidegate.base.clock import Clock, SystemClock
from tidegate.base.errors import GatewayError
from tidegate.gateway import access, binary, by_url, standing, upstream
from tidegate.gateway.accounts import Accounts
from tidegate.gateway.admissions import Admissions
from tidegate.gateway.certificates import Certificates
from tidegate.gateway.config import longest, render
from tidegate.gateway.converge import commands
from tidegate.gateway.helper import Helper
from tidegate.gateway.instance import Instance
from tidegate.gateway.lanes import lane_sizes, render_lane
from tidegate.gateway.ledger import Ledger
from tidegate.gateway.lines import Lines
from tidegate.gateway.meter import Meter
from tidegate.gateway.names import backend_name, check_names, lane_name, number_servers
from tidegate.gateway.pace import Pace, Paces, Terms, Told, entries, terms, worth_telling
from tidegate.gateway.process import affordable_connections, affordable_memory, open_pipe, prepare_folder
from tidegate.gateway.refusals import Refusals
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.tables import BackendRow, read_info, read_stat
from tidegate.gateway.text import BUFFER_MARGIN
from tidegate.gateway.tokens import TokenKeys
from tidegate.model.admission import Admission, AdmissionSeen, KeySet
from tidegate.model.observed import GatewaySeen, PoolLoad
from tidegate.model.snapshot import Snapshot
from tidegate.spec.resolve import PoolKey

_PUMP_S = 0.1
_READ_BYTES = 1024 * 1024
# What the proxy says when it did as told; anything else is a refusal.
_DONE = ("New server registered", "Server deleted", "IP changed", "port changed", "no need to change")
_LATER = "still has connections attached"

Seen = dict[int, dict[str, BackendRow]]


class HaproxyGateway:
    """One HAProxy with its lanes in a state directory. All methods may be called again after an error."""

    def __init__(self, settings: GatewaySettings, clock: Clock | None = None) -> None:
        self.settings = replace(settings, state_directory=settings.state_directory.absolute())
        self.clock = clock or SystemClock()
        self.main = self._instance(None)
        self.lanes: dict[int, Instance] = {}
        self._certificates = Certificates(self.settings.tls, self.settings.state_directory)
        self._admissions = Admissions(self.settings.state_directory)
        self._lines = Lines()
        self._accounts = Accounts()
        self._token_keys = TokenKeys()
        self._helper = Helper(
            self.settings.state_directory,
            self.settings.state_directory / by_url.RULES,
            self.settings.socket(by_url.SOCKET),
        )
        self._meter = Meter()
        self._refusals = Refusals()
        self._ledger = Ledger()
        self._snapshot = Snapshot()
        self._version: str | None = None
        self._numbers: dict[str, int] = {}
        self._balances: dict[str, str] = {}
        self._told: Told = {}
        self._files: frozenset[str] = frozenset()
        self._paces: Paces = {}
        self._busy = asyncio.Lock()
        self._pump_task: asyncio.Task[None] | None = None
        self._pipe: int | None = None
        self._folder_lock: int | None = None
        self._ending = False

    @cached_property
    def _binary(self) -> binary.Binary:
        return binary.find(self.settings.haproxy)

    def _instance(self, lane: int | None) -> Instance:
        folder = self.settings.state_directory if lane is None else self.settings.lane_folder(lane)
        socket = self.settings.socket("master" if lane is None else f"{lane_name(lane)}-master")
        return Instance(folder, socket, self.settings.log_pipe, lambda: self._binary)

    # -- the protocol --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the proxy, or adopt the one that still runs in this state directory.

        Raises:
            GatewayError: no usable proxy, an address is taken, or another process drives this directory.
        """
        self.settings = replace(
            self.settings,
            max_connections=affordable_connections(
                self.settings.max_connections, self.settings.small_body_bytes + BUFFER_MARGIN
            ),
            lane_memory_bytes=affordable_memory(self.settings.lane_memory_bytes),
        )
        self._ending = False
        prepare_folder(self.settings)
        self._certificates.load()
        self._lock_folder()
        self._pipe = open_pipe(self.settings.log_pipe)
        try:
            async with self._busy:
                await self._start()
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
            await self._follow(snapshot)

    async def admit(self, admission: Admission) -> None:
        """Let in who `admission` says, at once and without a reload, whatever is published. Idempotent.

        Raises:
            GatewayError: the proxy was not told; it will be by the next call, or by its next start.
        """
        async with self._busy:
            self._admissions.wanted = admission
            self._admissions.write()
            await self._revive()
            workers = await self.main.master.workers()
            if workers.current is None:
                raise GatewayError("the proxy has no worker")
            await self._admissions.follow(self.main.master, workers.current)

    def trust(self, issuers: Mapping[str, KeySet]) -> None:
        """These are the sets of keys that issuers of tokens publish, by URL; in force after the next `publish`."""
        self._token_keys.issuers = issuers

    async def observe(self) -> tuple[GatewaySeen, Mapping[PoolKey, PoolLoad]]:
        """The servers now, and what was measured per pool since the last call.

        Raises:
            GatewayError: the proxy cannot be seen now.
        """
        async with self._busy:
            await self._revive()
            seen = await self._look(every=True)
            if self._version is not None:
                await self._converge(seen)
            self._pump()
            at, tick = self.clock.wall(), self.clock.monotonic()
            lost = await self._dropped_lines(seen)
            observed = self._ledger.close_interval(
                self._snapshot, self._version, seen, self._meter.take(), lost, at, tick
            )
            await self._keep_pace(observed[1], seen)
            certificates = await self._certificates.follow(self.main.master, next(iter(seen)))
            if self._certificates.mended():
                self._version = None  # then the snapshot comes again, with servers that were left out
            refused = self._refusals.with_requests({**self._meter.refusals, "tls_handshake": self._lines.handshakes})
            if self._token_keys.look(self._snapshot):
                self._version = None  # then the snapshot comes again, with the new keys
            admission = await self._tenants_seen(seen)
            return replace(
                observed[0],
                certificates=certificates,
                refused=refused,
                admission=admission,
                media=self._meter.viewings.counts(),
            ), observed[1]

    async def close(self, *, stop: bool) -> None:
        """Let go of the proxy; with `stop`, end it after its running requests."""
        if self._pump_task is not None:
            self._pump_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump_task
            self._pump_task = None
        if stop:
            self._ending = True  # whoever still looks meanwhile must not bring back what ends
            async with self._busy:
                pass
            await self.main.process.stop(self.settings.stop_grace_s)
            await asyncio.gather(*(lane.process.stop(0.5) for lane in self._every_lane()), self._helper.stop())
            if self.settings.socket_folder != self.settings.state_directory:
                shutil.rmtree(self.settings.socket_folder, ignore_errors=True)
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

    async def _start(self) -> None:
        """Adopt what runs, with its servers' ids and its counters so far; start with no service otherwise."""
        if await self.main.adopt():
            for lane in self._every_lane():
                await lane.adopt()
            current = next(iter((await self._look()).values()))
            self._numbers = {row.name: row.number for pool in current.values() for row in pool.servers.values()}
        else:
            await asyncio.gather(*(lane.process.stop(0.0) for lane in self._every_lane()))
            await self.main.follow(render(Snapshot(), self.settings))
            self._certificates.launched()
        # Requests that nobody observed are not part of the first interval, but they count for their tenants.
        self._accounts.count(self._lines.feed(self._read_pipe()))
        self._ledger.open(await self._look(), self.clock.monotonic())

    def _every_lane(self) -> Iterator[Instance]:
        """The lanes in use and those that an earlier driver left in the folder."""
        for file in self.settings.state_directory.glob("lane-*/haproxy.cfg"):
            size = int(file.parent.name.removeprefix("lane-"))
            yield self.lanes.setdefault(size, self._instance(size))

    async def _revive(self) -> None:
        """What has ended is started from its files, which hold the servers of the last snapshot.

        Raises:
            GatewayError: it was told to end.
        """
        if self._ending and self.main.pid() is None:
            raise GatewayError("the gateway has ended")
        if self._ending:
            return
        for size in lane_sizes(self._snapshot, self.settings):
            if size in self.lanes:
                await self.lanes[size].revive()
        if await self.main.revive():
            self._certificates.launched()
            self._admissions.launched()
            self._told = {}
            self._ledger.open(await self._look(), self.clock.monotonic())

    # -- following a snapshot ------------------------------------------------------------------------------------

    async def _follow(self, snapshot: Snapshot) -> None:
        snapshot = upstream.without(snapshot, self._certificates.want(upstream.files(snapshot)))
        await self._revive()
        self._helper.follow(by_url.rules_json(snapshot), by_url.used(snapshot))
        numbers = number_servers(snapshot, self._numbers)
        # A pool that once followed weights goes on doing so: going back would cost a reload and gain nothing.
        kept = {name: how for name, how in self._balances.items() if how == "roundrobin"}
        agreed, admission = self._terms_of(snapshot), self._admissions.wanted
        self._token_keys.look(snapshot)
        rendered = render(
            snapshot,
            self.settings,
            numbers=numbers,
            balances=kept,
            terms=agreed,
            admission=admission,
            token_keys=self._token_keys.keys,
        )
        self._files = frozenset(rendered.files)
        self._meter.promises_ms = {backend_name(p.key): p.within_s * 1000 for s in snapshot.services for p in s.pools}
        self._accounts.promises_ms = {s.service: s.pools[-1].within_s * 1000 for s in snapshot.services}
        sizes = lane_sizes(snapshot, self.settings)
        for size in sizes:
            lane = self.lanes.setdefault(size, self._instance(size))
            await lane.follow(render_lane(size, snapshot, self.settings, longest(snapshot, self.settings)))
        if await self.main.follow(rendered):
            self._told = entries(agreed)
            self._certificates.launched()
            self._admissions.launched()
        for size in set(self.lanes) - set(sizes):
            self.lanes.pop(size).process.leave()
        self._snapshot, self._numbers = snapshot, numbers
        seen = await self._look()
        await self._converge(seen)
        await self._tell_terms(entries(agreed), next(iter(seen)))
        await self._admissions.follow(self.main.master, next(iter(seen)))
        self._version = snapshot.version

    async def _look(self, *, every: bool = False) -> Seen:
        """The pools of every worker, the accepting one first; an old one that just ended is left out.

        With `every`, one that goes on but does not answer is waited for: a replica is stopped when no worker has a
        request on it, so what cannot be seen must not pass for nothing.

        Raises:
            GatewayError: the accepting worker does not answer, or with `every`, one of them.
        """
        master = self.main.master
        workers = await master.workers()
        if workers.current is None:
            raise GatewayError("the proxy has no worker")
        said = await master.worker(workers.current, "show stat")
        old = (self._said_by_old(pid, wait=every) for pid in workers.old)
        answers = zip(workers.old, await asyncio.gather(*old), strict=True)
        texts = {workers.current: said} | {pid: answer for pid, answer in answers if answer is not None}
        self._refusals.look(texts)
        seen = {pid: read_stat(text) for pid, text in texts.items()}
        self._balances = {name: pool.balance for name, pool in seen[workers.current].items()}
        return seen

    async def _said_by_old(self, pid: int, *, wait: bool) -> str | None:
        """What a worker that lets its last requests end says; None when it has ended, or will not `wait` for it."""
        master = self.main.master
        try:
            return await master.worker(pid, "show stat", old=True)
        except GatewayError:
            if not wait or pid not in (await master.workers()).old:
                return None
        try:
            return await master.worker(pid, "show stat")
        except GatewayError:
            if pid in (await master.workers()).old:
                raise
            return None

    async def _converge(self, seen: Seen) -> None:
        """Tell each worker what it lacks.

        Raises:
            GatewayError: the accepting worker refused a command.
        """
        current = next(iter(seen))
        for pid, actual in seen.items():
            old = pid != current
            told = commands(self._snapshot, self._numbers, actual, leaving=old)
            if not told:
                continue
            with contextlib.suppress(GatewayError) if old else contextlib.nullcontext():
                answers = await self.main.master.tell(pid, told, old=old)
                faults = [a for a in answers if _LATER not in a and not any(done in a for done in _DONE)]
                if faults:
                    raise GatewayError("the proxy refused: " + "; ".join(faults[:5]))

    # -- what the pace allows ---------------------------------------------------------------------------------------

    def _terms_of(self, snapshot: Snapshot) -> dict[str, Terms]:
        pools = [p for s in snapshot.services for p in s.pools]
        slots = {p.key: sum(s.slots for s in p.servers if not s.draining) for p in pools}
        return {backend_name(p.key): terms(p, slots[p.key], self._paces.get(p.key, Pace())) for p in pools}

    async def _keep_pace(self, loads: Mapping[PoolKey, PoolLoad], seen: Seen) -> None:
        self._paces = {key: self._paces.get(key, Pace()).after(load) for key, load in loads.items()}
        await self._tell_terms(entries(self._terms_of(self._snapshot)), next(iter(seen)))

    async def _tell_terms(self, now: Told, worker: int) -> None:
        now = {(file, name): value for (file, name), value in now.items() if file in self._files}
        changed = worth_telling(self._told, now)
        told = [f"set map {file} {name} {value}" for (file, name), value in sorted(changed.items())]
        faults = await self.main.master.tell(worker, told) if told else ()
        if faults:
            raise GatewayError("the proxy refused: " + "; ".join(faults[:5]))
        self._told = {key: changed.get(key, self._told.get(key, value)) for key, value in now.items()}

    # -- measuring -----------------------------------------------------------------------------------------------

    async def _pump_forever(self) -> None:
        """Read the request lines often enough that the pipe does not fill, and bring back a proxy that has ended."""
        while True:
            await asyncio.sleep(_PUMP_S)
            self._pump()
            with contextlib.suppress(OSError):
                self._helper.revive()
            if any(i.pid() is None for i in (self.main, *self.lanes.values())):
                with contextlib.suppress(GatewayError):
                    async with self._busy:
                        await self._revive()

    def _pump(self) -> None:
        lines = self._lines.feed(self._read_pipe())
        self._meter.count(lines)
        self._accounts.count(lines)

    def _read_pipe(self) -> bytes:
        try:
            return os.read(self._pipe, _READ_BYTES) if self._pipe is not None else b""
        except BlockingIOError:
            return b""

    async def _tenants_seen(self, seen: Seen) -> AdmissionSeen:
        uses, faults = self._accounts.take(), self._token_keys.faults
        if not access.any_guarded(self._snapshot):
            return AdmissionSeen(uses, faults=faults)
        in_progress, queued = await standing.look(self.main.master, seen, self._accounts.busy_s())
        return AdmissionSeen(uses, in_progress, queued, faults)

    async def _dropped_lines(self, seen: Seen) -> dict[int, int]:
        ask = (self.main.master.worker(pid, "show info", old=i > 0) for i, pid in enumerate(seen))
        answers = zip(seen, await asyncio.gather(*ask, return_exceptions=True), strict=True)
        return {pid: int(read_info(a).get("DroppedLogs", 0)) for pid, a in answers if isinstance(a, str)}
