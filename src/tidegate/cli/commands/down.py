"""`tidegate down`: stop everything."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption


def register(app: typer.Typer) -> None:
    app.command("down")(down)


def down(
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for the end; 0: return at once.")
    ] = 120.0,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Drain and stop everything.

    Every replica, the gateway and the control process end.
    """
    from tidegate.base.errors import ControlError
    from tidegate.cli.client import Client
    from tidegate.cli.watch import wait_until_gone

    with Client(state) as client:
        message = client.down()
        if not as_json:
            typer.echo(message)
        if wait_s:
            if not wait_until_gone(client, wait_s):
                raise ControlError(f"still stopping after {wait_s:g} s. Look at `tidegate status`, or wait longer.")
            message = "stopped"
    typer.echo(json.dumps({"message": message}) if as_json else message)
