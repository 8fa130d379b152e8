"""The prober: one task per replica looks at it, one more prepares it; verdicts are kept and changes are told at once.

All tasks belong to the prober and end with `forget` and `close`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.model.observed import Verdict
from tidegate.probes.checks import Asked, Checks
from tidegate.probes.pace import early_pause_s, next_turn_s, phase
from tidegate.probes.protocol import ProbeTarget, Verdicts
from tidegate.probes.scripts import Scripts
from tidegate.probes.verdicts import Result, Rule, Streak, judge
from tidegate.spec.probes import Probe, Python, TcpSocket

log = logging.getLogger("tidegate.probes")

HISTORY = 10  # earlier results of a probe that a script is told
RETRY_S = 1.0  # between two tries of a prepare step
VERIFY_S = 300.0  # a rollout's verify script that takes longer has failed
REMEDY_S = 300.0
ORDER = ("liveness", "startup", "prepare", "verify", "readiness")  # whose trouble is shown first
PROCESS_KINDS = ("exec", "python")

Traffic = Callable[[str], Mapping[str, float]]


@dataclass(slots=True)
class _Watched:
    """One replica: what its probes have found, and the tasks that look at it."""

    target: ProbeTarget
    since: float
    streaks: dict[str, Streak] = field(default_factory=dict)
    once: dict[str, Result] = field(default_factory=dict)
    history: dict[str, deque[tuple[float, Result]]] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    preparing: bool = False
    remedying: bool = False

    def said(self, name: str) -> Verdict:
        streak = self.streaks.get(name)
        return streak.verdict if streak is not None else Verdict.UNKNOWN

    def did(self, name: str) -> Verdict:
        result = self.once.get(name)
        return result.verdict if result is not None else Verdict.UNKNOWN

    def trouble(self) -> str:
        """The latest failure that still stands, in words."""
        for name in ORDER:
            streak = self.streaks.get(name)
            last = self.once.get(name) or (streak.last if streak is not None else None)
            if last is not None and last.verdict is not Verdict.PASS and last.reason:
                return f"{name}: {last.reason}"
        return ""


class AsyncProber:
    """Implements `probes.protocol.Prober` on the running event loop.

    Args:
        on_change: called when a verdict has changed, so that the next look of the control loop need not wait.
        traffic: what the gateway measured of a replica lately, for scripts that ask; see `probe.Replica.traffic`.
    """

    def __init__(self, on_change: Callable[[], None] = lambda: None, traffic: Traffic = lambda _: {}) -> None:
        self._on_change = on_change
        self._traffic = traffic
        self._scripts = Scripts()
        self._checks = Checks(self._scripts)
        self._watched: dict[str, _Watched] = {}
        self._starting = 0

    # -- the protocol --------------------------------------------------------------------------------------------

    def watch(self, target: ProbeTarget) -> None:
        """Begin with the startup probe; repeating changes nothing."""
        if target.replica in self._watched:
            return
        watched = _Watched(target, asyncio.get_running_loop().time())
        self._watched[target.replica] = watched
        self._spawn(watched, self._look_after(watched))

    def prepare(self, replica: str) -> None:
        """Run the prepare steps, then verify; repeating changes nothing. Unknown ids are ignored."""
        watched = self._watched.get(replica)
        if watched is not None and not watched.preparing:
            watched.preparing = True
            self._spawn(watched, self._prepare(watched))

    def remedy(self, replica: str) -> None:
        """Run the liveness remedy script, then judge liveness anew; repeating while it runs changes nothing."""
        watched = self._watched.get(replica)
        if watched is not None and not watched.remedying:
            watched.remedying = True
            watched.once.pop("remedy", None)
            self._spawn(watched, self._remedy(watched))

    def forget(self, replica: str) -> None:
        """Stop probing. Unknown ids are ignored."""
        watched = self._watched.pop(replica, None)
        for task in watched.tasks if watched is not None else ():
            task.cancel()

    def verdicts(self, replica: str) -> Verdicts:
        """The verdicts now; all unknown for a replica that is not watched."""
        watched = self._watched.get(replica)
        if watched is None:
            return Verdicts()
        return Verdicts(
            startup=watched.said("startup"),
            prepared=watched.did("prepare"),
            readiness=watched.said("readiness"),
            liveness=watched.said("liveness"),
            verify=watched.did("verify"),
            detail=watched.trouble(),
            remedy=watched.did("remedy"),
        )

    async def close(self) -> None:
        """Stop all probing and end every script."""
        tasks = [t for w in self._watched.values() for t in w.tasks]
        for name in tuple(self._watched):
            self.forget(name)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._scripts.close()

    # -- looking after one replica -------------------------------------------------------------------------------

    def _spawn(self, watched: _Watched, work: Coroutine[Any, Any, None]) -> None:
        watched.tasks = [t for t in watched.tasks if not t.done()]
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_report)
        watched.tasks.append(task)

    async def _look_after(self, watched: _Watched) -> None:
        """Startup first; then readiness and liveness side by side."""
        probes = watched.target.probes
        self._starting += 1
        try:
            await self._repeat(watched, "startup", probes.startup or _default_startup(watched.target))
        finally:
            self._starting -= 1
        if watched.said("startup") is not Verdict.PASS:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(watched, "readiness", probes.readiness or _port_answers()))
            if probes.liveness is not None:
                group.create_task(self._repeat(watched, "liveness", probes.liveness))

    async def _repeat(self, watched: _Watched, name: str, probe: Probe) -> None:
        """Look again and again; a startup probe until it has passed or failed.

        Until a startup or readiness probe has said something for the first time, there are early looks between its
        turns, which then come a whole period after each other from the beginning on.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, watched.since + probe.initialDelaySeconds - loop.time()))
        rule, begun, period_s = Rule.of(probe), loop.time(), probe.periodSeconds
        turn = phase(watched.target.replica, name)
        watched.streaks[name] = Streak()
        if name == "liveness":
            await asyncio.sleep(turn * period_s)
        its_turn = name == "liveness"
        while True:
            result = await self._checks.run(watched.target, probe, self._asked(watched, name))
            self._take(watched, name, result, rule, its_turn=its_turn)
            verdict = watched.streaks[name].verdict
            if name == "startup" and verdict is not Verdict.UNKNOWN:
                return
            now = loop.time()
            if name == "liveness" or verdict is not Verdict.UNKNOWN:
                pause_s, its_turn = next_turn_s(now, period_s, turn), True
            else:
                process = probe.kind in PROCESS_KINDS
                early_s = early_pause_s(now - begun, self._starting, process=process)
                turn_s = next_turn_s(now - begun, period_s, 0.0)
                pause_s, its_turn = min(turn_s, early_s), turn_s <= early_s
            await asyncio.sleep(pause_s)

    def _asked(self, watched: _Watched, name: str) -> Asked:
        now = asyncio.get_running_loop().time()
        last = [
            {"verdict": r.verdict.value, "reason": r.reason, "took_s": r.took_s, "age_s": now - at}
            for at, r in watched.history.get(name, ())
        ]
        return Asked(name, last, self._traffic(watched.target.replica))

    def _take(self, watched: _Watched, name: str, result: Result, rule: Rule, *, its_turn: bool) -> None:
        now = asyncio.get_running_loop().time()
        watched.history.setdefault(name, deque(maxlen=HISTORY)).appendleft((now, result))
        before = watched.streaks[name]
        watched.streaks[name] = judge(before, rule, result, its_turn=its_turn)
        if watched.streaks[name].verdict is not before.verdict:
            self._on_change()

    # -- once per start ------------------------------------------------------------------------------------------

    async def _prepare(self, watched: _Watched) -> None:
        """Every step in order; the first that fails for good fails the whole. Then verify."""
        for number, step in enumerate(watched.target.probes.prepare, start=1):
            name = step.name or f"step {number} ({step.kind})"
            result = Result(Verdict.UNKNOWN)
            for attempt in range(step.retries + 1):
                if attempt:
                    await asyncio.sleep(RETRY_S)
                result = await self._checks.run(watched.target, step, self._asked(watched, "prepare"))
                if result.verdict is Verdict.PASS:
                    break
            if result.verdict is not Verdict.PASS:
                self._settle(watched, "prepare", Result(Verdict.FAIL, f"{name} failed: {result.reason}"))
                return
        self._settle(watched, "prepare", Result(Verdict.PASS))
        verify = watched.target.rollout.verify
        result = Result(Verdict.PASS) if verify is None else await self._script(watched, verify, "verify", VERIFY_S)
        if result.verdict is not Verdict.PASS:
            result = Result(Verdict.FAIL, result.reason)
        self._settle(watched, "verify", result)

    async def _remedy(self, watched: _Watched) -> None:
        """The script, then a clean slate for liveness; a remedy that fails leaves the verdict as it is."""
        try:
            liveness = watched.target.probes.liveness
            if liveness is None or liveness.remedyScript is None:
                return
            result = await self._script(watched, Python(script=liveness.remedyScript), "remedy", REMEDY_S)
            watched.once["remedy"] = result if result.verdict is Verdict.PASS else Result(Verdict.FAIL, result.reason)
            if result.verdict is Verdict.PASS:
                watched.streaks["liveness"] = Streak()
            self._on_change()
        finally:
            watched.remedying = False

    async def _script(self, watched: _Watched, python: Python, name: str, timeout_s: float) -> Result:
        return await self._checks.script(watched.target, python, timeout_s, self._asked(watched, name))

    def _settle(self, watched: _Watched, name: str, result: Result) -> None:
        watched.once[name] = result
        self._on_change()


def _port_answers() -> Probe:
    """What is asked of a replica whose manifest says nothing: does its port accept connections."""
    return Probe(tcpSocket=TcpSocket())


def _default_startup(target: ProbeTarget) -> Probe:
    """Without a startup probe a replica has until the progress deadline to open its port."""
    probe = _port_answers()
    failures = math.ceil(target.rollout.progressDeadlineSeconds / probe.periodSeconds)
    return probe.model_copy(update={"failureThreshold": failures})


def _report(task: asyncio.Task[None]) -> None:
    """A task that broke is a fault of ours; say so, the verdicts of its replica stay as they are."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a probe task broke", exc_info=error)
