"""`tidegate apply`: change what runs."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, FilesOption, JsonOption, StateOption


def register(app: typer.Typer) -> None:
    app.command("apply")(apply)


def apply(
    files: FilesOption,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also remove services and clusters that are not in the manifests given.")
    ] = False,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Change what runs.

    Services and clusters in the manifests are added or changed, with --prune the others are removed. No request is
    dropped.
    """
    from tidegate.cli.client import Client
    from tidegate.cli.output import print_diff, print_json, warn
    from tidegate.spec.load import load

    loaded = load(files, partial=True)
    warn(loaded.warnings)
    with Client(state) as client:
        diff = client.apply(loaded.manifests, prune=prune)
    if as_json:
        print_json(diff)
    else:
        print_diff(diff)
