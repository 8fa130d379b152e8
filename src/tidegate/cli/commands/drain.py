"""`tidegate drain` and `tidegate undrain`: take something out of service without harm, or let it be used again."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption, complete_subject


def register(app: typer.Typer) -> None:
    app.command("drain")(drain)
    app.command("undrain")(undrain)


def drain(
    subject: Annotated[
        str, typer.Argument(metavar="REPLICA|CLUSTER", help="What to drain.", autocompletion=complete_subject)
    ],
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Take a replica or a cluster out of service.

    What it does is started elsewhere first; then its requests end, and it is stopped. A drained cluster stays empty,
    also after a restart, until `tidegate undrain`. Replicas for which there is no room elsewhere stay and serve on.
    """
    from tidegate.cli.client import Client

    with Client(state) as client:
        message = client.drain(subject)
    typer.echo(json.dumps({"message": message}) if as_json else message)


def undrain(
    subject: Annotated[
        str, typer.Argument(metavar="REPLICA|CLUSTER", help="What was drained.", autocompletion=complete_subject)
    ],
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Take a drain back.

    A cluster may be used again. A replica that still serves stays; one that already ends its requests is replaced.
    """
    from tidegate.cli.client import Client

    with Client(state) as client:
        message = client.undrain(subject)
    typer.echo(json.dumps({"message": message}) if as_json else message)
