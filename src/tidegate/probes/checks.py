"""One look at one replica: whichever kind of check it is, a `Result` comes back, in time and never as an exception."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tidegate.base import commands
from tidegate.base.errors import CommandError
from tidegate.model.environment import Place, replica_env, thread_variables
from tidegate.model.observed import Verdict
from tidegate.probe.target import ENVIRONMENT
from tidegate.probes import grpc, network
from tidegate.probes.protocol import ProbeTarget, Upstream
from tidegate.probes.scripts import Scripts, Task
from tidegate.probes.secure import secured
from tidegate.probes.verdicts import Result
from tidegate.spec.probes import Check, Exec, HttpGet, PrepareStep, Python
from tidegate.spec.tls import ReplicaTls

AT_ONCE = 128  # network checks side by side; a file descriptor each
WAIT_S = 0.1  # between two looks of a step that waits (files, routes)
STOOD_STILL_S = 0.5  # a time limit noticed so much too late says that this process did not run, nothing of the replica
NOT_ROUTED = (b"no_such_service", b"no_such_path")  # the gateway's own codes: it does not know the service yet
NOT_ANSWERING = range(502, 505)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a look is for: the probe's name, earlier results of it, what the gateway measured of the replica."""

    probe: str
    last: Sequence[dict[str, Any]] = ()
    traffic: Mapping[str, float] | None = None


class Checks:
    """Runs checks, a bounded number at a time; the time of a check begins when it does."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def run(self, target: ProbeTarget, check: Check, asked: Asked) -> Result:
        """One look, at most `check.timeoutSeconds` long."""
        if check.exec is not None:
            return await self._exec(target, check.exec, check.timeoutSeconds, asked)
        if check.python is not None:
            return await self.script(target, check.python, check.timeoutSeconds, asked)
        if isinstance(check, PrepareStep) and (check.files or check.routes):
            waiting: dict[str, str] = {}
            look = _files(target, check.files, waiting) if check.files else _routes(target, waiting)
            return await timed(look, check.timeoutSeconds, waiting)
        async with self._gate:
            return await timed(self._network(target, check), check.timeoutSeconds)

    async def script(self, target: ProbeTarget, python: Python, timeout_s: float, asked: Asked) -> Result:
        """Run a Python script about the replica."""
        path = Path(target.directory, python.script)
        text = target.scripts.get(python.script)
        if text is None and not path.is_file():
            return Result(Verdict.UNKNOWN, f"script {path} does not exist")
        env = _environment(target) | {ENVIRONMENT: json.dumps(_facts(target, asked, timeout_s))}
        task = Task(
            target.directory,
            env,
            timeout_s,
            python.memory,
            script=str(path.resolve()),
            text=text,
            args=list(python.args),
        )
        return await self._scripts.run(task)

    async def _exec(self, target: ProbeTarget, wanted: Exec, timeout_s: float, asked: Asked) -> Result:
        env = _environment(target) | {ENVIRONMENT: json.dumps(_facts(target, asked, timeout_s))}
        try:
            argv = commands.resolve(wanted.command, env, target.directory, own_path="PATH" in target.env)
        except CommandError as error:
            return Result(Verdict.UNKNOWN, str(error))
        return await self._scripts.run(Task(target.directory, env, timeout_s, argv=argv))

    async def _network(self, target: ProbeTarget, check: Check) -> Result:
        host, _, own_port = target.address.rpartition(":")
        if check.httpGet is not None:
            return await _http(check.httpGet, host, int(own_port), target.tls)
        if check.grpc is not None:
            # The port that requests go to is asked as the gateway asks it.
            tls = target.tls if str(check.grpc.port or own_port) == own_port else None
            port = check.grpc.port or own_port
            return await grpc.check(f"{host}:{port}", check.grpc.service, check.timeoutSeconds, tls)
        if check.tcpSocket is not None:
            return await network.tcp(host, check.tcpSocket.port or int(own_port))
        raise AssertionError(f"a check of an unknown kind: {check!r}")


async def timed(look: Awaitable[Result], timeout_s: float, waiting: Mapping[str, str] | None = None) -> Result:
    """The result with the time it took; none within `timeout_s` is a failure that says what is still `waiting`.

    Unless this process itself stood still meanwhile: the answer may lie there unread.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        async with asyncio.timeout(timeout_s):
            result = await look
    except TimeoutError:
        late_s = loop.time() - started - timeout_s
        if late_s > STOOD_STILL_S:
            return Result(Verdict.UNKNOWN, f"could not be run: this machine stood still for {late_s:.1f} s", late_s)
        what = "; ".join(f"{name}: {why}" for name, why in waiting.items()) if waiting else "no answer"
        result = Result(Verdict.FAIL, f"{what} within {timeout_s:g} s")
    return replace(result, took_s=loop.time() - started)


async def _http(get: HttpGet, host: str, own_port: int, tls: ReplicaTls | None) -> Result:
    """The port that requests go to is asked as the gateway asks it."""
    own = tls if get.port in (None, own_port) else None
    scheme = get.scheme.lower() if own is None else "https"
    url = f"{scheme}://{host}:{get.port or own_port}{get.path}"
    try:
        trust = secured(own) if own is not None else None
    except OSError as error:
        return network.failed(error, "tls")
    return await network.http(url, [(h.name, h.value) for h in get.httpHeaders], trust)


async def _files(target: ProbeTarget, files: Sequence[str], waiting: dict[str, str]) -> Result:
    """Wait until all of them are there."""
    while True:
        waiting |= dict.fromkeys(files, "does not exist")
        for file in files:
            if Path(target.directory, file).exists():
                del waiting[file]
        if not waiting:
            return network.PASSED
        await asyncio.sleep(WAIT_S)


async def _routes(target: ProbeTarget, waiting: dict[str, str]) -> Result:
    """Wait until every service in `uses` answers through the gateway; asking for one scaled to zero starts it."""
    if target.uses and not target.gateway:
        return Result(Verdict.FAIL, "there is no gateway to reach other services through")
    waiting |= dict.fromkeys(target.uses, "not asked yet")
    async with asyncio.TaskGroup() as group:
        for name in target.uses:
            group.create_task(_reach(target, name, waiting))
    return network.PASSED


async def _reach(target: ProbeTarget, name: str, waiting: dict[str, str]) -> None:
    upstream = target.upstreams.get(name) or Upstream(f"{target.gateway.rstrip('/')}/{name}/")
    headers = [("Host", upstream.host)] if upstream.host else []
    while True:
        try:
            answer = await network.fetch(upstream.url, headers)
        except (OSError, network.NotHttp) as error:
            waiting[name] = network.failed(error, upstream.url).reason
        else:
            unknown = answer.status == 404 and any(code in answer.body for code in NOT_ROUTED)
            if answer.status not in NOT_ANSWERING and not unknown:
                del waiting[name]
                return
            waiting[name] = f"HTTP {answer.status}"
        await asyncio.sleep(WAIT_S)


def _environment(target: ProbeTarget) -> dict[str, str]:
    """What the replica itself has, so that a script sees the world as the replica does."""
    place = Place(target.replica, target.service, target.pool, target.revision, target.address, target.gateway)
    return replica_env(os.environ, thread_variables(1) | target.env, place)


def _facts(target: ProbeTarget, asked: Asked, timeout_s: float) -> dict[str, Any]:
    """What the SDK reads; see `tidegate.probe.target`."""
    return {
        "replica": target.replica,
        "service": target.service,
        "pool": target.pool,
        "revision": target.revision,
        "address": target.address,
        "pid": target.pid,
        "gateway": target.gateway,
        "probe": asked.probe,
        "timeout_s": timeout_s,
        "last": list(asked.last),
        "traffic": dict(asked.traffic or {}),
    }
