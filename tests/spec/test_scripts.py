"""The text of scripts belongs to a manifest as it was read: a revision is tested by what it was applied with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tidegate.base.errors import SpecError
from tidegate.spec.cluster import Capacity
from tidegate.spec.load import load, load_data, read_stored, write_stored
from tidegate.spec.resolve import PoolSpec

HERE = Capacity(cpu=8, memory=16 * 2**30)
SPEC: dict[str, Any] = {
    "probes": {"liveness": {"python": "alive.py", "remedy": "script", "remedyScript": "cure.py"}},
    "rollout": {"verify": {"python": "test.py"}},
}


def pool(folder: Path, **spec: Any) -> PoolSpec:
    for name in ("alive.py", "cure.py", "test.py"):
        if not (folder / name).exists():
            (folder / name).write_text(f"# {name}\n")
    body = {"command": ["serve"]} | SPEC | spec
    head = {"apiVersion": "tidegate.dev/v1", "kind": "MediaService", "metadata": {"name": "chat"}}
    (folder / "chat.json").write_text(json.dumps(head | {"spec": body}))
    return load([folder / "chat.json"], here=HERE).specs.pools[0]


@pytest.mark.parametrize("name", ["alive.py", "cure.py", "test.py"])
def test_a_script_with_another_text_is_another_revision(tmp_path: Path, name: str):
    before = pool(tmp_path)
    assert before.service.scripts[str(tmp_path / name)] == f"# {name}\n"
    (tmp_path / name).write_text("raise")
    assert pool(tmp_path).revision != before.revision


def test_another_argument_of_the_test_is_another_revision_and_other_rules_of_an_upgrade_are_not(tmp_path: Path):
    with_argument = {"verify": {"python": {"script": "test.py", "args": ["hard"]}}}
    other_rules = SPEC["rollout"] | {"watchSeconds": 60}
    assert pool(tmp_path).revision != pool(tmp_path, rollout=with_argument).revision
    assert pool(tmp_path).revision == pool(tmp_path, rollout=other_rules).revision


def test_it_goes_into_the_store_and_over_the_api_and_comes_back(tmp_path: Path):
    revision = pool(tmp_path).revision
    (manifest,) = load([tmp_path / "chat.json"], here=HERE).services
    (tmp_path / "alive.py").unlink()
    text = write_stored(manifest)
    assert read_stored(text) == manifest
    assert load_data([json.loads(text)], here=HERE).specs.pools[0].revision == revision


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"\xff", "is not UTF-8. Save it as UTF-8.", id="no text"),
        pytest.param(b"#" * 300_000, "is larger than 256 KiB. Put data into files beside it.", id="large"),
    ],
)
def test_what_is_no_script_is_refused_where_it_is_named(tmp_path: Path, data: bytes, why: str):
    (tmp_path / "alive.py").write_bytes(data)
    with pytest.raises(SpecError) as caught:
        pool(tmp_path)
    (fault,) = caught.value.faults
    assert fault.endswith(f'spec.probes.liveness.python: got "alive.py", but {tmp_path / "alive.py"} {why}')


def test_nobody_writes_the_texts_by_hand(tmp_path: Path):
    with pytest.raises(SpecError, match=r"spec\.scripts: is filled in from the files"):
        pool(tmp_path, scripts={"alive.py": ""})
