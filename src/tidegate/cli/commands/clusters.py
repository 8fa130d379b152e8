"""`tidegate clusters`: where replicas run, what room there is, what it costs."""

from __future__ import annotations

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption


def register(app: typer.Typer) -> None:
    app.command("clusters")(clusters)


def clusters(state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """Show the clusters.

    Capacity, use and room of each, replicas that wait for room, health, and what our replicas there cost an hour.
    """
    from tidegate.cli.client import Client

    with Client(state) as client:
        found = client.status().clusters
    if as_json:
        from pydantic import TypeAdapter

        from tidegate.model.status import ClusterStatus

        typer.echo(TypeAdapter(tuple[ClusterStatus, ...]).dump_json(found).decode())
    else:
        from tidegate.cli.cluster_table import render
        from tidegate.cli.output import console

        console().print(render(found))
