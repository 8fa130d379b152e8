"""The reference of every field as Markdown, drawn from the models; docs/manifest.md holds it between two marks."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tidegate.base.units import (
    format_bytes,
    format_seconds,
    parse_bytes,
    parse_cores,
    parse_count_or_ratio,
    parse_ratio,
    parse_seconds,
)
from tidegate.spec.cluster import Cluster
from tidegate.spec.faults import field_names, models_in
from tidegate.spec.service import MediaService
from tidegate.spec.tenant import Tenant

_UNITS = {
    parse_seconds: "duration",
    parse_bytes: "size",
    parse_cores: "cores",
    parse_ratio: "share",
    parse_count_or_ratio: "number or share",
}
_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def reference() -> str:
    """A table per model, in the order in which a reader of a manifest meets them."""
    return "\n\n".join(_section(model) for model in all_models())


def all_models() -> list[type[BaseModel]]:
    """Every model of all manifests, each once, an outer one before those inside it."""
    found: dict[type[BaseModel], None] = {}
    for root in (MediaService, Cluster, Tenant):
        for model in _walk(root):
            found.setdefault(model)
    return list(found)


def _walk(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for info in model.model_fields.values():
        for inner in models_in(info.annotation):
            yield from _walk(inner)


def _section(model: type[BaseModel]) -> str:
    rows = [_row(info.alias or name, info) for name, info in model.model_fields.items()]
    text = " ".join(line.strip() for line in (model.__doc__ or "").strip().split("\n\n")[0].splitlines())
    short = sorted(set(field_names(model)) - {info.alias or name for name, info in model.model_fields.items()})
    forms = f"\n\nShort forms: {', '.join(f'`{name}`' for name in short)}." if short else ""
    head = "| field | value | default | meaning |\n|---|---|---|---|"
    return f"### {model.__name__}\n\n{text}{forms}\n\n{head}\n" + "\n".join(rows)


def _row(name: str, info: Any) -> str:
    kind = _type(info.annotation, info.metadata)
    default = "required" if info.is_required() else _default(info.default, kind)
    return f"| `{name}` | {kind} | {default} | {info.description} |"


def _default(value: Any, kind: str) -> str:
    if value is None or value is PydanticUndefined or value in ((), {}, "") or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float | int):
        return f"`{_amount(value, kind)}`"
    return f"`{value}`"


def _amount(value: float, kind: str) -> str:
    """A number with its unit, as it could be written in a manifest."""
    if kind == "duration":
        return format_seconds(value).replace(" min", "m").replace(" ", "")
    if kind == "size":
        return format_bytes(int(value)).replace(" ", "").removesuffix("B")
    return f"{100 * value:g}%" if isinstance(value, float) and kind.endswith("share") else f"{value:g}"


def _type(annotation: Any, metadata: Any = ()) -> str:
    for part in metadata:
        unit = _UNITS.get(getattr(part, "func", None))  # type: ignore[arg-type]
        if unit:
            return unit
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in inside if part is not type(None))
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in inside)
    if origin is tuple:
        return f"list of {_type(inside[0])}"
    if origin is dict:
        return f"mapping of {_type(inside[1])}"
    if hasattr(annotation, "__metadata__"):
        return _type(inside[0], annotation.__metadata__)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _PLAIN.get(annotation, str(annotation))
