"""What the store writes, it reads back as the same value."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.base.errors import StoreError
from tidegate.model.memory import Memory, PoolMemory, ReplicaMemory
from tidegate.model.observed import Observed, PoolLoad
from tidegate.model.plan import PoolPlan, Transition
from tidegate.spec.resolve import PoolKey
from tidegate.store.codec import decode, encode, plain

word = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=6)
st.register_type_strategy(PoolKey, st.builds(PoolKey, word, word))
st.register_type_strategy(float, st.floats(allow_nan=False))
st.register_type_strategy(
    Mapping, lambda kind: st.dictionaries(*[st.from_type(part) for part in get_args(kind)], max_size=3)
)

VALUES = st.one_of(*[st.from_type(kind) for kind in (Memory, Observed, PoolPlan, PoolLoad, Transition)])


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_every_value_comes_back_equal(value: Any) -> None:
    assert decode(type(value), encode(value)) == value


def test_infinity_survives() -> None:
    memory = Memory(pools={PoolKey("a", "b"): PoolMemory(startups_s={"here": (math.inf,)})})
    assert decode(Memory, encode(memory)) == memory


def test_a_pool_key_is_one_word() -> None:
    key = PoolKey("ocr", "large")
    memory = Memory(pools={key: PoolMemory()}, replicas={"r": ReplicaMemory(key, "1", "here", 0.0)})
    data = plain(memory)
    assert list(data["pools"]) == ["ocr/large"]
    assert data["replicas"]["r"]["key"] == "ocr/large"


def test_unknown_fields_are_ignored_and_missing_ones_take_their_defaults() -> None:
    @dataclass(frozen=True)
    class Newer:
        pools: Mapping[str, int] = field(default_factory=dict)
        mood: str = "good"

    assert decode(Memory, encode(Newer())) == Memory()


@pytest.mark.parametrize("text", ["", "[]", '{"pools": 3}', '{"pools": {"nokey": {}}}', "[" * 10_000, "null"])
def test_what_is_no_memory_is_a_store_error(text: str) -> None:
    with pytest.raises(StoreError, match="a stored Memory cannot be read"):
        decode(Memory, text)


def test_the_text_is_json_for_finite_numbers() -> None:
    json.loads(encode(Memory()), parse_constant=lambda _: pytest.fail("not strict JSON"))
