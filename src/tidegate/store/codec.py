"""Values of `model` to JSON text and back, without a line per class.

The law: `decode(type(value), encode(value)) == value`, infinities and dataclass keys included. Fields that are not
known are ignored and missing ones take their defaults, so that a newer or older version can read what was written.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from tidegate.base.errors import StoreError

T = TypeVar("T")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def plain(value: Any, *, defaults: bool = True) -> Any:
    """A dataclass as dicts, lists, strings and numbers; enums by value, pool keys as "service/pool".

    Without `defaults`, fields that have their default value are left out.
    """
    return _adapter(cast(Hashable, type(value))).dump_python(value, mode="json", exclude_defaults=not defaults)


def encode(value: Any) -> str:
    """A dataclass as JSON text (with Python's `Infinity` and `NaN`, which strict JSON has no way to say)."""
    return json.dumps(plain(value), separators=(",", ":"))


def decode(kind: type[T], text: str) -> T:
    """The value that `encode` wrote.

    Raises:
        StoreError: the text is not a `kind`.
    """
    try:
        return build(kind, json.loads(text))
    except (ValueError, RecursionError) as error:
        raise StoreError(f"a stored {kind.__name__} cannot be read: {error}") from None


def build(kind: type[T], data: Any) -> T:
    """The value that `plain` took apart.

    Raises:
        StoreError: the data is not a `kind`.
    """
    try:
        built: T = _adapter(cast(Hashable, kind)).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreError(f"a stored {kind.__name__} cannot be read: {where}: {first['msg']}") from None
    return built
