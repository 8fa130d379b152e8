"""What `tidegate bench` does: sends requests at a trace's instants to a running service, and counts the answers.

Open loop: a request goes out when it is due, however many are unanswered; a client that waits for answers would send
less just when the service is slow, and not see it (coordinated omission).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import mimetypes
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tidegate.base.errors import ControlError, TidegateError
from tidegate.base.streams import stream
from tidegate.cli import loads
from tidegate.cli.bench_result import PoolTally, Result
from tidegate.cli.client import Client
from tidegate.cli.options import parse_header
from tidegate.cli.output import warn
from tidegate.sim import trace_files
from tidegate.sim.requests import Requests, ServiceTime
from tidegate.sim.trace import Trace
from tidegate.spec.requests import HEADER_PATTERN

MOST_OPEN = 4000  # unanswered requests; beyond them descriptors run out, and what is due is counted as not sent
CLIENTS_FAULT = range(400, 500)


class CannotBench(TidegateError):
    """What was asked for cannot be sent."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The options; times as text."""

    service: str
    trace: str
    path: str = ""
    bodies: tuple[Path, ...] = ()
    parts: tuple[str, ...] = ()
    method: str | None = None
    headers: tuple[str, ...] = ()
    timeout: str = "60s"
    scale: float = 1.0
    begin: str | None = None
    until: str | None = None
    seed: int = 1


def play(asked: Asked, state: Path) -> Result:
    """Send everything, with a bar on a terminal.

    Raises:
        TidegateError: nothing runs, there is no such service, or trace, files or options cannot be used.
    """
    trace = loads.cut(trace_files.read(asked.trace), asked.begin, asked.until, asked.scale)
    warn(trace.notes)
    timeout_s = loads.seconds(asked.timeout, "--timeout")
    if not 0 < timeout_s < math.inf:
        raise CannotBench(f"--timeout is {asked.timeout}; give a time above 0.")
    with Client(state) as client:
        status = client.status()
        found = [s for s in status.services if s.name == asked.service]
        if not found:
            known = ", ".join(s.name for s in status.services) or "none"
            raise CannotBench(f"no service is called {asked.service!r}; there are: {known}.")
        requests = _requests(asked, found[0].url)
        result = Result(asked.service)
        for pool in found[0].pools:
            tally = PoolTally(pool.within_s or math.inf, pool.promised_ratio or 0.0)
            result.pools[f"{pool.service}/{pool.pool}"] = tally
            tally.see(pool.ready)
        asyncio.run(_Run(result, client, requests, timeout_s, asked.seed).play(trace))
    return result


class _Run:
    """One run of `play`."""

    def __init__(
        self, result: Result, client: Client, requests: Sequence[httpx.Request], timeout_s: float, seed: int
    ) -> None:
        self.result, self.client, self.requests = result, client, requests
        self.timeout_s, self.seed = timeout_s, seed
        self.open = 0
        self.stop = asyncio.Event()

    async def play(self, trace: Trace) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        watcher = asyncio.create_task(self._watch())
        began = loop.time()
        try:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=MOST_OPEN)
            async with httpx.AsyncClient(limits=limits, timeout=None) as http, asyncio.TaskGroup() as group:
                await self._send(trace, http, group)
        finally:
            watcher.cancel()
            self.result.seconds = loop.time() - began

    def _interrupted(self) -> None:
        """The first Ctrl-C ends the sending, the second everything."""
        self.stop.set()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    async def _send(self, trace: Trace, http: httpx.AsyncClient, group: asyncio.TaskGroup) -> None:
        loop, draw = asyncio.get_running_loop(), stream(self.seed, "bodies")
        began = loop.time()
        with _progress(self.result, trace.length_s) as show:
            for at in arrivals(trace, self.seed):
                show(loop.time() - began, self.open)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(began + at):
                        await self.stop.wait()
                if self.stop.is_set():
                    return
                if self.open >= MOST_OPEN:
                    self.result.unsent += 1
                    continue
                self.open += 1
                self.result.late_s.append(loop.time() - began - at)
                group.create_task(self._one(http, draw.choice(self.requests)))

    async def _one(self, http: httpx.AsyncClient, request: httpx.Request) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self.timeout_s):  # httpx has limits of its own for each part of a request only
                answer = await http.send(request)
        except (httpx.HTTPError, TimeoutError) as error:
            self._tally("").count(type(error).__name__).lost += 1
            return
        finally:
            self.open -= 1
        refused = answer.headers.get("x-tidegate-refused", "")
        tally = self._tally(answer.headers.get("x-tidegate-pool", "")).count(f"{answer.status_code} {refused}".strip())
        if answer.status_code in CLIENTS_FAULT:
            tally.faulty += 1
        elif answer.is_error:
            tally.lost += 1
        else:
            tally.answered_s.append(loop.time() - began)
            tally.replicas.add(answer.headers.get("x-tidegate-replica", ""))

    def _tally(self, pool: str) -> PoolTally:
        return self.result.pools.setdefault(pool, PoolTally(promised=1.0))

    async def _watch(self) -> None:
        """How many replicas are ready, once a second; a control process that does not answer disturbs nothing."""
        while True:
            await asyncio.sleep(1)
            with contextlib.suppress(ControlError):
                status = await asyncio.to_thread(self.client.status)
                for pool in (p for s in status.services if s.name == self.result.service for p in s.pools):
                    self._tally(f"{pool.service}/{pool.pool}").see(pool.ready)


def arrivals(trace: Trace, seed: int) -> Iterator[float]:
    """Seconds at which requests are due: Poisson at the trace's rate, as `tidegate simulate` draws them."""
    drawn = Requests(trace.points(), ServiceTime(1.0), seed, compile=False)
    while True:
        drawn.cover(0.0)
        if drawn.index == drawn.count:
            return
        yield from drawn.arrivals[drawn.index : drawn.count]
        drawn.index = drawn.count


def _requests(asked: Asked, url: str) -> list[httpx.Request]:
    """One ready-made request per body.

    Raises:
        CannotBench: they cannot be made or sent; the message says why.
        BadParameter: a header is none.
    """
    if not url:
        raise CannotBench(f"{asked.service} has no address: the gateway is not up. `tidegate status` says why.")
    if asked.bodies and asked.parts:
        raise CannotBench("--body and --part do not go together. Give whole bodies or parts.")
    headers = dict(map(parse_header, asked.headers))
    method = asked.method or ("POST" if asked.bodies or asked.parts else "GET")
    if not re.fullmatch(HEADER_PATTERN, method):  # methods and names of headers are both tokens (RFC 9110, 5.6.2)
        raise CannotBench(f"--method: got {method!r}, expected a word such as PUT.")
    files = [(name, (path.name, _read(path))) for name, path in map(_part, asked.parts)]
    bodies = [(_kind(path), _read(path)) for path in asked.bodies]
    try:
        bare = httpx.Request(method, url + asked.path.lstrip("/"), headers=headers, files=files or None)
        bare.read()
        return [httpx.Request(method, bare.url, headers=kind | headers, content=body) for kind, body in bodies] or [
            bare
        ]
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        raise CannotBench(f"--path or --header cannot be sent: {error}.") from None


def _kind(path: Path) -> dict[str, str]:
    return {"content-type": mimetypes.guess_type(path.name)[0] or "application/octet-stream"}


def _part(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    if not sign or not name or not path:
        raise CannotBench(f"--part: got {text!r}, expected NAME=FILE.")
    return name, Path(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CannotBench(f"{path}: {error.strerror}.") from None


@contextlib.contextmanager
def _progress(result: Result, length_s: float) -> Iterator[Callable[[float, int], None]]:
    """A bar on the standard error stream, for people: how far it is, what is unanswered, what is ready."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with bar:
        task = bar.add_task("sending", total=length_s)

        def show(at_s: float, unanswered: int) -> None:
            ready = sum(p.ready_now for p in result.pools.values())
            told = f"{result.sent} sent, {unanswered} unanswered, {ready} replicas ready"
            bar.update(task, completed=at_s, description=told)

        yield show
