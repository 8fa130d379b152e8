"""`tidegate version`."""

from __future__ import annotations

import json
import platform

import typer

from tidegate import __version__
from tidegate.cli.options import JsonOption


def register(app: typer.Typer) -> None:
    app.command("version")(version)


def version(as_json: JsonOption = False) -> None:
    """Print the versions of Tidegate and Python."""
    if as_json:
        typer.echo(json.dumps({"version": __version__, "python": platform.python_version()}))
    else:
        typer.echo(f"tidegate {__version__} (Python {platform.python_version()})")
