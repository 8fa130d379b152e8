"""Looking at the running system: once, again and again, or until it is gone."""

from __future__ import annotations

import time

import typer

from tidegate.base.clock import Clock, SystemClock
from tidegate.base.errors import ControlError
from tidegate.cli.client import Client
from tidegate.cli.output import console, print_json, until_interrupted
from tidegate.model.status import Status

WATCH_EVERY_S = 1.0
LOOK_EVERY_S = 0.2


def show_once(client: Client, service: str | None, *, as_json: bool) -> None:
    """Print the status now, as tables or as the JSON it came as."""
    status, text = client.status_text()
    _check(status, service)
    if not as_json:
        from tidegate.cli.status_table import render

        console().print(render(status, service=service))
    elif service is None:
        typer.echo(text)
    else:
        print_json(next(s for s in status.services if s.name == service))


def watch_status(client: Client, service: str | None, *, as_json: bool) -> None:
    """Print the status every second until Ctrl-C or until the system ends; in one place when on a terminal."""
    target = console()
    with until_interrupted():
        if as_json or not target.is_terminal:
            while True:
                show_once(client, service, as_json=as_json)
                time.sleep(WATCH_EVERY_S)
        from rich.live import Live

        from tidegate.cli.status_table import render

        with Live(console=target, auto_refresh=False, screen=True) as live:
            while True:
                status = client.status()
                _check(status, service)
                live.update(render(status, service=service, most_replicas=max(5, target.height - 15)), refresh=True)
                time.sleep(WATCH_EVERY_S)


def wait_until_gone(client: Client, limit_s: float, clock: Clock | None = None) -> bool:
    """Whether the system ended within `limit_s`."""
    clock = clock or SystemClock()
    deadline = clock.monotonic() + limit_s
    while client.running():
        if clock.monotonic() >= deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _check(status: Status, service: str | None) -> None:
    names = [s.name for s in status.services]
    if service is not None and service not in names:
        raise ControlError(f"no service is called {service}. There are: {', '.join(names) or 'none'}.")
