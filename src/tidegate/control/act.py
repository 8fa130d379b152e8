"""Act: do what the tick said, in its order where order matters, and report what could not be done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from tidegate.base.errors import RuntimeFault, TidegateError
from tidegate.control.observe import Observer
from tidegate.model.actions import Action, Forget, Prepare, Publish, Remedy, Start, Stop
from tidegate.model.observed import ReplicaSeen
from tidegate.runtimes.protocol import StartOrder

ACT_S = 30.0  # an action that takes longer is reported as failed; it is idempotent and will be ordered again
PATIENCE_S = 1.0  # how long a tick waits for its actions; slower ones go on beside the next ticks
AT_ONCE = 32


@dataclass(slots=True)
class Actor:
    """Carries out actions on the adapters that the observer holds. Failures are sentences, never exceptions.

    An action that is still under way from an earlier tick is not begun again.
    """

    observer: Observer
    faults: list[str] = field(default_factory=list)
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _under_way: dict[tuple[str, str], asyncio.Task[None]] = field(default_factory=dict)

    async def do(self, actions: Iterable[Action]) -> None:
        """Publish first and alone; then everything else side by side, waiting a moment for it to end."""
        ordered = sorted(actions, key=lambda a: not isinstance(a, Publish))
        for action in ordered:
            if isinstance(action, Publish):
                await self._guarded(action)
            else:
                self._begin(action)
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=PATIENCE_S)

    def take_faults(self) -> tuple[str, ...]:
        """What failed since the last call, as sentences."""
        taken = tuple(self.faults)
        self.faults.clear()
        return taken

    async def close(self) -> None:
        """Give up what is still under way."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _begin(self, action: Action) -> None:
        key = (type(action).__name__, getattr(action, "replica", ""))
        if key in self._under_way:
            return
        task = asyncio.create_task(self._guarded(action), name=" ".join(key))
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._under_way.pop(key, None))

    async def _guarded(self, action: Action) -> None:
        async with self._gate:
            try:
                await asyncio.wait_for(self._do(action), ACT_S)
            except (TidegateError, TimeoutError, OSError) as error:
                what = f"{type(action).__name__.lower()} {getattr(action, 'replica', 'routing')}"
                self.faults.append(f"{what}: {str(error) or f'no answer within {ACT_S:g} s'}")

    async def _do(self, action: Action) -> None:
        see = self.observer
        match action:
            case Publish(snapshot=snapshot):
                await see.gateway.publish(snapshot)
            case Start():
                await self._start(action)
            case Prepare(replica=name):
                see.prober.prepare(name)
            case Remedy(replica=name):
                see.prober.remedy(name)
            case Stop(replica=name, cluster=cluster, grace_s=grace_s):
                if cluster in see.runtimes:
                    await see.runtimes[cluster].stop(name, grace_s)
            case Forget(replica=name, cluster=cluster):
                see.prober.forget(name)
                if see.unstartable.pop(name, None) is None and cluster in see.runtimes:
                    await see.runtimes[cluster].forget(name)

    async def _start(self, action: Start) -> None:
        see = self.observer
        pool = see.revisions.get((action.key, action.revision))
        try:
            if pool is None:
                raise RuntimeFault(f"revision {action.revision} of {action.key} is not in the journal any more")
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
