"""What the examples bring along: models that are what their notices say, and manifests that Tidegate accepts."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tidegate.spec.load import load

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTICES = sorted(EXAMPLES.glob("*/*/models/NOTICE"))


@pytest.mark.parametrize("notice", NOTICES, ids=lambda path: path.parents[1].name)
def test_models_are_the_ones_their_notice_names(notice):
    named = dict(re.findall(r"^sha256 ([0-9a-f]{64})  (\S+)$", notice.read_text(), re.MULTILINE))
    found = {
        hashlib.sha256(file.read_bytes()).hexdigest(): file.name
        for file in notice.parent.iterdir()
        if file.name not in ("NOTICE", "LICENSE")
    }
    assert named == found
    assert (notice.parent / "LICENSE").is_file()


def test_every_example_with_a_model_has_a_notice():
    with_models = {path.parent for path in EXAMPLES.glob("*/*/models/*.*")}
    assert with_models == {notice.parent for notice in NOTICES} != set()


@pytest.mark.parametrize("folder", ["portraits", "recordings"])
def test_every_picture_and_recording_has_a_source_and_a_licence(folder):
    for place in EXAMPLES.glob(f"*/*/{folder}"):
        rows = [line.split("|")[1:-1] for line in (place / "SOURCES.md").read_text().splitlines() if "|" in line][2:]
        assert {row[0].strip() for row in rows} == {file.name for file in place.iterdir()} - {"SOURCES.md"}
        assert all(cell.strip() for row in rows for cell in row)


@pytest.mark.parametrize("what", ["", "face-fusion", "speech"], ids=["all together", "face-fusion", "speech"])
def test_manifests_are_accepted_without_a_warning(what):
    loaded = load([EXAMPLES / what])
    assert loaded.warnings == ()
    assert [cluster.name for cluster in loaded.clusters] == ["here"]
    scripts = [
        check.python.script
        for service in loaded.services
        for check in (*service.spec.probes.prepare, service.spec.probes.liveness)
        if check and check.python
    ]
    assert scripts
    assert all(Path(script).is_file() for script in scripts)
