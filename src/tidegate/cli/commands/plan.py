"""`tidegate plan`: what would happen, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, OptionalFilesOption, StateOption

if TYPE_CHECKING:
    from pathlib import Path

    from tidegate.model.observed import Observed
    from tidegate.spec.resolve import Specs
    from tidegate.web.ports import Preview


def register(app: typer.Typer) -> None:
    app.command("plan")(plan)


def plan(
    files: OptionalFilesOption = None,
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            "--what-if",
            help="Suppose cluster=NAME:down or cluster=NAME:cpu=N; several times for several. "
            "Of what runs here, or with -f of these manifests in an empty world.",
        ),
    ] = None,
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

    With --what-if: whether everything still fits when a cluster is lost or changes its size.
    Nothing is changed. When nothing runs here, the plan is for an empty world.
    """
    if what_if:
        _what_if(what_if, files, state, as_json)
    elif files:
        _plan(files, prune, empty, state, as_json)
    else:
        raise typer.BadParameter("name the manifests with --file, or a change with --what-if.")


def _what_if(changes: list[str], files: list[str] | None, state: Path, as_json: bool) -> None:
    from tidegate.cli.client import Client
    from tidegate.cli.cluster_table import print_outlook
    from tidegate.cli.output import print_json

    if files:
        from tidegate.model.memory import Memory
        from tidegate.policy.whatif import outlook, parse

        specs, observed = _empty_world(files)
        found = outlook(specs, observed, Memory(), [parse(c, specs.clusters) for c in changes])
    else:
        with Client(state) as client:
            found = client.what_if(changes)
    if as_json:
        print_json(found)
    else:
        print_outlook(found)


def _plan(files: list[str], prune: bool, empty: bool, state: Path, as_json: bool) -> None:
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
    from tidegate.control.diff import changes
    from tidegate.control.live import preview
    from tidegate.model.memory import Memory
    from tidegate.spec.resolve import Specs

    specs, observed = _empty_world(paths)
    return preview(specs, observed, Memory(), changes(Specs(), specs), {})


def _empty_world(paths: list[str]) -> tuple[Specs, Observed]:
    """Manifests, and their clusters with nothing in them."""
    from tidegate.base.clock import SystemClock
    from tidegate.cli.output import warn
    from tidegate.model.observed import ClusterSeen, Observed
    from tidegate.spec.checks import cluster_limits
    from tidegate.spec.load import load, machine_capacity

    here = machine_capacity()
    loaded = load(paths, here=here)
    warn(loaded.warnings)
    clusters = {c.name: ClusterSeen(cluster_limits(c, here)) for c in loaded.clusters}
    return loaded.specs, Observed(at=SystemClock().wall(), clusters=clusters)
