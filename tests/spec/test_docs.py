"""Every field is documented, the schema is the one that was reviewed, and what the page shows is accepted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.spec.cluster import Capacity
from tidegate.spec.load import load_text
from tidegate.spec.reference import all_models, reference
from tidegate.spec.schema import manifest_schema

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "manifest.md"
SCHEMA = ROOT / "tests" / "golden" / "schema" / "out.json"
FIELDS = re.compile(r"(<!-- fields: .*? -->\n).*(<!-- end of fields -->)", re.DOTALL)


@pytest.mark.parametrize("model", all_models(), ids=lambda m: m.__name__)
def test_every_field_says_what_it_means(model: Any) -> None:
    silent = [name for name, info in model.model_fields.items() if not info.description]
    assert not silent
    assert model.__doc__


def test_the_page_lists_every_field_as_it_is(rewrite_golden: bool) -> None:
    text = PAGE.read_text()
    wanted = FIELDS.sub(lambda m: f"{m[1]}\n{reference()}\n\n{m[2]}", text)
    if rewrite_golden:
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted, "docs/manifest.md is behind the models: run this test with --rewrite-golden"


def test_the_schema_is_the_one_that_was_reviewed(rewrite_golden: bool) -> None:
    made = json.dumps(manifest_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if rewrite_golden:
        SCHEMA.parent.mkdir(parents=True, exist_ok=True)
        SCHEMA.write_text(made)
    assert SCHEMA.read_text() == made, "the schema changed: --rewrite-golden, and review the difference"


def examples() -> list[Any]:
    shown = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    texts = [*shown, *(p.read_text() for p in sorted((ROOT / "examples").glob("*/tidegate.yaml")))]
    return [document for text in texts for document in yaml.safe_load_all(text)]


def test_the_manifest_on_the_page_is_accepted() -> None:
    text = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    loaded = load_text(text, here=Capacity(cpu=64, memory=2**36))
    assert [p.key.pool for p in loaded.specs.pools] == ["large", "default"]


def test_the_schema_accepts_what_is_shown_and_refuses_what_is_wrong() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(manifest_schema())
    validator.check_schema(manifest_schema())
    for document in examples():
        assert not list(validator.iter_errors(document)), document["metadata"]
    wrong = examples()[0]
    wrong["spec"]["scaling"]["minreplicas"] = 1
    assert list(validator.iter_errors(wrong))
    assert list(validator.iter_errors({"metadata": {"name": "a"}}))


def test_a_kind_has_a_schema_of_its_own() -> None:
    schema = manifest_schema("Cluster")
    assert schema["$ref"] == "#/$defs/Cluster"
    assert "MediaService" not in schema["$defs"]
