"""`simulate --trace journal`: the load that was measured here, under other manifests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scenarios.worlds import cluster, service
from tidegate.cli.app import build_app
from tidegate.model.journal import Entry, Kind
from tidegate.spec.load import load_data
from tidegate.store.journal import Journal

AT = 1_790_000_000.0
LARGE = {"name": "large", "match": {"pixels": {"min": 1_000_000}}}
MANIFESTS = [service(pools=[LARGE]), cluster("here")]


def load(pool: str, at: float, count: int, work_s: float) -> Entry:
    data = {"interval_s": 10.0, "arrivals": count, "finished": count, "in_time": count}
    data |= {"service_s_sum": count * work_s, "service_s2_sum": count * work_s**2 * 1.25}
    return Entry(AT + at, Kind.LOAD, "ocr", pool, data=data)


@pytest.fixture
def world(tmp_path: Path) -> tuple[str, ...]:
    """Ten minutes of 6 requests/s, then ten of 12, with half a request/s of large ones all the time."""
    state, manifest = tmp_path / "state", tmp_path / "ocr.json"
    state.mkdir()
    manifest.write_text("\n---\n".join(map(json.dumps, MANIFESTS)))
    with Journal(f"sqlite:///{state}/journal.db") as journal:
        journal.save_specs(load_data(MANIFESTS).manifests, at=AT)
        ends = [10.0 * (i + 1) for i in range(120)]
        journal.append([load("default", at, 60 if at <= 600 else 120, 0.4) for at in ends])
        journal.append([load("large", at, 5, 2.0) for at in ends])
    return ("simulate", "-f", str(manifest), "--state", str(state), "--trace", "journal", "--json")


def run(*words: str):
    return CliRunner().invoke(build_app(), list(words))


def pools(done) -> dict[str, dict]:
    assert done.exit_code == 0, done.stderr
    return {p["pool"]: p for p in json.loads(done.stdout)["pools"]}


def test_every_pool_gets_what_it_was_asked_and_took(world):
    told = pools(run(*world, "--measure-from", "0"))
    assert told["default"]["requests"] == pytest.approx(10_800, rel=0.05)
    assert told["large"]["requests"] == pytest.approx(600, rel=0.15)
    for pool, work_s in (("default", 0.4), ("large", 2.0)):
        worked_s = told[pool]["utilization"] * told[pool]["replica_hours"] * 3600 * 2
        assert worked_s == pytest.approx(told[pool]["requests"] * work_s, rel=0.1)


def test_a_part_a_scale_and_another_service_time_can_be_given(world):
    told = pools(run(*world, "--measure-from", "0", "--until", "10m", "--scale", "2", "--service-time", "ocr=0.1"))
    assert told["default"]["requests"] == pytest.approx(7_200, rel=0.05)
    assert told["large"]["answer_s"]["p50"] < 0.2


def test_time_without_a_measurement_is_told(world, tmp_path):
    with Journal(f"sqlite:///{tmp_path}/state/journal.db") as journal:
        journal.append([load("default", 1810.0, 60, 0.4)])
    assert "ocr/default: 10 min of it was not measured" in run(*world).stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--share", "ocr/large=10%"), "--share does not go with --trace journal"),
        (("--state", "nowhere"), "no journal in"),
        (("--from", "1h"), "nothing lies between"),
        (("--trace", "ocr=constant"), "--trace journal goes alone"),
        (("--trace", "ocr=journal"), "--trace journal goes alone"),
    ],
)
def test_what_does_not_go_is_said(world, words, says):
    done = run(*world, *words)
    assert (done.exit_code, says in done.stderr) == (1, True)


def test_services_that_nobody_asked_for_have_no_past(world, tmp_path):
    other = tmp_path / "other.json"
    other.write_text("\n---\n".join(map(json.dumps, [service("tts"), cluster("here")])))
    done = run(*(str(other) if word.endswith("ocr.json") else word for word in world))
    assert (done.exit_code, "the journal holds no traffic of these services" in done.stderr) == (1, True)
