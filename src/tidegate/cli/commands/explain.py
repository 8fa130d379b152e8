"""`tidegate explain`: why a service has the replicas it has."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption, complete_service


def register(app: typer.Typer) -> None:
    app.command("explain")(explain)


def explain(
    service: Annotated[str, typer.Argument(help="The service.", autocompletion=complete_service)],
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Say why a service has its replicas.

    Every reason of the last decision with its numbers, and what led to it.
    """
    from tidegate.cli.client import Client
    from tidegate.cli.output import print_explanation, print_json

    with Client(state) as client:
        explanation = client.explain(service)
    if as_json:
        print_json(explanation)
    else:
        print_explanation(explanation)
