"""Quantities as people write them: "30s", "2Gi", "250m", "99.95%".

Each `parse_*` accepts what the field's manifests use (Kubernetes quantities, Go and Prometheus durations) and plain
numbers, and returns a number in the unit its name ends with. Each raises `UnitError` naming the value and what would
be right. The `Annotated` types at the end are what the spec models use.

Source of the quantity suffixes: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from tidegate.base.errors import UnitError
from tidegate.base.wording import shown

_DURATION_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_BYTES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTES |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_BYTES_FORM = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|[kKMGT]?)B?")
_CORES_FORM = re.compile(r"(\d+(?:\.\d+)?)(m?)")
_RATIO_FORM = re.compile(r"(\d+(?:\.\d+)?)%")


# Beyond this no quantity of ours means anything, and sums, products and milliseconds of it still fit everywhere.
_LARGEST = 1e18


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _bounded(value)


def _bounded(value: float) -> float:
    if not 0 <= value <= _LARGEST:  # also False for nan
        text = str(value) if isinstance(value, float) or abs(value) < _LARGEST else "a number of more than 18 digits"
        raise UnitError(f"got {text}, expected a number between 0 and {_LARGEST:.0e}")
    return float(value)


def _text(value: Any) -> str:
    """`value` as text; anything that is neither a number nor text has no unit to be read."""
    return value.strip() if isinstance(value, str) and len(value) <= 64 else ""


def parse_seconds(value: Any) -> float:
    """Read a duration in seconds: a number, or parts such as "1h30m", "250ms".

    >>> parse_seconds("1m30s")
    90.0
    """
    number = _number(value)
    if number is not None:
        return number
    text = _text(value)
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise UnitError(f'got {shown(value)}, expected a duration such as "500ms", "30s", "1m30s", "2h"')
    return _bounded(math.fsum(float(n) * _DURATION_S[u] for n, u in parts))


def parse_bytes(value: Any) -> int:
    """Read a size in bytes: a number, or "512Mi", "2Gi", "10M".

    >>> parse_bytes("1Ki")
    1024
    """
    number = _number(value)
    if number is not None:
        return int(number)
    match = _BYTES_FORM.fullmatch(_text(value))
    if match is None:
        raise UnitError(f'got {shown(value)}, expected a size such as "512Mi", "2Gi", "10M" or a number of bytes')
    return int(_bounded(float(match[1]) * _BYTES[match[2]]))


def parse_cores(value: Any) -> float:
    """Read CPU cores: a number, or thousandths such as "250m".

    >>> parse_cores("250m")
    0.25
    """
    number = _number(value)
    if number is not None:
        return number
    match = _CORES_FORM.fullmatch(_text(value))
    if match is None:
        raise UnitError(f'got {shown(value)}, expected CPU cores such as 2, 0.5 or "500m"')
    return _bounded(float(match[1]) * (0.001 if match[2] else 1.0))


def parse_ratio(value: Any) -> float:
    """Read a share between 0 and 1: a number in that range, or a percentage such as "99.95%".

    >>> parse_ratio("25%")
    0.25
    """
    number = _number(value)
    if number is None:
        match = _RATIO_FORM.fullmatch(_text(value))
        if match is None:
            raise UnitError(f'got {shown(value)}, expected a percentage such as "99.95%" or a number between 0 and 1')
        number = float(Decimal(match[1]) / 100)  # 99.9 / 100 is 0.9990000000000001, which 999 of 1000 would not keep
    if number > 1:
        raise UnitError(f'got {shown(value)}, expected a percentage such as "99.95%" or a number between 0 and 1')
    return number


def parse_count_or_ratio(value: Any) -> int | float:
    """Read a number of replicas or a share of them, as Kubernetes does for `maxSurge`: 2 is two, "25%" is a quarter.

    A whole number stays an `int` (a count); a percentage, or a number with a decimal point up to 1.0, becomes a `float`
    (a share). Use `count_of` to turn either into a number of replicas.

    >>> parse_count_or_ratio(2), parse_count_or_ratio("25%"), parse_count_or_ratio(0.5)
    (2, 0.25, 0.5)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return int(_bounded(value))
    try:
        return parse_ratio(value)
    except UnitError:
        expected = 'expected a whole number of replicas, or a share such as "25%"'
        raise UnitError(f"got {shown(value)}, {expected}") from None


@lru_cache(maxsize=4096, typed=True)
def count_of(amount: int | float, total: int, *, up: bool) -> int:
    """How many of `total` the count or share `amount` is; a share is rounded `up` or down.

    >>> count_of(2, 10, up=True), count_of(0.25, 10, up=True), count_of(0.25, 10, up=False)
    (2, 3, 2)
    """
    if isinstance(amount, int):
        return amount
    exact = amount * total
    # 0.07 * 100 is 7.000000000000001: a share that is whole up to rounding noise counts as whole.
    nearest = round(exact)
    if math.isclose(exact, nearest, rel_tol=1e-9):
        return nearest
    return math.ceil(exact) if up else math.floor(exact)


@lru_cache(maxsize=4096)
def format_seconds(seconds: float) -> str:
    """Write a duration the short way people read it.

    >>> format_seconds(0.25), format_seconds(90), format_seconds(7200)
    ('250 ms', '1 min 30 s', '2 h')
    """
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    days, hours, minutes, rest = whole // 86400, whole % 86400 // 3600, whole % 3600 // 60, whole % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n)


def format_bytes(size: int) -> str:
    """Write a size with a binary unit.

    >>> format_bytes(3 * 2**20)
    '3 MiB'
    """
    for unit, step in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= step:
            return f"{size / step:.3g} {unit}"
    return f"{size} B"


def _schema(description: str, example: str) -> WithJsonSchema:
    either = [{"type": "number", "minimum": 0}, {"type": "string"}]
    return WithJsonSchema({"anyOf": either, "description": description, "examples": [example]})


_as_is = PlainSerializer(lambda value: value)

Seconds = Annotated[float, BeforeValidator(parse_seconds), _as_is, _schema("a duration in seconds", "30s")]
Bytes = Annotated[int, BeforeValidator(parse_bytes), _as_is, _schema("a size in bytes", "512Mi")]
Cores = Annotated[float, BeforeValidator(parse_cores), _as_is, _schema("CPU cores", "500m")]
Ratio = Annotated[float, BeforeValidator(parse_ratio), _as_is, _schema("a share between 0 and 1", "99.95%")]


def _count_or_ratio_text(value: int | float) -> int | float | str:
    """1.0 is written "100%": other writers of JSON drop the ".0", and 1 would be read back as one replica."""
    return "100%" if isinstance(value, float) and value == 1.0 else value


CountOrRatio = Annotated[
    int | float,
    BeforeValidator(parse_count_or_ratio),
    PlainSerializer(_count_or_ratio_text),
    _schema("a number of replicas, or a share of them", "25%"),
]
