"""Act: do what the tick said, in its order where order matters, and report what could not be done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from tidegate.base.errors import RuntimeFault, TidegateError
from tidegate.control.observe import Observer
from tidegate.model.actions import Action, Forget, Prepare, Publish, Start, Stop
from tidegate.model.observed import ReplicaSeen
from tidegate.runtimes.protocol import StartOrder

ACT_S = 30.0  # an action that takes longer is reported as failed; it is idempotent and will be ordered again
AT_ONCE = 32


@dataclass(slots=True)
class Actor:
    """Carries out actions on the adapters that the observer holds. Failures are sentences, never exceptions."""

    observer: Observer
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def do(self, actions: Iterable[Action]) -> tuple[str, ...]:
        """Publish first and alone; then everything else side by side. Returns what failed."""
        publish = [a for a in actions if isinstance(a, Publish)]
        others = [a for a in actions if not isinstance(a, Publish)]
        faults = [await self._guarded(a) for a in publish]
        faults += await asyncio.gather(*(self._guarded(a) for a in others))
        return tuple(f for f in faults if f)

    async def _guarded(self, action: Action) -> str:
        async with self._gate:
            try:
                await asyncio.wait_for(self._do(action), ACT_S)
            except (TidegateError, TimeoutError, OSError) as error:
                what = f"{type(action).__name__.lower()} {getattr(action, 'replica', 'routing')}"
                return f"{what}: {error or f'no answer within {ACT_S:g} s'}"
        return ""

    async def _do(self, action: Action) -> None:
        see = self.observer
        match action:
            case Publish(snapshot=snapshot):
                await see.gateway.publish(snapshot)
            case Start():
                await self._start(action)
            case Prepare(replica=name):
                see.prober.prepare(name)
            case Stop(replica=name, cluster=cluster, grace_s=grace_s):
                if cluster in see.runtimes:
                    await see.runtimes[cluster].stop(name, grace_s)
            case Forget(replica=name, cluster=cluster):
                see.prober.forget(name)
                if see.unstartable.pop(name, None) is None and cluster in see.runtimes:
                    await see.runtimes[cluster].forget(name)

    async def _start(self, action: Start) -> None:
        see = self.observer
        pool = see.revisions[(action.key, action.revision)]
        try:
            await see.runtimes[action.cluster].start(StartOrder(action.replica, pool, see.gateway_url))
        except RuntimeFault as error:
            see.unstartable[action.replica] = ReplicaSeen(
                id=action.replica,
                key=action.key,
                revision=action.revision,
                cluster=action.cluster,
                created_at=see.clock.wall(),
                running=False,
                detail=str(error),
            )
            raise
