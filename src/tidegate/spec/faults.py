"""What is wrong with a manifest, in one sentence: file, line, path, value, what would be right.

    services/chat.yaml:14: spec.scaling.maxReplicas: 2 is below minReplicas: 5. Raise maxReplicas or lower minReplicas.

Turns the errors of the models into such sentences; knows their wording, not what they mean.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from tidegate.base.wording import shown
from tidegate.spec.access import CLAIM_PATH_PATTERN, CLAIM_TEXT_PATTERN, KID_PATTERN, PRIORITY_HEADER_PATTERN
from tidegate.spec.common import NAME_PATTERN
from tidegate.spec.probes import SHORT_FORMS, Check, UrlPath
from tidegate.spec.requests import HEADER_PATTERN, HOST_PATTERN, MEDIA_TYPE_PATTERN
from tidegate.spec.tenant import GRANT_PATTERN

FieldPath = tuple[str | int, ...]

_PATTERNS = {
    NAME_PATTERN: "lower-case letters, digits and `-`, at most 50 of them",
    HOST_PATTERN: 'a host name such as "ocr.example.org" or "*.example.org"',
    HEADER_PATTERN: "the name of a header",
    MEDIA_TYPE_PATTERN: 'a media type such as "image/png" or "video/*"',
    GRANT_PATTERN: "the name of a service, or *",
    KID_PATTERN: "1 to 128 letters, digits and . _ : -",
    CLAIM_TEXT_PATTERN: "1 to 256 visible characters without quotes and backslashes",
    CLAIM_PATH_PATTERN: 'the name of a claim, such as "sub" or "realm.tenant"',
    PRIORITY_HEADER_PATTERN: "the name of a header: letters, digits and `-`",
    get_args(UrlPath)[1].pattern: "a path that begins with /",
}
_KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping (lines of `key: value`)",
    "model_type": "a mapping (lines of `key: value`)",
    "model_attributes_type": "a mapping (lines of `key: value`)",
}
_BOUNDS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `line` counts from 1, 0 when there is none; `text` is a sentence without its last full stop."""

    file: str
    line: int
    path: FieldPath
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        stop = "" if self.text.endswith((".", "?", "!")) else "."
        return ": ".join(part for part in (place, dotted(self.path), self.text + stop) if part)


def dotted(path: FieldPath) -> str:
    """A path as people write it.

    A key that would break the line, or cannot be seen, is shown quoted.

    >>> dotted(("spec", "pools", 0, "name"))
    'spec.pools[0].name'
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        key = part if part.isprintable() and part.strip() else json.dumps(part)
        text += f".{key}" if text else key
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` is most like, capitals aside; None when it is like none."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def meant(word: str, known: Iterable[str]) -> str:
    """A hint: " Did you mean X?" when `word` is like a known one, else ""."""
    near = nearest(word, known)
    return f" Did you mean {near}?" if near else ""


def describe(error: Any, root: type[BaseModel]) -> tuple[FieldPath, str]:
    """The path and the sentence of one pydantic error of `root`."""
    kind, path, context = error["type"], tuple(p for p in error["loc"] if p != "[key]"), error.get("ctx", {})
    value = error["input"]
    if kind == "tidegate":
        return (*path, *context["field"]), context["sentence"]
    if kind == "value_error":
        return path, str(context["error"])
    if kind == "missing":
        return path, "is missing. Add it"
    if kind == "extra_forbidden":
        return path, _unknown(path, root)
    if kind == "literal_error":
        hint = meant(value, _words(context["expected"])) if isinstance(value, str) else ""
        expected = context["expected"].replace("'", '"')
        return path, f"got {shown(value)}, expected {expected}.{hint}"
    return path, f"got {shown(value)}, expected {_expected(kind, context, value) or error['msg']}"


def _expected(kind: str, context: dict[str, Any], value: Any) -> str:
    if kind in _KINDS:
        return _KINDS[kind] + _quotes(kind, value)
    if kind in _BOUNDS:
        name, sign = _BOUNDS[kind]
        return f"a number {sign} {context[name]:g}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"text that matches {context['pattern']}")
    if kind in ("string_too_short", "too_short"):
        return "something, not an empty one"
    if kind == "string_too_long":
        return f"at most {context['max_length']} characters"
    return ""


def _quotes(kind: str, value: Any) -> str:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f'. Put it in quotes: "{json.dumps(value)}"'
    if kind in ("int_type", "float_type", "bool_type") and isinstance(value, str):
        return ". Take the quotes off" if value.strip().lstrip("-").replace(".", "", 1).isdecimal() else ""
    return ". Give a value or take the line out" if value is None else ""


def _words(expected: str) -> list[str]:
    return [word.strip("' ") for part in expected.split(" or ") for word in part.split(",")]


def _unknown(path: FieldPath, root: type[BaseModel]) -> str:
    key = str(path[-1])
    model = model_at(root, path[:-1])
    names = field_names(model) if model is not None else ()
    hint = meant(key, names)
    if hint:
        return f"is not a field here.{hint}"
    elsewhere = min((p for p in _places(root) if p[-1] == key), key=len, default=None)
    if elsewhere is not None:
        return f"is not a field here. It belongs to {dotted(elsewhere[:-1])}"
    return f"is not a field here. Fields: {', '.join(names)}"


def field_names(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys people may write for a model, short forms included."""
    names = [info.alias or name for name, info in model.model_fields.items()]
    short = [s for s, long in SHORT_FORMS.items() if long in model.model_fields] if issubclass(model, Check) else []
    return (*names, *short)


def model_at(root: type[BaseModel], path: FieldPath) -> type[BaseModel] | None:
    """The model whose fields stand at `path`; None when that is no model."""
    found: Any = root
    for part in path:
        found = _bare(found)
        if _is_model(found):
            by_key = {info.alias or name: info.annotation for name, info in found.model_fields.items()}
            found = by_key.get(str(part))
        else:  # tuple[Pool, ...] at an index, dict[str, Capacity] at a key
            inner = [a for a in get_args(found) if a is not Ellipsis]
            found = inner[-1] if inner else None
    found = _bare(found)
    return found if _is_model(found) else None


def _bare(annotation: Any) -> Any:
    """An annotation without `| None`."""
    if get_origin(annotation) in (Union, UnionType):
        return next((a for a in get_args(annotation) if a is not type(None)), None)
    return annotation


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models an annotation is made of: `tuple[Pool, ...]` gives Pool."""
    if _is_model(annotation):
        yield annotation
    else:
        for part in get_args(annotation):
            yield from models_in(part)


def _is_model(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseModel)


def _places(root: type[BaseModel], at: FieldPath = ()) -> Iterator[FieldPath]:
    """Every field path of a model, the shallow ones of a model before the deep ones; lists without their index."""
    fields = {info.alias or name: info.annotation for name, info in root.model_fields.items()}
    for name in fields:
        yield (*at, name)
    for name, annotation in fields.items():
        for model in models_in(annotation):
            yield from _places(model, (*at, name))
