"""`tidegate keys`: who may use the services."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Make, list and revoke the keys of tenants.")
    group.command("add")(add)
    group.command("list")(show)
    group.command("revoke")(revoke)
    app.add_typer(group, name="keys")


def add(
    tenant: Annotated[str, typer.Argument(help="The tenant it is for.")],
    note: Annotated[str, typer.Option("--note", help="What it is for; shown in the list.")] = "",
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DURATION", help="When it ends by itself, such as 90d.")
    ] = None,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Make a key for a tenant.

    It is printed this once and kept nowhere, only its digest. It is in force when the command returns.
    """
    from tidegate.base.units import parse_seconds
    from tidegate.cli.client import Client
    from tidegate.cli.output import print_json

    with Client(state) as client:
        made = client.add_key(tenant, note, None if expires is None else parse_seconds(expires))
    if as_json:
        print_json(made)
        return
    typer.echo(made.secret)
    typer.echo(f"{made.key.id} of {tenant} is in force. The line above is shown this once: keep it safe.", err=True)


def show(
    every: Annotated[bool, typer.Option("--all", help="Revoked and expired ones, too.")] = False,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """List keys.

    Their ids, tenants and first characters, when they end and when they were last used; never the keys.
    """
    from tidegate.cli.client import Client

    with Client(state) as client:
        keys = tuple(k for k in client.key_list() if every or k.state in ("active", "no tenant"))
    if as_json:
        from pydantic import TypeAdapter

        from tidegate.model.tenancy import KeyStatus

        typer.echo(TypeAdapter(tuple[KeyStatus, ...]).dump_json(keys).decode())
        return
    from tidegate.cli.output import console
    from tidegate.cli.tenant_table import key_table

    console().print(key_table(keys))


def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, from `keys list`.")],
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Take a key out of force.

    At once and for good: when the command returns, the next request with it is refused, on kept connections, too.
    """
    from tidegate.cli.client import Client
    from tidegate.cli.output import print_json

    with Client(state) as client:
        gone = client.revoke_key(key)
    if as_json:
        print_json(gone)
    else:
        typer.echo(f"{gone.id} of {gone.tenant} is revoked.")
