"""Streams that a browser or a command follows: the status as server-sent events, lines of JSON.

Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import TypeVar

from pydantic import TypeAdapter

from tidegate.base.clock import Clock
from tidegate.base.errors import TidegateError
from tidegate.model.status import status_json
from tidegate.model.tenancy import TenancyStatus
from tidegate.web.ports import ControlPort, Event, LogLine

T = TypeVar("T")

PERIOD_S = 1.0
"""A status is sent at least this often; the page takes a longer silence for a lost connection."""
QUIET_S = 0.05
"""Events that come closer together than this share one status: a tick causes many."""
MAX_EVENTS_PER_FRAME = 200
MOST_TENANTS = 60
"""A screenful. A thousand of them would be half a megabyte a second for each page that is open."""

_event = TypeAdapter(Event)
_tenancy = TypeAdapter(TenancyStatus)
_log_line = TypeAdapter(LogLine)


class StatusStream:
    """The status once a second and soon after each event, for any number of followers.

    Making the JSON of 1000 replicas takes milliseconds, so followers share it: at most one status per `QUIET_S`.
    """

    def __init__(self, control: ControlPort, clock: Clock, closing: asyncio.Event) -> None:
        self._control = control
        self._clock = clock
        self._closing = closing
        self._lock = asyncio.Lock()
        self._frames = (b"", b"")
        self._made_at = float("-inf")

    async def frames(self) -> AsyncIterator[bytes]:
        """Server-sent events: `status` (a Status) and behind each `tenants` (a TenancyStatus of the busiest), `journal`
        (a list of Events), `trouble` (a sentence) as the last."""
        yield b"retry: 1000\n\n"
        async with aclosing(self._batches()) as batches:
            try:
                for frame in await self._now():
                    yield frame
                async for batch in batches:
                    if batch:
                        yield _frame(b"journal", b"[" + b",".join(map(_event.dump_json, batch)) + b"]")
                    for frame in await self._now():
                        yield frame
            except TidegateError as error:
                yield _frame(b"trouble", TypeAdapter(str).dump_json(str(error)))

    async def _now(self) -> tuple[bytes, bytes]:
        async with self._lock:
            if self._clock.monotonic() - self._made_at >= QUIET_S:
                status, tenants = await self._control.status(), await self._control.tenants()
                self._frames = (
                    _frame(b"status", status_json(status)),
                    _frame(b"tenants", _tenancy.dump_json(tenants.busiest(MOST_TENANTS))),
                )
                self._made_at = self._clock.monotonic()
            return self._frames

    async def _batches(self) -> AsyncGenerator[list[Event], None]:
        """The events of each period: early when there is one, empty when there was none. Ends with the server."""
        inbox: asyncio.Queue[Event] = asyncio.Queue(MAX_EVENTS_PER_FRAME)
        pump = asyncio.create_task(_pour(self._control.events(None, follow=True), inbox))
        closed = asyncio.create_task(self._closing.wait())
        getting: asyncio.Task[Event] | None = None
        try:
            while not self._closing.is_set():
                getting = getting or asyncio.create_task(inbox.get())
                await asyncio.wait({getting, closed}, timeout=PERIOD_S, return_when=asyncio.FIRST_COMPLETED)
                batch: list[Event] = []
                if getting.done():
                    batch.append(getting.result())
                    getting = None
                    await asyncio.sleep(QUIET_S)
                    batch.extend(inbox.get_nowait() for _ in range(inbox.qsize()))
                yield batch
        finally:
            tasks = [task for task in (pump, closed, getting) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def event_lines(events: AsyncIterator[Event], closing: asyncio.Event) -> AsyncIterator[bytes]:
    """Events as lines of JSON, until they end or the server closes."""
    async with aclosing(until(closing, events)) as source:
        async for event in source:
            yield _event.dump_json(event) + b"\n"


async def log_lines(lines: AsyncIterator[LogLine], closing: asyncio.Event) -> AsyncIterator[bytes]:
    """Log lines as lines of JSON, until they end or the server closes."""
    async with aclosing(until(closing, lines)) as source:
        async for line in source:
            yield _log_line.dump_json(line) + b"\n"


async def until(closing: asyncio.Event, source: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """What `source` gives, ending at once when `closing` is set."""
    closed = asyncio.create_task(closing.wait())
    coming = asyncio.ensure_future(_next(source))
    try:
        while True:
            await asyncio.wait({coming, closed}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done() or (item := coming.result()) is None:
                return
            yield item
            coming = asyncio.ensure_future(_next(source))
    finally:
        closed.cancel()
        coming.cancel()
        await asyncio.wait({coming})
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _next(source: AsyncIterator[T]) -> T | None:
    """The next item, or None at the end."""
    return await anext(source, None)


async def _pour(events: AsyncIterator[Event], inbox: asyncio.Queue[Event]) -> None:
    """Move events into the inbox until they end; when they cannot be read, the clock alone goes on."""
    with suppress(TidegateError):
        async for event in events:
            await inbox.put(event)


def _frame(name: bytes, data: bytes) -> bytes:
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
