"""What callers send: the body of apply and plan, and query parameters, checked before anything sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.base.errors import TidegateError
from tidegate.spec.load import load_data
from tidegate.web.ports import Manifest

MAX_BODY_BYTES = 16 * 2**20
MAX_TAIL = 100_000
MAX_CHANGES = 100
MAX_EXPIRY_S = 3.2e9  # a century
_YES_NO = {"1": True, "true": True, "yes": True, "": False, "0": False, "false": False, "no": False}


class BadRequest(TidegateError):
    """A request that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The body of apply and plan. `prune`: what is declared now and not among these is to be removed."""

    manifests: tuple[Manifest, ...]
    prune: bool


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadRequest: it is something else.
    """
    try:
        value = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest(f"the body must be a JSON object, got {type(value).__name__}")
    return value


def read_declared(body: bytes) -> Declared:
    """`{"manifests": [...], "prune": false}`.

    Raises:
        BadRequest: the body has another form.
        SpecError: manifests are refused; every fault at once.
    """
    value = read_object(body)
    unknown = sorted(value.keys() - {"manifests", "prune"})
    manifests, prune = value.get("manifests"), value.get("prune", False)
    if unknown or not isinstance(manifests, list) or not isinstance(prune, bool):
        extra = f"; unknown: {', '.join(unknown)}" if unknown else ""
        raise BadRequest('expected {"manifests": [...], "prune": true or false}' + extra)
    # References to what is declared already are checked where that is known.
    return Declared(load_data(manifests, partial=True).manifests, prune)


def read_changes(body: bytes) -> tuple[str, ...]:
    """`{"changes": ["cluster=here:down"]}`.

    Raises:
        BadRequest: the body has another form.
    """
    value = read_object(body)
    changes = value.get("changes")
    if value.keys() != {"changes"} or not isinstance(changes, list) or not changes or len(changes) > MAX_CHANGES:
        raise BadRequest(f'expected {{"changes": ["cluster=NAME:down", ...]}}, 1 to {MAX_CHANGES} of them')
    if not all(isinstance(c, str) for c in changes):
        raise BadRequest('changes: expected text, such as "cluster=NAME:down"')
    return tuple(changes)


@dataclass(frozen=True, slots=True)
class WantedKey:
    """The body of a new key; `expires_s` None: never."""

    tenant: str
    note: str
    expires_s: float | None


def read_new_key(body: bytes) -> WantedKey:
    """`{"tenant": "NAME", "note": "", "expires_s": 7776000}`; all but the tenant may be left out.

    Raises:
        BadRequest: the body has another form.
    """
    value = read_object(body)
    tenant, note, expires_s = value.get("tenant"), value.get("note", ""), value.get("expires_s")
    known = value.keys() <= {"tenant", "note", "expires_s"}
    timed = expires_s is None or (type(expires_s) in (int, float) and 0 < expires_s <= MAX_EXPIRY_S)
    if not known or not isinstance(tenant, str) or not tenant or not isinstance(note, str) or not timed:
        raise BadRequest('expected {"tenant": "NAME", "note": "TEXT", "expires_s": SECONDS}, seconds above 0')
    return WantedKey(tenant, note, None if expires_s is None else float(expires_s))


def read_flag(query: Mapping[str, str], name: str) -> bool:
    """A yes/no parameter; false when left out."""
    value = query.get(name, "")
    if value.lower() not in _YES_NO:
        raise BadRequest(f"{name}: got {value!r}, expected true or false")
    return _YES_NO[value.lower()]


def read_tail(query: Mapping[str, str]) -> int:
    """`tail`: how many lines from the end; 100 when left out."""
    value = query.get("tail", "100")
    if not (value.isascii() and value.isdigit() and int(value) <= MAX_TAIL):
        raise BadRequest(f"tail: got {value!r}, expected a whole number from 0 to {MAX_TAIL}")
    return int(value)


def read_since(query: Mapping[str, str]) -> float | None:
    """`since`: epoch seconds; None when left out."""
    value = query.get("since")
    if value is None:
        return None
    try:
        since = float(value)
    except ValueError:
        since = float("nan")
    if not 0 <= since < 1e11:
        raise BadRequest(f"since: got {value!r}, expected seconds since 1970-01-01 00:00 UTC")
    return since
