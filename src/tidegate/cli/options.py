"""Options that several commands have, and words that shells complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

StateOption = Annotated[
    Path,
    typer.Option("--state", envvar="TIDEGATE_HOME", help="State directory or management URL.", show_default=True),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_FILES_HELP = "Manifest file, directory, or - for standard input; may be given several times."
FilesOption = Annotated[list[str], typer.Option("--file", "-f", help=_FILES_HELP)]
OptionalFilesOption = Annotated[list[str] | None, typer.Option("--file", "-f", help=_FILES_HELP)]
FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what follows until Ctrl-C.")]
DEFAULT_STATE = Path(".tidegate")


def parse_header(line: str) -> tuple[str, str]:
    """Name, in small letters, and value of `NAME: VALUE`.

    Raises:
        BadParameter: it is no header.
    """
    from tidegate.spec.requests import HEADER_PATTERN

    name, colon, value = line.partition(":")
    if not colon or not re.fullmatch(HEADER_PATTERN, name.strip()) or not value.isprintable():
        raise typer.BadParameter(f"got {line!r}, expected NAME: VALUE.", param_hint="--header")
    return name.strip().lower(), value.strip()


def complete_service(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of running services, for the shell; none when nothing runs."""
    return [s.name for s in _services(ctx) if s.name.startswith(incomplete)]


def complete_replica(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of replicas, of the service that was already typed if there is one."""
    wanted = ctx.params.get("service")
    services = [s for s in _services(ctx) if wanted in (None, s.name)]
    return [r.id for s in services for p in s.pools for r in p.replicas if r.id.startswith(incomplete)]


def complete_subject(ctx: typer.Context, incomplete: str) -> list[str]:
    """What can be drained: replicas and clusters."""
    from tidegate.base.errors import TidegateError
    from tidegate.cli.client import Client

    try:
        with Client(_state(ctx), answer_s=1.0) as client:
            clusters = [c.name for c in client.status().clusters]
    except TidegateError:
        return []
    return [c for c in clusters if c.startswith(incomplete)] + complete_replica(ctx, incomplete)


def _services(ctx: typer.Context) -> tuple:  # type: ignore[type-arg]
    from tidegate.base.errors import TidegateError
    from tidegate.cli.client import Client

    try:
        with Client(_state(ctx), answer_s=1.0) as client:
            return client.status().services
    except TidegateError:
        return ()


def _state(ctx: typer.Context) -> Path:
    return Path(ctx.params.get("state") or DEFAULT_STATE)
