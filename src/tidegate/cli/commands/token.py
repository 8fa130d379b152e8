"""`tidegate token`: the token of the management addresses."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption


def register(app: typer.Typer) -> None:
    app.command("token")(token)


def token(
    state: StateOption = DEFAULT_STATE,
    new: Annotated[bool, typer.Option("--new", help="Make a new one; it is in force after the next start.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the token of the management addresses.

    It is made at the first start with --management-host, and kept in the state directory, where only its owner can
    read it. Send it as `Authorization: Bearer TOKEN`, or type it into the status page.
    """
    from tidegate.base.errors import ControlError
    from tidegate.control.token import kept_token, new_token

    if new and not state.is_dir():
        raise ControlError(f"{state} is not a state directory. Name it with --state, or start Tidegate there first.")
    text = new_token(state) if new else kept_token(state)
    if not text:
        raise ControlError(
            f"there is no token in {state}: one is made when Tidegate is started with --management-host, "
            "or now with `tidegate token --new`."
        )
    typer.echo(json.dumps({"token": text}) if as_json else text)
