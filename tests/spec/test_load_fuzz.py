"""Whatever stands in a file, reading it gives manifests or a SpecError, never another error."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tidegate.base.errors import SpecError
from tidegate.spec.cluster import Capacity, Cluster
from tidegate.spec.faults import field_names, models_in
from tidegate.spec.load import load_data, load_text
from tidegate.spec.service import MediaService
from tidegate.spec.tenant import Tenant

HERE = Capacity(cpu=8, memory=2**34)
SOME = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def reads_or_refuses(text: str) -> None:
    try:
        loaded = load_text(text, here=HERE)
    except SpecError as refused:
        assert refused.faults
        assert all("\n" not in fault and fault.endswith((".", "?", "!")) for fault in refused.faults)
    else:
        assert loaded.specs.pools or not loaded.services


def words(model: type[BaseModel]) -> set[str]:
    found = set(field_names(model))
    for info in model.model_fields.values():
        for inner in models_in(info.annotation):
            found |= words(inner)
    return found


WORDS = sorted(words(MediaService) | words(Cluster) | words(Tenant))
VALUES = [
    "tidegate.dev/v1",
    "MediaService",
    "Cluster",
    "Tenant",
    "30s",
    "2Gi",
    "99%",
    "25%",
    "UTC",
    "19:30",
    "2026-01-01",
    "/a",
]
scalar = (
    st.none() | st.booleans() | st.integers() | st.integers(-3, 3) | st.floats() | st.text(max_size=8)
    | st.sampled_from(VALUES)
)  # fmt: skip
tree = st.recursive(
    scalar,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)


@SOME
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    reads_or_refuses(text)


@SOME
@given(st.text(alphabet="abc:-[]{}#&*!|>%@`\"'\\ \t\n,?0.~<", max_size=80))
def test_any_heap_of_yaml_signs(text: str) -> None:
    reads_or_refuses(text)


@SOME
@given(st.sampled_from(["MediaService", "Cluster", "Tenant"]), tree)
def test_any_spec(kind: str, spec: Any) -> None:
    manifest = {"apiVersion": "tidegate.dev/v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}
    reads_or_refuses(json.dumps(manifest))
    with contextlib.suppress(SpecError):
        load_data([manifest], here=HERE)


def field_values(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """A mapping of a model's own keys to values of about the right shape."""
    inner: dict[str, st.SearchStrategy[Any]] = {}
    for name, info in model.model_fields.items():
        models = list(models_in(info.annotation))
        nested = st.one_of(*[st.deferred(lambda m=m: field_values(m)) for m in models]) if models else st.nothing()
        inner[info.alias or name] = nested | st.lists(nested, max_size=2) | scalar if models else scalar
    return st.fixed_dictionaries({}, optional=inner)


@SOME
@given(field_values(MediaService), field_values(Cluster), field_values(Tenant))
def test_any_manifest_of_the_right_words(
    service: dict[str, Any], cluster: dict[str, Any], tenant: dict[str, Any]
) -> None:
    documents = [
        service | {"apiVersion": "tidegate.dev/v1", "kind": "MediaService"},
        cluster | {"apiVersion": "tidegate.dev/v1", "kind": "Cluster"},
        tenant | {"apiVersion": "tidegate.dev/v1", "kind": "Tenant"},
    ]
    reads_or_refuses("\n---\n".join(json.dumps(d) for d in documents))
