"""What changes between two sets of manifests, as people read it."""

from __future__ import annotations

from typing import Any

from tidegate.control.diff import changes
from tidegate.spec.load import load_data
from tidegate.spec.resolve import Specs


def declared(**spec: Any) -> Specs:
    manifest = {"apiVersion": "tidegate.dev/v1", "kind": "MediaService", "metadata": {"name": "ocr"}}
    return load_data([manifest | {"spec": {"command": ["python", "a.py"]} | spec}]).specs


def test_fields_are_told_as_they_stand_in_a_manifest():
    after = declared(command=["python", "b.py"], env={"V": "2"}, idempotent=False)
    change = next(c for c in changes(declared(), after) if c.name == "ocr")
    assert change.fields == (
        "command: [python, a.py] -> [python, b.py]",
        "env.V: unset -> 2",
        "idempotent: true -> false",
    )


def test_of_a_script_it_is_told_that_its_text_changed():
    named = {"probes": {"liveness": {"python": "/a/alive.py"}}}
    before, after = (declared(**named, scripts={"/a/alive.py": text}) for text in ("old", "new"))
    (change,) = (c for c in changes(before, after) if c.name == "ocr")
    assert change.fields == ("/a/alive.py: its text changed",)
    (change,) = (c for c in changes(declared(), after) if c.name == "ocr")
    assert all(field.startswith("probes.liveness") for field in change.fields)
