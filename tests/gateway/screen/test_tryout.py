"""`tidegate screen`: what the proxy itself says of files, and where they would go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.screen.test_hostile import jpeg, png
from tidegate.base.clock import SystemClock
from tidegate.cli.app import build_app
from tidegate.control.settings import Settings
from tidegate.spec.load import load
from tidegate.store.journal import Journal

MANIFEST = """
apiVersion: tidegate.dev/v1
kind: MediaService
metadata: {name: pictures}
spec:
  command: [python, -m, pictures]
  maxBodyBytes: 100000
  accepts: {kinds: [image]}
  pools:
    - {name: large, match: {pixels: {min: 100000}}}
    - {name: partner, match: {header: {x-partner: gold}}}
---
apiVersion: tidegate.dev/v1
kind: MediaService
metadata: {name: anything}
spec: {command: [python, -m, anything], maxBodyBytes: 80000000}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "manifest.yaml").write_text(MANIFEST)
    (tmp_path / "small.jpg").write_bytes(jpeg())
    (tmp_path / "large.jpg").write_bytes(jpeg(400, 300))
    (tmp_path / "bomb.png").write_bytes(png(100_000, 100_000))
    (tmp_path / "heavy.bin").write_bytes(bytes(100_001))
    (tmp_path / "words.txt").write_text("words")
    return tmp_path


def told(folder: Path, *arguments: str, with_manifest: bool = True) -> tuple[int, Any]:
    manifest = ("-f", str(folder / "manifest.yaml")) if with_manifest else ()
    state = ("--state", str(folder / "state"))
    done = CliRunner().invoke(build_app(), ["screen", *arguments, *manifest, *state, "--json"])
    return done.exit_code, json.loads(done.stdout) if done.stdout else done.stderr


def taken(row: Any) -> dict[str, str]:
    return {one["service"]: one["pool"] or f"{one['status']} {one['code']}" for one in row["services"]}


def test_each_file_goes_where_the_gateway_would_send_it(folder):
    names = ("small.jpg", "large.jpg", "bomb.png", "heavy.bin", "words.txt")
    code, rows = told(folder, *(str(folder / name) for name in names))
    assert code == 1
    assert {Path(row["name"]).name: taken(row) for row in rows} == {
        "small.jpg": {"anything": "default", "pictures": "default"},
        "large.jpg": {"anything": "default", "pictures": "large"},
        "bomb.png": {"anything": "default", "pictures": "422 media_contradictory"},
        "heavy.bin": {"anything": "default", "pictures": "413 body_too_large"},
        "words.txt": {"anything": "default", "pictures": "415 media_unsupported_type"},
    }
    assert [(row["facts"]["width"], row["facts"]["height"]) for row in rows[:2]] == [(64, 48), (400, 300)]
    assert {one["service"]: one["screens"] for one in rows[0]["services"]} == {"anything": False, "pictures": True}


def test_headers_and_content_types_count_as_the_sender_would_say_them(folder):
    picture = str(folder / "small.jpg")
    code, rows = told(folder, picture, "-s", "pictures", "-H", "X-Partner: gold", "-t", "text/plain")
    assert (code, taken(rows[0]), rows[0]["content_type"]) == (0, {"pictures": "partner"}, "text/plain")


def test_a_file_that_no_gateway_holds_is_judged_by_its_front(folder):
    with (folder / "vast.jpg").open("wb") as file:
        file.write(jpeg())
        file.truncate(70_000_000)
    _, rows = told(folder, str(folder / "vast.jpg"))
    assert (rows[0]["facts"]["pixels"], rows[0]["facts"]["bytes"]) == (64 * 48, 70_000_000)
    assert taken(rows[0]) == {"anything": "default", "pictures": "413 body_too_large"}


def test_without_manifests_the_services_are_those_last_applied(folder):
    manifests = load([str(folder / "manifest.yaml")], partial=True).manifests
    (folder / "state").mkdir()
    Journal(Settings(state=folder / "state").database_url).save_specs(manifests, at=SystemClock().wall())
    _, rows = told(folder, str(folder / "large.jpg"), with_manifest=False)
    assert taken(rows[0]) == {"anything": "default", "pictures": "large"}


def test_where_nothing_is_known_only_the_facts_are_told(folder):
    code, rows = told(folder, str(folder / "large.jpg"), with_manifest=False)
    assert (code, rows[0]["facts"]["pixels"], rows[0]["services"]) == (0, 120_000, [])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("none.jpg",), "none.jpg: No such file"),
        (("small.jpg", "-s", "nobody"), "there are: anything, pictures"),
        (("small.jpg", "-H", "nonsense"), "expected NAME: VALUE"),
    ],
)
def test_what_cannot_be_tried_is_said(folder, arguments, sentence):
    name, *options = arguments
    code, error = told(folder, str(folder / name), *options)
    assert code == 2
    assert sentence in " ".join(error.replace("│", " ").split())
