"""What applying manifests changes, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tidegate.model.actions import Action, Start, Stop
from tidegate.spec.resolve import Specs
from tidegate.web.ports import Change, Manifest


def merged(now: Specs, manifests: Sequence[Manifest], *, prune: bool) -> tuple[Manifest, ...]:
    """The declared set after applying `manifests`; without `prune`, what they do not name stays."""
    kept: dict[tuple[str, str], Manifest] = {} if prune else {_id(m): m for m in _all(now)}
    return tuple((kept | {_id(m): m for m in manifests}).values())


def changes(before: Specs, after: Specs) -> tuple[Change, ...]:
    """Every manifest of both sides against the other, clusters first."""
    old = {_id(m): m for m in _all(before)}
    new = {_id(m): m for m in _all(after)}
    return tuple(_change(key, old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys()))


def sentence(action: Action) -> str:
    """What an action would do, for people; empty for those that only keep house."""
    match action:
        case Start(replica=name, cluster=cluster, why=why):
            return f"start {name} in {cluster} ({why})"
        case Stop(replica=name, cluster=cluster, why=why):
            return f"stop {name} in {cluster} ({why})"
        case _:
            return ""


def _all(specs: Specs) -> Iterable[Manifest]:
    return (*specs.clusters, *specs.services, *specs.tenants)


def _id(manifest: Manifest) -> tuple[str, str]:
    return (manifest.kind, manifest.name)


def _change(key: tuple[str, str], old: Manifest | None, new: Manifest | None) -> Change:
    kind, name = key
    if old is None or new is None:
        return Change("add" if old is None else "remove", kind, name)
    fields = tuple(_fields(old.model_dump(by_alias=True), new.model_dump(by_alias=True), ""))
    return Change("change" if fields else "same", kind, name, fields)


def _fields(old: Any, new: Any, path: str) -> Iterable[str]:
    if path == "spec.scripts":
        both = (old or {}).keys() & (new or {}).keys()  # one that comes or goes is told where it is named
        yield from (f"{name}: its text changed" for name in sorted(both) if old[name] != new[name])
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _fields(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif _are_mappings(old) and _are_mappings(new):
        yield from _items(old, new, path)
    elif old != new:
        yield f"{path.removeprefix('spec.')}: {_short(old)} -> {_short(new)}"


def _are_mappings(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, dict) for item in value)


def _items(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]], path: str) -> Iterable[str]:
    """Lists of mappings such as pools and schedules: item by item, by name or by place; else what came and went."""
    before, after = ({item.get("name") or i: item for i, item in enumerate(items)} for items in (old, new))
    if len(before) == len(old) and len(after) == len(new) and (len(old) == len(new) or _are_named((*old, *new))):
        for key in dict.fromkeys((*before, *after)):
            yield from _fields(before.get(key), after.get(key), f"{path}[{key}]")
        return
    name = path.removeprefix("spec.")
    yield from (f"{name}: without {_short(item)}" for item in old if item not in new)
    yield from (f"{name}: with {_short(item)}" for item in new if item not in old)


def _are_named(items: Iterable[dict[str, Any]]) -> bool:
    return all(item.get("name") for item in items)


def _short(value: Any) -> str:
    text = _written(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _written(value: Any) -> str:
    """As it would stand in a manifest."""
    match value:
        case None:
            return "unset"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return f"[{', '.join(_written(v) for v in value)}]"
        case dict():
            told = {k: v for k, v in value.items() if v not in (None, "", (), [], {})}
            return f"{{{', '.join(f'{k}: {_written(v)}' for k, v in told.items())}}}"
        case _:
            return str(value)
