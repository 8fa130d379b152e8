"""From one document to one valid manifest, or to every fault in it with its line."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tidegate.base.units import format_bytes
from tidegate.base.wording import shown
from tidegate.spec.checks import Manifest
from tidegate.spec.cluster import Cluster
from tidegate.spec.common import API_VERSION, LARGEST_SCRIPT, Lookup
from tidegate.spec.documents import Document
from tidegate.spec.faults import Fault, FieldPath, describe, field_names, meant, model_at, nearest
from tidegate.spec.probes import SHORT_FORMS
from tidegate.spec.service import MediaService
from tidegate.spec.tenant import Tenant

KINDS: dict[str, type[MediaService] | type[Cluster] | type[Tenant]] = {
    "MediaService": MediaService,
    "Cluster": Cluster,
    "Tenant": Tenant,
}
# What a path of the models is called where people wrote the short form.
_WRITTEN = {long: short for short, long in SHORT_FORMS.items()} | {"script": "python", "command": "exec"}


def accept(document: Document, directory: Path | None) -> tuple[Manifest | None, list[Fault]]:
    """The manifest of a document, or what is wrong with it.

    Args:
        directory: where the document lies; paths in it become absolute. None: they are absolute already.
    """
    data = document.data
    if not isinstance(data, dict):
        text = f"got {shown(data)}, expected a manifest: apiVersion, kind, metadata, spec"
        return None, [Fault(document.file, document.line(()), (), text)]
    heading = [Fault(document.file, document.line(path), path, text) for path, text in _heading(data)]
    if directory is not None and isinstance(spec := data.get("spec"), dict) and "scripts" in spec:
        path = ("spec", "scripts")
        text = "is filled in from the files that probes and verify name. Take it out"
        heading.append(Fault(document.file, document.line(path), path, text))
    if heading:
        return None, heading
    model = KINDS[data["kind"]]
    lookup = None if directory is None else _lookup(directory)
    given = _in_directory(data) if lookup else data
    try:
        manifest = model.model_validate(given, context=lookup)
        return manifest if lookup is None else _with_texts(manifest, lookup), []
    except ValidationError as error:
        errors: list[Any] = list(error.errors(include_url=False))
    errors += _errors_behind(errors, given, model, lookup)
    return None, [place(document, *describe(one, model)) for one in errors]


def place(document: Document, path: FieldPath, text: str) -> Fault:
    """A fault at a path of the models, with the path and the line as they stand in the document."""
    written = _written(path, document)
    return Fault(document.file, document.line(written), written, text)


def _heading(data: Mapping[str, Any]) -> Iterator[tuple[FieldPath, str]]:
    """Faults of apiVersion and kind; while there is one, nothing else can be said about the manifest."""
    version, kind = data.get("apiVersion"), data.get("kind")
    if version != API_VERSION:
        text = "is missing" if version is None else f"got {shown(version)}"
        yield ("apiVersion",), f'{text}, expected "{API_VERSION}"'
    if kind not in KINDS:
        text = "is missing" if kind is None else f"got {shown(kind)}"
        hint = meant(kind, KINDS) if isinstance(kind, str) else ""
        yield ("kind",), f"{text}, expected MediaService, Cluster or Tenant.{hint}"


def _with_texts(manifest: Manifest, lookup: Lookup) -> Manifest:
    """With the text of its scripts, so that what a revision is does not change when a file does."""
    if not isinstance(manifest, MediaService) or not lookup.scripts:
        return manifest
    spec = manifest.spec.model_copy(update={"scripts": dict(sorted(lookup.scripts.items()))})
    return manifest.model_copy(update={"spec": spec})


def _lookup(directory: Path) -> Lookup:
    base = os.path.abspath(directory)  # noqa: PTH100  resolve() would follow links, and people know their paths by name

    def existing(path: str, what: str) -> str:
        full = os.path.normpath(os.path.join(base, path))  # noqa: PTH118
        if not os.path.isfile(full):  # noqa: PTH113  unlike Path.is_file, False for a name that is too long
            raise ValueError(f"got {shown(path)}, but there is no file {full}. Correct the path or add the {what}")
        return full

    def folder(path: str) -> str:
        full = os.path.normpath(os.path.join(base, path))  # noqa: PTH118
        # An absolute path may be one inside a container image.
        if not os.path.isabs(path) and not os.path.isdir(full):  # noqa: PTH112, PTH117
            raise ValueError(f"got {shown(path)}, but there is no directory {full}. Correct the path")
        return full

    texts: dict[str, str] = {}

    def script(path: str) -> str:
        full = existing(path, "script")
        texts[full] = _text(path, full)
        return full

    return Lookup(script, folder, lambda path: existing(path, "file"), texts)


def _text(path: str, full: str) -> str:
    try:
        data = Path(full).read_bytes()
    except OSError as error:
        raise ValueError(f"got {shown(path)}, but {full} cannot be read: {error.strerror}. Make it readable") from None
    if len(data) > LARGEST_SCRIPT:
        most = format_bytes(LARGEST_SCRIPT)
        raise ValueError(f"got {shown(path)}, but {full} is larger than {most}. Put data into files beside it")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"got {shown(path)}, but {full} is not UTF-8. Save it as UTF-8") from None


def _in_directory(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A service that runs a command and names no directory runs where its manifest lies."""
    spec = data.get("spec")
    if data.get("kind") != "MediaService" or not isinstance(spec, dict):
        return data
    if not spec.get("command") or spec.get("image") or "workingDir" in spec:
        return data
    return {**data, "spec": {**spec, "workingDir": "."}}


def _errors_behind(
    errors: Sequence[Any], data: Mapping[str, Any], model: type[BaseModel], lookup: Lookup | None
) -> list[Any]:
    """Errors that only show once misspelt keys are put right: a model with an unknown key is not looked at whole."""
    unknown = [e["loc"] for e in errors if e["type"] == "extra_forbidden"]
    if not unknown:
        return []
    mended = copy.deepcopy(dict(data))
    for *place, key in unknown:
        holder = _value_at(mended, place)
        if isinstance(holder, dict) and key in holder:
            value = holder.pop(key)
            at = model_at(model, tuple(place))
            near = nearest(str(key), field_names(at)) if at is not None else None
            if near is not None:
                holder.setdefault(near, value)
    try:
        model.model_validate(mended, context=lookup)
    except ValidationError as error:
        known = {(e["type"], e["loc"]) for e in errors}
        behind = error.errors(include_url=False)
        return [e for e in behind if (e["type"], e["loc"]) not in known and e["type"] != "extra_forbidden"]
    return []


def _value_at(data: Any, path: Iterable[str | int]) -> Any:
    """What stands at `path`; None when the path is not in the data as written (a short form)."""
    for part in path:
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        if not inside:
            return None
        data = data[part]
    return data


def _written(path: FieldPath, document: Document) -> FieldPath:
    """A path of the models as it stands in the document: short forms where those were used.

    The last part may be missing from the document (a field that should be there); nothing after a short form is shown,
    since `http: /healthz` has no `path` below it.
    """
    lines, out = document.lines, ()  # type: tuple[Mapping[FieldPath, int], FieldPath]
    if not lines:
        return path
    for n, part in enumerate(path):
        short = _WRITTEN.get(str(part))
        if (*out, part) in lines:
            out = (*out, part)
        elif short is not None and (*out, short) in lines:
            out = (*out, short)
        elif isinstance(part, int):
            continue  # a single prepare step stands for a list of one
        elif n == len(path) - 1 and out == path[:-1] and isinstance(_value_at(document.data, out), dict):
            out = (*out, part)
        else:
            break
    return out
