"""The live system: look, decide, act, record, again. Answers the API from what the last tick left behind.

One loop owns everything that changes; nothing else writes to it. An event (a probe's verdict, an apply) only brings
the next look forward. A tick that fails is recorded and the loop carries on: traffic does not depend on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.base.clock import Clock
from tidegate.base.errors import GatewayError, RuntimeFault, StoreError
from tidegate.control import diff, rollouts
from tidegate.control.act import Actor
from tidegate.control.decide import decide
from tidegate.control.exposure import open_services
from tidegate.control.issuers import Issuers
from tidegate.control.metering import unmetered
from tidegate.control.observe import Observer
from tidegate.control.past import Past
from tidegate.control.record import Recorder
from tidegate.control.status import Addresses, Meter, status
from tidegate.control.tenancy import Tenancy
from tidegate.model.lifecycle import ReplicaState
from tidegate.model.memory import Memory
from tidegate.model.observed import Intent, Observed
from tidegate.model.outlook import Outlook
from tidegate.model.plan import Tick
from tidegate.model.scaling import ScaleMemory
from tidegate.model.status import History, Status
from tidegate.model.tenancy import KeyStatus, NewKey, TenancyStatus
from tidegate.policy import whatif
from tidegate.policy.lesson import taught
from tidegate.policy.tick import tick
from tidegate.runtimes.protocol import Runtime
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolKey, Specs
from tidegate.store import codec
from tidegate.web.ports import Change, Diff, Event, Explanation, LogLine, Manifest, NotFound, PoolPreview, Preview

log = logging.getLogger("tidegate")
SHORTEST_PAUSE_S = 0.02  # between two ticks, however many events come in


@dataclass(slots=True)
class Live:
    """The running system. `connect` makes the runtime of a cluster; `check` checks manifests that come in later."""

    specs: Specs
    memory: Memory
    observer: Observer
    actor: Actor
    recorder: Recorder
    tenancy: Tenancy
    issuers: Issuers
    clock: Clock
    where: Addresses
    tick_s: float
    connect: Callable[[Cluster], Runtime]
    check: Callable[[Sequence[Manifest]], Specs]
    on_status: Callable[[Status], None] = lambda _: None
    intents: tuple[Intent, ...] = ()
    started_at: float = 0.0
    stopping: bool = False  # asked to stop; the gateway ends its requests
    emptying: bool = False  # nothing is wanted any more; replicas drain and stop
    last: tuple[Observed, Tick] | None = None
    meter: Meter = field(default_factory=Meter)
    past: Past = field(default_factory=Past)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ticked: asyncio.Condition = field(default_factory=asyncio.Condition)
    stop_asked: asyncio.Event = field(default_factory=asyncio.Event)
    _connected: dict[str, Cluster] = field(default_factory=dict)
    _tenancy_fault: str = ""

    # -- the loop ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tick until told to stop and everything has ended."""
        self.started_at = self.clock.wall()
        self.observer.know(self.specs.pools)
        while not (self.emptying and self._empty()):
            try:
                await self.step()
            except Exception as error:  # the loop must outlive any fault of one tick
                log.exception("tick failed")
                self.recorder.fault(self.clock.wall(), "control", f"tick failed: {error!r}")
            await self._pause()

    async def step(self) -> None:
        """Look, decide, record, act: once."""
        await self._connect_clusters()
        self.issuers.follow(self.specs)
        self.observer.gateway.trust(self.issuers.known())
        observed = await self.observer.look(self.intents)
        decided = decide(self.specs, observed, self.memory, emptying=self.emptying)
        self.meter.add(observed.loads, observed.at)
        await self._count_tenants(observed.at)
        self.recorder.tick(observed, decided, self.memory, self.observer.faults, emptying=self.emptying)
        self.memory = decided.memory
        self.recorder.remember(self.memory, observed.at)
        await self.actor.do(decided.actions)
        for fault in self.actor.take_faults():
            self.recorder.fault(self.clock.wall(), "action", fault)
        self.last = (observed, decided)
        now = self._status(observed, decided)
        self.past.add(now)
        self.on_status(now)
        async with self.ticked:
            self.ticked.notify_all()

    async def _pause(self) -> None:
        wait_s = self.tick_s
        if self.last and self.last[1].look_again_at is not None:
            wait_s = min(wait_s, self.last[1].look_again_at - self.clock.wall())
        await asyncio.sleep(SHORTEST_PAUSE_S)
        with contextlib.suppress(TimeoutError):  # not wait_for, which may lose a cancellation
            async with asyncio.timeout(max(0.0, wait_s - SHORTEST_PAUSE_S)):
                await self.wake.wait()
        self.wake.clear()

    async def _connect_clusters(self) -> None:
        """Open the runtimes of declared clusters, anew when the manifest changed; let go of those that are not used.

        A cluster that is not declared any more is kept until nothing of ours is left on it.
        """
        runtimes = self.observer.runtimes
        for cluster in self.specs.clusters:
            if self._connected.get(cluster.name) == cluster:
                continue
            if cluster.name in runtimes:
                await runtimes.pop(cluster.name).close()
            runtimes[cluster.name] = self.connect(cluster)
            self._connected[cluster.name] = cluster
        declared = {c.name for c in self.specs.clusters}
        used = {m.cluster for m in self.memory.replicas.values()}
        for name in set(runtimes) - declared - used:
            self._connected.pop(name, None)
            await runtimes.pop(name).close()

    async def _count_tenants(self, at: float) -> None:
        fault = "" if self.observer.gateway_closed else await self.tenancy.step(self.observer.admission, at)
        if fault and fault != self._tenancy_fault:
            self.recorder.fault(at, "tenants", fault)
        self._tenancy_fault = fault

    def _empty(self) -> bool:
        return not self.memory.replicas and (self.last is None or not self.last[0].replicas)

    # -- what the API asks ---------------------------------------------------------------------------------------

    async def status(self) -> Status:
        await self._first_tick()
        assert self.last is not None
        return self._status(*self.last)

    async def history(self) -> History:
        return self.past.told()

    async def apply(self, manifests: Sequence[Manifest], *, prune: bool) -> Diff:
        merged = diff.merged(self.specs, manifests, prune=prune)
        specs = self.check(merged)
        changes = diff.changes(self.specs, specs)
        self.recorder.applied(self.clock.wall(), specs, changes)
        self.specs = specs
        self.observer.know(specs.pools)
        self.wake.set()
        try:
            await self.tenancy.declare(specs.tenants)
            notes: tuple[str, ...] = ()
        except (GatewayError, StoreError) as error:  # the next tick tries again
            notes = (f"tenants are not in force yet: {error}",)
        return Diff(changes, (*notes, *open_services(specs, self.where.host), *unmetered(specs)))

    async def plan(self, manifests: Sequence[Manifest], *, prune: bool) -> Preview:
        await self._first_tick()
        specs = self.check(diff.merged(self.specs, manifests, prune=prune))
        assert self.last is not None
        return preview(specs, self.last[0], self.memory, diff.changes(self.specs, specs), self._wanted())

    async def what_if(self, changes: Sequence[str]) -> Outlook:
        await self._first_tick()
        assert self.last is not None
        parsed = [whatif.parse(text, self.specs.clusters) for text in changes]
        # Dozens of ticks: beside the loop, which must not wait for them. Everything it reads is immutable.
        return await asyncio.to_thread(whatif.outlook, self.specs, self.last[0], self.memory, parsed)

    async def explain(self, service: str) -> Explanation:
        now = await self.status()
        for s in now.services:
            if s.name == service:
                return Explanation(service, s.pools, self.recorder.about(service))
        raise NotFound(self._no_service(service))

    async def logs(self, service: str, replica: str | None, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        names = {n: m.cluster for n, m in self.memory.replicas.items() if m.key.service == service}
        if not names and service not in {s.name for s in self.specs.services}:
            raise NotFound(self._no_service(service))
        if replica is not None and replica not in names:
            async for line in self._past_log(service, replica, tail):
                yield line
            return
        chosen = {replica: names[replica]} if replica else names
        async for line in _merged(
            {n: self.observer.runtimes[c].logs(n, tail=tail, follow=follow) for n, c in sorted(chosen.items())}
        ):
            yield line

    async def _past_log(self, service: str, replica: str, tail: int) -> AsyncIterator[LogLine]:
        """What a replica wrote that is gone, where its cluster still keeps it."""
        pools = [p.key.pool for p in self.specs.pools if p.key.service == service]
        if any(replica.startswith(f"{service}-{pool}-") for pool in pools):
            for runtime in self.observer.runtimes.values():
                with contextlib.suppress(RuntimeFault):
                    async for text in runtime.logs(replica, tail=tail):
                        yield LogLine(replica, text)
                    return
        names = sorted(n for n, m in self.memory.replicas.items() if m.key.service == service)
        raise NotFound(f"no replica {replica} of {service}, and no log of it. There are: {', '.join(names) or 'none'}")

    async def events(self, since: float | None, *, follow: bool) -> AsyncIterator[Event]:
        at = self.clock.wall() if since is None else since
        for event in self.recorder.since(at):
            yield event
            at = event.at
        seen = self.recorder.count
        while follow:
            async with self.ticked:
                await self.ticked.wait()
            fresh, seen = self.recorder.newer(seen), self.recorder.count
            for event in fresh:
                yield event

    async def drain(self, subject: str) -> str:
        if subject in self.memory.replicas:
            text = f"{subject} is replaced, then drained and stopped."
        elif subject in self.observer.runtimes:
            count = sum(m.cluster == subject for m in self.memory.replicas.values())
            text = f"{count} replicas of cluster {subject} are replaced elsewhere, then drained."
            if not any(c != subject and c not in self.memory.drained for c in self.observer.runtimes):
                text = f"There is no other cluster: the {count} replicas of {subject} stay until there is one."
        else:
            raise NotFound(f"no replica or cluster is called {subject}. `tidegate status` lists them.")
        await self._wish("drain", subject, text)
        return text

    async def undrain(self, subject: str) -> str:
        if subject not in self.memory.drained:
            names = ", ".join(sorted(self.memory.drained)) or "nothing"
            raise NotFound(f"{subject} is not drained. Drained are: {names}.")
        kept = self.memory.replicas.get(subject)
        text = f"{subject} may be used again."
        if kept is not None and kept.state is ReplicaState.DRAINING:
            text = f"{subject} already ends its requests and is stopped; another one has its place."
        await self._wish("undrain", subject, text)
        return text

    async def _wish(self, verb: str, subject: str, text: str) -> None:
        """Tell the next tick; when this returns, what follows from it is in the memory that a restart reads."""
        wish = Intent(verb, subject, self.clock.wall())
        self.intents = (*self.intents, wish)
        self.recorder.operator(wish.at, subject, f"{verb}: {text}")
        self.wake.set()
        async with self.ticked:
            await self.ticked.wait_for(lambda: self.last is not None and wish in self.last[0].intents)
        self.intents = tuple(i for i in self.intents if i is not wish)

    async def rollout(self, service: str, verb: str) -> str:
        pools = {k: p for k, p in self.memory.pools.items() if k.service == service}
        if not pools:
            raise NotFound(self._no_service(service))
        text = rollouts.answer(verb, pools, self.observer.revisions, self.specs.pools)
        heard = max(p.rollout.heard_at for p in pools.values())
        wish = Intent(f"{verb}-rollout", service, max(self.clock.wall(), heard + 0.001))
        self.intents = (*self.intents, wish)
        self.recorder.operator(self.clock.wall(), service, f"rollout {verb}: {text}")
        self.wake.set()
        async with self.ticked:  # once it is heard it is in the memory that a restart reads
            await self.ticked.wait_for(lambda: all(self._heard(key, wish) for key in pools))
        self.intents = tuple(i for i in self.intents if i is not wish)
        return text

    def _heard(self, key: PoolKey, wish: Intent) -> bool:
        pool = self.memory.pools.get(key)
        return pool is None or pool.rollout.heard_at >= wish.at

    async def tenants(self) -> TenancyStatus:
        return self.tenancy.status()

    async def keys(self) -> tuple[KeyStatus, ...]:
        return self.tenancy.key_list()

    async def add_key(self, tenant: str, *, note: str, expires_s: float | None) -> NewKey:
        made = await self.tenancy.add_key(tenant, note, expires_s)
        self.recorder.operator(self.clock.wall(), tenant, f"key {made.key.id} added")
        return made

    async def revoke_key(self, key_id: str) -> KeyStatus:
        key = await self.tenancy.revoke_key(key_id)
        self.recorder.operator(self.clock.wall(), key.tenant, f"key {key_id} revoked")
        return key

    async def learn(self, service: str, pool: str, lesson: str, text: str) -> str:
        key = PoolKey(service, pool)
        if key not in self.memory.pools:
            raise NotFound(f"no pool is called {key}. There are: {', '.join(map(str, self.memory.pools)) or 'none'}")
        known = self.memory.pools[key]
        scale = taught(known.scale, codec.decode(ScaleMemory, lesson))
        self.memory = replace(self.memory, pools={**self.memory.pools, key: replace(known, scale=scale)})
        self.recorder.taught(self.clock.wall(), str(key), text, self.memory)
        self.wake.set()
        return f"{key} has learned"

    async def down(self) -> None:
        self.recorder.operator(self.clock.wall(), "all", "stop everything")
        self.stop_asked.set()

    # ------------------------------------------------------------------------------------------------------------

    def announce(self) -> None:
        """Tell who shows the status that it changed outside of a tick."""
        if self.last:
            self.on_status(self._status(*self.last))

    async def _first_tick(self) -> None:
        async with self.ticked:
            await self.ticked.wait_for(lambda: self.last is not None)

    def _status(self, observed: Observed, decided: Tick) -> Status:
        where = replace(self.where, warnings=(*self.where.warnings, *self.observer.admission.faults))
        now = status(self.specs, observed, decided, self.meter, where, self.observer.faults)
        return replace(now, uptime_s=observed.at - self.started_at, stopping=self.stopping)

    def _wanted(self) -> Mapping[str, int]:
        return {str(p.key): p.wanted for p in self.last[1].plan.pools} if self.last else {}

    def _no_service(self, name: str) -> str:
        names = ", ".join(s.name for s in self.specs.services) or "none"
        return f"no service is called {name}. There are: {names}"


def preview(
    specs: Specs, observed: Observed, memory: Memory, changes: tuple[Change, ...], wanted: Mapping[str, int]
) -> Preview:
    """What one tick would do with `specs` in the world as observed; nothing is changed."""
    decided = tick(specs, observed, memory)
    pools = tuple(
        PoolPreview(p.key.service, p.key.pool, wanted.get(str(p.key)), p.wanted, p.pending, p.reasons)
        for p in decided.plan.pools
    )
    verbs = tuple(diff.sentence(a) for a in decided.actions)
    return Preview(Diff(changes), pools, tuple(v for v in verbs if v))


async def _merged(streams: Mapping[str, AsyncIterator[str]]) -> AsyncIterator[LogLine]:
    """Lines of several replicas as they come."""
    queue: asyncio.Queue[LogLine | None] = asyncio.Queue(maxsize=1000)

    async def pump(name: str, lines: AsyncIterator[str]) -> None:
        try:
            async for text in lines:
                await queue.put(LogLine(name, text))
        finally:
            await queue.put(None)

    tasks = [asyncio.create_task(pump(n, s)) for n, s in streams.items()]
    left = len(tasks)
    try:
        while left:
            line = await queue.get()
            if line is None:
                left -= 1
            else:
                yield line
    finally:
        for task in tasks:
            task.cancel()
