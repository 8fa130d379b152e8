"""`tidegate schema`: for editors that complete and check manifests while they are written."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from tidegate.cli.options import JsonOption


class SchemaKind(StrEnum):
    """Which manifest."""

    MEDIA_SERVICE = "MediaService"
    CLUSTER = "Cluster"
    TENANT = "Tenant"


def register(app: typer.Typer) -> None:
    app.command("schema")(schema)


def schema(
    kind: Annotated[SchemaKind | None, typer.Argument(help="One kind; all when left out.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the manifests' JSON schema.

    Editors complete and check manifests with it. It is JSON with and without --json (then in one line).
    """
    from tidegate.spec.schema import manifest_schema

    typer.echo(json.dumps(manifest_schema(kind), indent=None if as_json else 2, ensure_ascii=False))
