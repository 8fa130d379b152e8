"""`tidegate status`: what runs now."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption, complete_service


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(
    service: Annotated[
        str | None, typer.Argument(help="Only this service; all when left out.", autocompletion=complete_service)
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again until Ctrl-C.")] = False,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Show what runs now.

    Services, pools, replicas and their states, load, the last decision with its reason, clusters.
    """
    from tidegate.cli.client import Client
    from tidegate.cli.watch import show_once, watch_status

    with Client(state) as client:
        if watch:
            watch_status(client, service, as_json=as_json)
        else:
            show_once(client, service, as_json=as_json)
