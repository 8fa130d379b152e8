"""`tidegate events`: what happened."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, FollowOption, JsonOption, StateOption


def register(app: typer.Typer) -> None:
    app.command("events")(events)


def events(
    follow: FollowOption = False,
    since: Annotated[
        str, typer.Option("--since", help='A duration back from now ("10m", "2h") or epoch seconds.')
    ] = "1h",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Show what happened, oldest first.

    Decisions, transitions of replicas, operators' doings and faults; with -f what follows, too.
    """
    from tidegate.base.clock import SystemClock
    from tidegate.cli.client import Client
    from tidegate.cli.output import event_line, print_json, since_when, until_interrupted

    begin = since_when(since, SystemClock().wall())
    with Client(state) as client, until_interrupted():
        for event in client.events(begin, follow=follow):
            if as_json:
                print_json(event)
            else:
                typer.echo(event_line(event))
