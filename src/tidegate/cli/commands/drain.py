"""`tidegate drain`: take something out of service without harm."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption, complete_subject


def register(app: typer.Typer) -> None:
    app.command("drain")(drain)


def drain(
    subject: Annotated[
        str, typer.Argument(metavar="REPLICA|CLUSTER", help="What to drain.", autocompletion=complete_subject)
    ],
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Take a replica or a cluster out of service.

    What it does is started elsewhere first; then its requests end, and it is stopped.
    """
    from tidegate.cli.client import Client

    with Client(state) as client:
        message = client.drain(subject)
    typer.echo(json.dumps({"message": message}) if as_json else message)
