"""The JSON schema of the manifests, for editors and other programs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tidegate.spec.cluster import Cluster
from tidegate.spec.service import MediaService
from tidegate.spec.tenant import Tenant

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_KINDS: dict[str, type[BaseModel]] = {
    "MediaService": MediaService,
    "Cluster": Cluster,
    "Tenant": Tenant,
}


def manifest_schema(kind: str | None = None) -> dict[str, Any]:
    """The schema of one kind, or of all."""
    chosen = [_KINDS[kind]] if kind else list(_KINDS.values())
    refs, schema = models_json_schema([(model, "validation") for model in chosen], by_alias=True)
    for model in chosen:
        # They have defaults for those who build manifests in Python; people must write them.
        definition = schema["$defs"][model.__name__]
        definition["required"] = ["apiVersion", "kind", *definition.get("required", [])]
    heads = [refs[(model, "validation")] for model in chosen]
    head = heads[0] if kind else {"oneOf": heads}
    return {"$schema": DIALECT, "title": "Tidegate manifest", **head, "$defs": schema["$defs"]}
