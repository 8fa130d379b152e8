"""Puts the commands together."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Annotated

import typer

from tidegate.base.collector import collect_seldom
from tidegate.cli import commands
from tidegate.cli.exits import CODES, Guarded

EPILOG = "Exit codes: " + ", ".join(f"{code} {meaning}" for code, meaning in CODES.items()) + "."


def build_app() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        cls=Guarded,
        name="tidegate",
        help="Elastic serving of AI media services, on one machine or over many Kubernetes clusters.",
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for module in sorted(pkgutil.iter_modules(commands.__path__), key=lambda m: m.name):
        importlib.import_module(f"{commands.__name__}.{module.name}").register(app)
    return app


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Options before the command; `debug` is read by `Guarded`."""


def main() -> None:
    """The entry point of the `tidegate` program."""
    app = build_app()
    collect_seldom()
    app()
