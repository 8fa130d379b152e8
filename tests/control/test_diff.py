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


def fields(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    (change,) = (c for c in changes(declared(**before), declared(**after)) if c.name == "ocr")
    return change.fields


def test_of_a_list_of_pools_or_schedules_only_what_changes_is_told():
    large = {"name": "large", "match": {"pixels": {"min": 8000000}}}
    cards = {"name": "cards", "match": {"pixels": {"max": 100}}, "promise": {"success": "99.9%"}}
    more = large | {"match": {"pixels": {"min": 9000000}}}
    assert fields({"pools": [large]}, {"pools": [more]}) == ("pools[large].match.pixels.min: 8000000.0 -> 9000000.0",)
    (added,) = fields({"pools": [large]}, {"pools": [cards, large]})
    assert added.startswith("pools[cards]: unset -> {name: cards")
    night = {"from": "22:00", "to": "06:00", "timeZone": "UTC", "minReplicas": 2}
    noon = {"from": "11:00", "to": "13:00", "timeZone": "UTC", "minReplicas": 5}
    one, two = {"scaling": {"schedules": [night]}}, {"scaling": {"schedules": [night, noon]}}
    assert fields(one, {"scaling": {"schedules": [night | {"minReplicas": 3}]}}) == (
        "scaling.schedules[0].minReplicas: 2 -> 3",
    )
    (added,) = fields(one, two)
    assert added == "scaling.schedules: with {from: 11:00, to: 13:00, timeZone: UTC, minReplicas: 5}"
    (gone,) = fields(two, {"scaling": {"schedules": [noon]}})
    assert gone.startswith("scaling.schedules: without {from: 22:00, to: 06:00")
