"""`tidegate report` over a journal on disk."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from report.story import T, entries, specs
from tidegate.base.errors import UnitError
from tidegate.cli.app import build_app
from tidegate.cli.report import NothingRecorded, collect, moment, simulated
from tidegate.model.journal import Entry, Kind
from tidegate.report.values import Case
from tidegate.spec.service import Promise
from tidegate.store.journal import Journal

app = build_app()
run = CliRunner()


@pytest.fixture
def state(tmp_path, monkeypatch):
    for name in ("HOME", "DATABASE"):
        monkeypatch.delenv(f"TIDEGATE_{name}", raising=False)
    return tmp_path


@pytest.fixture
def written(state):
    declared = specs()
    with Journal(f"sqlite:///{state / 'journal.db'}") as journal:
        journal.save_specs((*declared.services, *declared.clusters), at=T)
        journal.append(entries())
    return state


def test_prints_the_table_as_json_csv_and_html(written, tmp_path):
    table = run.invoke(app, ["report", "--state", str(written)])
    assert table.exit_code == 0, table.output
    assert "face/default" in table.output and "promise kept" in table.output
    data = json.loads(run.invoke(app, ["report", "--state", str(written), "--json"]).stdout)
    assert data["total"]["traffic"]["arrivals"] == 5100
    lines = run.invoke(app, ["report", "--state", str(written), "--csv"]).stdout.splitlines()
    assert len(lines) == 4
    lost = run.invoke(app, ["report", "--state", str(written), "--html", str(tmp_path / "none" / "x.html")])
    assert (lost.exit_code, "cannot write" in lost.stderr) == (1, True)
    page = tmp_path / "report.html"
    assert run.invoke(app, ["report", "--state", str(written), "--html", str(page)]).stdout == ""
    assert "promise kept" in page.read_text()


def test_a_window_of_the_journal(written):
    args = [
        "report",
        "--state",
        str(written),
        "--json",
        "--since",
        "2025-11-24T16:10:00",
        "--until",
        "2025-11-24T16:40:30",
    ]
    data = json.loads(run.invoke(app, args).stdout)
    assert data["window"] == {"since": T + 600, "until": T + 2400}
    assert data["total"]["traffic"]["arrivals"] == 1200 + 1800 + 1200


def test_one_service(written):
    assert run.invoke(app, ["report", "--state", str(written), "--service", "face"]).exit_code == 0
    other = run.invoke(app, ["report", "--state", str(written), "--service", "speech"])
    assert (other.exit_code, other.stderr) == (1, "the journal knows no service called speech.\n")


def test_says_what_to_do_without_a_journal_or_with_an_empty_one(state):
    missing = run.invoke(app, ["report", "--state", str(state)])
    assert missing.exit_code == 1
    assert "`tidegate up` writes one" in missing.stderr
    assert not (state / "journal.db").exists(), "looking must not make one"
    with Journal(f"sqlite:///{state / 'journal.db'}") as journal:
        journal.append(entries()[:1])
    assert "no manifests yet" in run.invoke(app, ["report", "--state", str(state)]).stderr


def test_a_time_that_is_none_is_refused(written):
    refused = run.invoke(app, ["report", "--state", str(written), "--since", "yesterday"])
    assert refused.exit_code == 2
    assert "yesterday" in refused.stderr


def test_reads_moments():
    assert moment("90m", now=T) == T - 5400
    assert moment("2025-11-24T16:00:00", now=0) == moment("1764000000", now=0) == T
    assert moment("2025-11-25T00:00:00+08:00", now=0) == T
    with pytest.raises(UnitError):
        moment("2025-11-99", now=0)


def test_a_roomy_fleet_keeps_its_promise_in_simulation_and_a_tight_one_does_not():
    def case(replicas: int) -> Case:
        return Case(replicas, 1, 2.0, ((0, 8.0), (600, 8.0)), 600, 4800, 1.0, 0.5)

    spec = replace(specs().pools[0], concurrency=1, promise=Promise(within=2.0, success=0.99))
    assert simulated(spec, case(20)) > 0.95
    assert 0.7 < simulated(spec, case(8)) < 0.9, "the gateway refuses some, so that the others are in time"


def test_a_window_after_the_last_entry_says_so(written):
    with (
        Journal(f"sqlite:///{written / 'journal.db'}") as journal,
        pytest.raises(NothingRecorded, match="nothing was recorded after"),
    ):
        collect(journal, since=T + 9999, until=None, service=None, simulate=lambda *_: None)


def test_other_policies_play_the_same_arrivals(written, tmp_path):
    args = ["report", "--state", str(written), "--against", "hpa,static:9"]
    data = json.loads(run.invoke(app, [*args, "--json"]).stdout)
    hpa, nine = data["pools"][0]["others"] if data["pools"][0]["pool"] == "default" else data["pools"][1]["others"]
    assert (hpa["name"], nine["name"]) == ("hpa", "static:9")
    assert nine["replica_h"] == pytest.approx(9.25, rel=0.01)  # the window has 3700 s
    assert nine["cost"] == pytest.approx(9.25 * 0.04, rel=0.01)
    assert 1 < hpa["replica_h"] < 9
    assert 0.9 < hpa["success"] <= 1
    assert data["total"]["others"][1]["replica_h"] > 9.9, "the idle pool keeps its minReplicas"
    table = run.invoke(app, args)
    assert "hpa, simulated" in table.output
    lines = run.invoke(app, [*args, "--csv"]).stdout.splitlines()
    assert "hpa_cost" in lines[0] and "static:9_success" in lines[0]
    page = tmp_path / "report.html"
    run.invoke(app, [*args, "--html", str(page)])
    assert "static:9, simulated" in page.read_text()


def test_an_unknown_policy_is_told(written):
    done = run.invoke(app, ["report", "--state", str(written), "--against", "magic"])
    assert (done.exit_code, "no policy 'magic'" in done.stderr) == (1, True)


def test_what_a_forecast_in_preview_would_have_added_is_told(written):
    told = [
        Entry(T + 600, Kind.PREVIEW, "face", "default", data={"wanted": 3, "would": 5}),
        Entry(T + 1200, Kind.PREVIEW, "face", "default", data={"wanted": 3, "would": 3}),
    ]
    with Journal(f"sqlite:///{written / 'journal.db'}") as journal:
        journal.append(told)
    done = run.invoke(app, ["report", "--state", str(written)])
    assert "0.33 replica-hours, 1x" in done.output  # two replicas for ten minutes


def test_all_other_policies_by_one_word_and_none_that_is_not_there(written):
    args = ["report", "--state", str(written), "--json", "--against"]
    data = json.loads(run.invoke(app, [*args, "all,hpa,static:2"]).stdout)
    names = [o["name"] for o in data["total"]["others"]]
    assert names == ["hpa", "hpa-demand", "kpa", "cron-hpa", "rayserve", "skyserve", "static:2"]


def test_the_static_fleet_has_one_size_and_one_success_in_both_columns(written):
    """Measured beside simulated: the column that is always there, and `--against static`."""
    args = ["report", "--state", str(written), "--json", "--against", "static"]
    data = json.loads(run.invoke(app, args).stdout)
    pool = next(p for p in data["pools"] if p["pool"] == "default")
    (other,) = pool["others"]
    assert other["success"] == pytest.approx(pool["static"]["success"], abs=1e-9)
    assert other["replica_h"] / pool["static"]["replica_h"] == pytest.approx(1.03, abs=0.05), "also while unmeasured"
