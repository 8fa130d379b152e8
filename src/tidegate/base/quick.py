"""Frozen dataclasses that are made quickly.

`dataclass(frozen=True)` fills a new value by a call of `object.__setattr__` for every field; with ten fields that takes
three times as long as plain assignments. A tick of a large fleet makes tens of thousands of values.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quick(cls: type[T]) -> type[T]:
    """Give a dataclass with `frozen=True, slots=True` an `__init__` that fills its fields by plain assignments.

    While it does, the value is of a twin class with the same slots that is not frozen; nobody else can have it yet. All
    fields are arguments, and there is no `__post_init__`.
    """
    own = tuple(name for name in cls.__slots__ if name != "__weakref__")  # type: ignore[attr-defined]
    twin = type(cls.__name__, cls.__bases__, {"__slots__": own, "__setattr__": object.__setattr__})
    scope: dict[str, Any] = {"become": object.__setattr__, "Twin": twin, "Made": cls, "MISSING": MISSING}
    arguments, lines = ["self"], ["become(self, '__class__', Twin)"]
    for f in fields(cls):  # type: ignore[arg-type]
        value = f.name
        if f.default_factory is not MISSING:
            scope[f"make_{f.name}"] = f.default_factory
            arguments.append(f"{f.name}=MISSING")
            value = f"make_{f.name}() if {f.name} is MISSING else {f.name}"
        elif f.default is not MISSING:
            scope[f"default_{f.name}"] = f.default
            arguments.append(f"{f.name}=default_{f.name}")
        else:
            arguments.append(f.name)
        lines.append(f"self.{f.name} = {value}")
    lines.append("self.__class__ = Made")
    source = f"def __init__({', '.join(arguments)}):\n    " + "\n    ".join(lines)
    exec(source, scope)
    scope["__init__"].__annotations__ = cls.__init__.__annotations__
    cls.__init__ = scope["__init__"]  # type: ignore[method-assign]
    return cls
