"""`forecast import` and `schedule suggest`: from traces and from a journal."""

from __future__ import annotations

import json
import math
from pathlib import Path

from typer.testing import CliRunner

from scenarios.worlds import cluster, service
from tidegate.cli.app import build_app
from tidegate.model.journal import Entry, Kind
from tidegate.spec.load import load_data
from tidegate.store.journal import Journal

MONDAY = 1_704_067_200.0
HOUR_S = 3600.0


def tidegate(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(build_app(), list(args))
    return done.exit_code, done.output


def journal(state: Path, days: int = 14) -> Journal:
    """A service that is busy from 18 to 21 h every day."""
    state.mkdir()
    made = Journal(f"sqlite:///{state}/journal.db")
    made.save_specs(load_data([service(), cluster("here")]).manifests, at=MONDAY)
    entries = []
    for i in range(days * 24):
        count = 72_000 if 18 <= i % 24 < 21 else 7_200
        data = {"arrivals": count, "finished": count, "interval_s": HOUR_S, "service_s_sum": count * 0.8}
        entries.append(Entry(MONDAY + (i + 1) * HOUR_S, Kind.LOAD, "ocr", "default", data=data))
    made.append(entries)
    return made


def trace(path: Path, days: int = 8) -> Path:
    rows = (f"{i * 1800},{1800 * (20 + 15 * math.sin(2 * math.pi * i / 48)):.0f}" for i in range(48 * days))
    path.write_text("# bin_seconds=1800\n# start=2024-01-01T00:00:00Z\n" + "\n".join(rows) + "\n")
    return path


def test_windows_are_proposed_from_the_journal(tmp_path: Path):
    journal(tmp_path / "state").close()
    code, said = tidegate("schedule", "suggest", "ocr", "--time-zone", "UTC", "--state", str(tmp_path / "state"))
    assert code == 0, said
    assert 'from: "18:00", to: "21:00"' in said
    assert "minReplicas: 10" in said


def test_a_young_journal_says_what_is_missing(tmp_path: Path):
    journal(tmp_path / "state", days=2).close()
    _, said = tidegate("schedule", "suggest", "ocr", "--time-zone", "UTC", "--state", str(tmp_path / "state"))
    assert "only 2.0 days were seen; a week is needed" in said


def test_a_service_without_traffic_is_told_so(tmp_path: Path):
    journal(tmp_path / "state").close()
    code, said = tidegate("schedule", "suggest", "chat", "--time-zone", "UTC", "--state", str(tmp_path / "state"))
    assert code == 1
    assert "no traffic of chat" in said


def test_a_forecast_learns_from_a_trace_while_nothing_runs(tmp_path: Path):
    journal(tmp_path / "state").close()
    args = (
        "--trace",
        str(trace(tmp_path / "t.csv")),
        "--service-time",
        "800ms,0.5",
        "--state",
        str(tmp_path / "state"),
    )
    code, said = tidegate("forecast", "import", "ocr", *args, "--json")
    assert code == 0, said
    assert json.loads(said)["half_hours_known"] == 336
    with Journal(f"sqlite:///{tmp_path}/state/journal.db") as made:
        memory = made.load_memory()
        assert memory is not None
        (known,) = memory.pools.values()
        assert known.scale.season.slots_seen > 300
        assert "forecast import" in made.read(kind=Kind.OPERATOR)[0].data["text"]


def test_a_lesson_that_cannot_be_learned_says_what_to_do(tmp_path: Path):
    journal(tmp_path / "state").close()
    state = ("--state", str(tmp_path / "state"))
    days = str(trace(tmp_path / "t.csv"))
    _, said = tidegate("forecast", "import", "ocr", "--trace", "sine:mean=3,length=2h", *state)
    assert "Give at least a day" in said
    _, said = tidegate("forecast", "import", "ocr", "--trace", days, *state)
    assert "Give --service-time" in said
    _, said = tidegate("forecast", "import", "chat", "--trace", days, *state)
    assert "no pool chat/default is declared. There are: ocr/default" in said
    undated = tmp_path / "undated.csv"
    undated.write_text("0,1\n60,2\n")
    _, said = tidegate("forecast", "import", "ocr", "--trace", str(undated), *state)
    assert "start=" in said


def suggest(tmp_path: Path, *args: str) -> tuple[int, str]:
    words = ("schedule", "suggest", "ocr", "--time-zone", "UTC", "--state", str(tmp_path / "state"), *args)
    return tidegate(*words)


def test_windows_are_proposed_from_a_trace_with_what_is_declared_here(tmp_path: Path):
    journal(tmp_path / "state").close()
    hours = [2000 if 18 <= h < 21 else 20 for h in range(24)] * 8
    path = tmp_path / "log.csv"
    path.write_text(
        "# start=2024-01-01T00:00:00Z\n" + "".join(f"{i * HOUR_S},{HOUR_S * r}\n" for i, r in enumerate(hours))
    )
    code, said = suggest(tmp_path, "--trace", str(path))
    assert (code, "Give --service-time" in said) == (1, True)
    code, said = suggest(tmp_path, "--trace", str(path), "--service-time", "20ms,0.5")
    assert code == 0, said
    assert "minReplicas: 25" in said, "2000 requests/s x 20 ms = 40 busy slots, / 80% / 2 slots a replica"
    code, said = suggest(tmp_path, "--trace", str(path), "--service-time", "40ms")
    assert "ocr/default: the windows need up to 50 replicas, maxReplicas is 40" in said
    code, said = suggest(tmp_path, "--trace", str(path), "--service-time", "20ms", "--concurrency", "10")
    assert "minReplicas: 5" in said


def test_where_nothing_ran_a_trace_needs_everything_given(tmp_path: Path):
    code, said = suggest(tmp_path, "--trace", "weekly", "--service-time", "0.4")
    assert (code, "ocr/default is not declared here. Give --service-time and --concurrency" in said) == (1, True)
    code, said = suggest(tmp_path, "--trace", "weekly", "--service-time", "0.4", "--concurrency", "2")
    assert (code, "minReplicas: 5" in said) == (0, True)


def test_a_time_zone_that_is_none_is_refused(tmp_path: Path):
    journal(tmp_path / "state").close()
    code, said = tidegate("schedule", "suggest", "ocr", "--time-zone", "Mars", "--state", str(tmp_path / "state"))
    assert (code, "no such IANA time zone" in said) == (1, True)
