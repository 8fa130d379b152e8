"""`tidegate logs`: what replicas write."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.options import (
    DEFAULT_STATE,
    FollowOption,
    JsonOption,
    StateOption,
    complete_replica,
    complete_service,
)


def register(app: typer.Typer) -> None:
    app.command("logs")(logs)


def logs(
    service: Annotated[str, typer.Argument(help="The service.", autocompletion=complete_service)],
    replica: Annotated[
        str | None, typer.Argument(help="One replica; all when left out.", autocompletion=complete_replica)
    ] = None,
    follow: FollowOption = False,
    tail: Annotated[int, typer.Option("--tail", "-n", min=0, help="Lines of each replica to begin with.")] = 100,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Show what replicas write.

    Of one replica, also of one that is gone while its log is kept, or of all of a service; with -f what follows, too.
    """
    from tidegate.cli.client import Client
    from tidegate.cli.output import print_json, until_interrupted

    with Client(state) as client, until_interrupted():
        for line in client.logs(service, replica, tail=tail, follow=follow):
            if as_json:
                print_json(line)
            else:
                typer.echo(line.text if replica else f"{line.replica}  {line.text}")
