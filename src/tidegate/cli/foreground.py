"""`up` in the foreground: the running system with a live table, plain lines, or lines of JSON beside it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import typer

from tidegate.cli.changes import changes
from tidegate.cli.output import console
from tidegate.cli.ready import WhenReady
from tidegate.control.settings import Settings
from tidegate.model.status import Status, status_json
from tidegate.spec.load import Loaded

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

OnStatus = Callable[[Status], None]
REFRESH_PER_S = 4
JSON_EVERY_S = 1.0


class Serve(Protocol):
    """`control.run.serve`: runs until everything is stopped. It drains on SIGINT and SIGTERM by itself."""

    def __call__(self, loaded: Loaded | None, settings: Settings, /, *, on_status: OnStatus) -> Awaitable[None]: ...


def run_here(
    loaded: Loaded | None, settings: Settings, serve: Serve, *, as_json: bool = False, when_ready: str | None = None
) -> None:
    """Run until Ctrl-C, SIGTERM or `tidegate down`; returns when everything has been drained and stopped.

    Args:
        loaded: the manifests; None runs what was declared last.
        when_ready: a shell command, run once as soon as every service answers.
    """
    target = console()
    with _json_lines() if as_json else _live_table(target) if target.is_terminal else _plain_lines() as show:
        ready = WhenReady(when_ready, lambda line: typer.echo(line, err=as_json))
        asyncio.run(_until_told(loaded, settings, serve, show, ready))
    if not as_json:
        typer.echo("stopped")


async def _until_told(
    loaded: Loaded | None, settings: Settings, serve: Serve, show: OnStatus, ready: WhenReady
) -> None:
    """Serve, and show what it says. While it starts and after it has taken its handlers off, a signal cancels it."""

    def on_status(status: Status) -> None:
        show(status)
        ready.look(status)

    serving = asyncio.ensure_future(serve(loaded, settings, on_status=on_status))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    finally:
        await ready.close()


@contextlib.contextmanager
def _live_table(target: Console) -> Iterator[OnStatus]:
    """A table that is always as new as the last status, redrawn a few times a second whatever the pace of ticks."""
    from rich.live import Live
    from rich.text import Text

    from tidegate.cli.status_table import render

    latest: list[Status] = []

    def picture() -> RenderableType:
        if not latest:
            return Text("starting ...")
        return render(latest[0], most_replicas=max(5, target.height - 14))

    with Live(console=target, get_renderable=picture, refresh_per_second=REFRESH_PER_S):
        yield lambda status: latest.__setitem__(slice(None), [status])


@contextlib.contextmanager
def _plain_lines() -> Iterator[OnStatus]:
    """A line with the time of day for everything that changes."""
    before: Status | None = None

    def show(status: Status) -> None:
        nonlocal before
        for line in changes(before, status):
            typer.echo(f"{datetime.fromtimestamp(status.at):%H:%M:%S} {line}")
        before = status

    yield show


@contextlib.contextmanager
def _json_lines() -> Iterator[OnStatus]:
    """A line of JSON for the first status, then one a second at most."""
    last_at = float("-inf")

    def show(status: Status) -> None:
        nonlocal last_at
        if status.at - last_at >= JSON_EVERY_S:
            typer.echo(status_json(status).decode())
            last_at = status.at

    yield show
