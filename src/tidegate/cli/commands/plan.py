"""`tidegate plan`: what would happen, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, FilesOption, JsonOption, StateOption

if TYPE_CHECKING:
    from tidegate.web.ports import Preview


def register(app: typer.Typer) -> None:
    app.command("plan")(plan)


def plan(
    files: FilesOption,
    prune: Annotated[
        bool, typer.Option("--prune", help="As if services and clusters not in the manifests given were removed.")
    ] = False,
    empty: Annotated[
        bool, typer.Option("--empty", help="Plan for a world where nothing runs, also when something does.")
    ] = False,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Say what `apply` would do, and why.

    Nothing is changed. When nothing runs here, the plan is for an empty world.
    """
    from tidegate.cli.client import Client
    from tidegate.cli.exits import Unreachable
    from tidegate.cli.output import print_json, print_preview, warn
    from tidegate.spec.load import load

    found: Preview | None = None
    if not empty:
        part = load(files, partial=True)
        try:
            with Client(state) as client:
                found = client.plan(part.manifests, prune=prune)
        except Unreachable:
            typer.echo("Nothing runs here: this is the plan for an empty world.", err=True)
        else:
            warn(part.warnings)
    if found is None:
        found = _in_an_empty_world(files)
    if as_json:
        print_json(found)
    else:
        print_preview(found)


def _in_an_empty_world(paths: list[str]) -> Preview:
    """One tick over clusters that are empty and healthy."""
    from tidegate.base.clock import SystemClock
    from tidegate.cli.output import warn
    from tidegate.control.diff import changes
    from tidegate.control.live import preview
    from tidegate.model.memory import Memory
    from tidegate.model.observed import ClusterSeen, Observed
    from tidegate.spec.checks import cluster_limits
    from tidegate.spec.load import load, machine_capacity
    from tidegate.spec.resolve import Specs

    here = machine_capacity()
    loaded = load(paths, here=here)
    warn(loaded.warnings)
    clusters = {c.name: ClusterSeen(cluster_limits(c, here)) for c in loaded.clusters}
    observed = Observed(at=SystemClock().wall(), clusters=clusters)
    return preview(loaded.specs, observed, Memory(), changes(Specs(), loaded.specs), {})
