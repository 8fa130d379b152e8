"""`tidegate tenants`: who uses the services, how much of them, and what is left."""

from __future__ import annotations

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption


def register(app: typer.Typer) -> None:
    app.command("tenants")(tenants)


def tenants(state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """Show the tenants.

    Their limits, requests in progress, what they used today and what is left of it, and what they were refused.
    """
    from tidegate.cli.client import Client
    from tidegate.cli.output import console, print_json

    with Client(state) as client:
        found = client.tenants()
    if as_json:
        print_json(found)
        return
    from tidegate.cli.tenant_table import tenant_table

    console().print(tenant_table(found))
    if found.refused_unknown:
        counts = ", ".join(f"{code} {count}" for code, count in sorted(found.refused_unknown.items()))
        typer.echo(f"refused before it was known whose they are: {counts}")
