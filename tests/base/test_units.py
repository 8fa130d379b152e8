"""Quantities are read as people write them, everything else is refused with a sentence, and what is written is read."""

from __future__ import annotations

import doctest
import importlib
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tidegate.base import units
from tidegate.base.errors import UnitError

READERS = [
    units.parse_seconds,
    units.parse_bytes,
    units.parse_cores,
    units.parse_ratio,
    units.parse_count_or_ratio,
]
each_reader = pytest.mark.parametrize("read", READERS, ids=lambda r: r.__name__)

# (id, reader, what is written, what it is)
READINGS = [
    ("seconds", units.parse_seconds, "30s", 30.0),
    ("parts", units.parse_seconds, "1h30m", 5400.0),
    ("ms", units.parse_seconds, "250ms", 0.25),
    ("days", units.parse_seconds, "7d", 604800.0),
    ("a number", units.parse_seconds, 2, 2.0),
    ("binary", units.parse_bytes, "512Mi", 512 * 2**20),
    ("decimal", units.parse_bytes, "10M", 10_000_000),
    ("part of a unit", units.parse_bytes, "1.5Gi", 3 * 2**29),
    ("thousandths", units.parse_cores, "250m", 0.25),
    ("cores", units.parse_cores, 0.5, 0.5),
    ("per cent", units.parse_ratio, "99.95%", 0.9995),
    ("per cent that halves inexactly", units.parse_ratio, "99.9%", 0.999),
    ("share", units.parse_ratio, 0.25, 0.25),
    ("count", units.parse_count_or_ratio, 3, 3),
    ("all of them", units.parse_count_or_ratio, 1.0, 1.0),
]


@pytest.mark.parametrize(("read", "text", "value"), [r[1:] for r in READINGS], ids=[r[0] for r in READINGS])
def test_what_people_write_is_read(read: Callable[[Any], float], text: Any, value: float) -> None:
    assert read(text) == pytest.approx(value, rel=1e-12)
    assert type(read(text)) is type(value)


NONSENSE = ["", " ", "abc", "-1s", "s", "1x", "1 h", "1e3s", None, True, [], {}, [1], -1, -0.5, math.nan, math.inf,
            10**400, -(10**400), "9" * 400 + "s", "9" * 60 + "Gi", "1" * 100]  # fmt: skip


@each_reader
@pytest.mark.parametrize("value", NONSENSE, ids=lambda v: repr(v)[:12])
def test_nonsense_is_refused_with_the_value_and_what_would_be_right(read: Callable[[Any], float], value: Any) -> None:
    with pytest.raises(UnitError, match=r"^got .{1,80}, expected ."):
        read(value)


@each_reader
@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_any_value_is_read_or_refused(read: Callable[[Any], float], value: Any) -> None:
    try:
        result = read(value)
    except UnitError:
        return
    assert math.isfinite(result)
    assert result >= 0


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int, ms: int) -> None:
    read = units.parse_seconds(f"{hours}h{minutes}m{seconds}s{ms}ms")
    assert read == pytest.approx(3600 * hours + 60 * minutes + seconds + ms / 1000)


@given(st.floats(0, 1e9))
def test_a_number_is_its_own_quantity(value: float) -> None:
    assert units.parse_seconds(value) == units.parse_cores(value) == value


@pytest.mark.parametrize("kind", [units.Seconds, units.Bytes, units.Cores, units.Ratio, units.CountOrRatio])
@given(data=st.data())
def test_what_a_model_writes_it_reads_back(kind: Any, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, 1) | st.floats(0, 1))
    adapter = TypeAdapter(kind)
    once = adapter.validate_python(value)
    again = adapter.validate_json(adapter.dump_json(once))
    assert again == once
    assert type(again) is type(once)


@given(st.floats(0, 1), st.integers(0, 10_000))
def test_a_share_of_replicas_is_rounded_to_a_neighbour(share: float, total: int) -> None:
    down, up = units.count_of(share, total, up=False), units.count_of(share, total, up=True)
    assert 0 <= down <= up <= total
    assert up - down <= 1
    assert down <= share * total + 1e-6
    assert up >= share * total - 1e-6


def test_a_share_that_is_whole_but_for_noise_counts_as_whole() -> None:
    assert units.count_of(0.07, 100, up=True) == 7
    assert units.count_of(0.29, 100, up=False) == 29


@given(st.floats(0, 1e7))
def test_a_duration_is_shown_short(seconds: float) -> None:
    text = units.format_seconds(seconds)
    assert text
    assert len(text) <= 22
    assert not text.startswith("60 s")


@pytest.mark.parametrize("module", ["base.units", "base.wording", "base.clock", "spec.documents", "spec.faults"])
def test_the_examples_in_docstrings_are_true(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"tidegate.{module}"))
    assert found.attempted
    assert not found.failed
