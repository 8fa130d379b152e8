"""`tidegate simulate`: traces, options, faults of the user, the table, the page."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from tidegate.cli.app import build_app

MANIFEST = """
apiVersion: tidegate.dev/v1
kind: MediaService
metadata: {name: ocr}
spec:
  image: registry/ocr
  command: [python]
  concurrency: 2
  promise: {within: 5s, success: 99%}
  route: {pathPrefix: /ocr}
  pools:
    - {name: large, match: {pixels: {min: 1000000}}}
  scaling: {minReplicas: 1, maxReplicas: 30}
"""
SPEECH = """
---
apiVersion: tidegate.dev/v1
kind: MediaService
metadata: {name: speech}
spec: {image: registry/speech, command: [python], route: {pathPrefix: /speech}}
"""
CLUSTER = """
---
apiVersion: tidegate.dev/v1
kind: Cluster
metadata: {name: here}
spec: {runtime: kubernetes, region: gz, capacity: {cpu: 64, memory: 512Gi}, price: {cpu: 0.03}}
"""


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "ocr.yaml"
    path.write_text(MANIFEST + CLUSTER)
    return str(path)


def simulate(*words: str):
    return CliRunner().invoke(build_app(), ["simulate", *words])


def asked(manifest: str, *words: str):
    return simulate(
        "-f", manifest, "--service-time", "0.8", "--tick", "5s", "--trace", "constant:mean=6,length=10m", *words
    )


def test_a_run_is_told_in_words(manifest):
    out = asked(manifest).output
    assert "ocr/default under tidegate" in out
    assert re.search(r"promise +kept: \d+\.\d{3}% in time, 99\.000% within 5 s promised", out)
    assert re.search(r"replicas +\d", out)
    assert "cost" in out
    assert re.search(r"ocr/large: no requests, \d\.\d replica-hours", out)


def test_json_is_repeatable_by_its_seed(manifest):
    one, again, other = (asked(manifest, "--json", "--seed", s).stdout for s in ("3", "3", "4"))
    assert one == again != other
    told = json.loads(one)
    assert told["policy"] == "tidegate"
    pool = next(p for p in told["pools"] if p["pool"] == "default")
    assert pool["promise"]["kept"] is True
    assert set(pool["wait_s"]) == {"p50", "p95", "p99"}


def test_a_comparison_plays_the_same_requests_under_every_policy(manifest):
    told = json.loads(asked(manifest, "--compare", "all", "--json").stdout)
    names = [run["policy"] for run in told["compare"]]
    assert names == ["static", "hpa", "hpa-demand", "kpa", "cron-hpa", "rayserve", "skyserve", "clairvoyant"]
    assert len({run["pools"][-1]["requests"] for run in (told, *told["compare"])}) == 1


def test_the_bound_keeps_the_promise_also_where_start_up_times_vary(tmp_path):
    path = tmp_path / "ocr.yaml"
    path.write_text(MANIFEST.replace("success: 99%", "success: 99.9%"))
    shape = ("--trace", "sine:mean=30,period=2h,length=8h", "--service-time", "800ms,0.5", "--startup", "120s,0.4")
    told = json.loads(simulate("-f", str(path), *shape, "--baseline", "clairvoyant", "--json").stdout)
    pool = next(p for p in told["pools"] if p["pool"] == "default")
    assert pool["promise"]["kept"], pool


def test_a_baseline_takes_the_place_of_the_policy(manifest):
    told = json.loads(asked(manifest, "--baseline", "static:5", "--json").stdout)
    assert told["policy"] == "static:5"
    assert next(p for p in told["pools"] if p["pool"] == "default")["most_replicas"] == 5


def test_a_fixed_number_beyond_the_bounds_is_told(manifest):
    told = asked(manifest, "--compare", "static:99,static:3", "--json")
    assert "static:99: ocr/default may have 1 to 30 replicas, and is played with the nearest" in told.stderr
    assert "static:3:" not in told.stderr


def test_other_manifests_are_compared_with(manifest, tmp_path):
    other = tmp_path / "roomy.yaml"
    other.write_text((MANIFEST + CLUSTER).replace("minReplicas: 1", "minReplicas: 12"))
    told = json.loads(asked(manifest, "--baseline", str(other), "--json").stdout)
    assert told["compare"][0]["policy"] == "roomy"
    assert told["compare"][0]["replica_hours"] > 1.5 * told["replica_hours"]


def test_manifests_with_other_pools_are_compared_pool_by_pool(manifest, tmp_path):
    other, page = tmp_path / "one.yaml", tmp_path / "run.html"
    other.write_text((MANIFEST + CLUSTER).replace("{name: large,", "{name: small,"))
    told = asked(manifest, "--baseline", str(other), "--html", str(page))
    assert told.exit_code == 0, told.output
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text())[1])
    runs = {p["name"]: [r and r["numbers"]["pool"] for r in p["runs"]] for p in data["pools"]}
    assert runs == {"ocr": ["default", "default"], "ocr/large": ["large", None]}
    refused = asked(manifest, "--baseline", str(other), "--share", "ocr/large=10%")
    assert f"--baseline {other}: the same options do not suit these manifests: --share" in refused.stderr


def test_size_classes_get_their_share_and_their_own_service_time(manifest):
    words = ("--share", "ocr/large=25%", "--service-time", "ocr/large=2s,1", "--json")
    told = json.loads(asked(manifest, *words).stdout)
    large, default = (next(p for p in told["pools"] if p["pool"] == n) for n in ("large", "default"))
    assert large["requests"] == pytest.approx(default["requests"] / 3, rel=0.2)
    assert large["answer_s"]["p50"] > 1.5 * default["answer_s"]["p50"]


def test_measured_service_times_come_from_a_file(manifest, tmp_path):
    path = tmp_path / "seconds.csv"
    path.write_text("seconds\n" + "\n".join(str(0.5 + i / 1000) for i in range(1000)))
    words = ("-f", manifest, "--trace", "constant:mean=6,length=10m", "--service-time", str(path), "--json")
    told = json.loads(simulate(*words).stdout)
    assert next(p for p in told["pools"] if p["pool"] == "default")["answer_s"]["p50"] == pytest.approx(1.0, rel=0.1)


def test_the_page_holds_everything_it_needs(manifest, tmp_path):
    path = tmp_path / "run.html"
    faults = tmp_path / "faults.yaml"
    faults.write_text("- {at: 5m, crash: {count: 1}}\n")
    told = asked(manifest, "--compare", "hpa,static", "--faults", str(faults), "--html", str(path))
    assert told.exit_code == 0, told.output
    text = path.read_text()
    assert not re.search(r'(src|href)="?https?:', text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert [p["name"] for p in data["policies"]] == ["tidegate", "hpa", "static"]
    pool = next(p for p in data["pools"] if p["name"] == "ocr")
    assert len(pool["at"]) == len(pool["runs"][0]["ready"]) == len(pool["runs"][2]["cost"])
    assert data["faults"][0]["name"] == "crash"
    assert "--seed 1" in text


def test_what_is_assumed_and_what_cannot_be_kept_is_said(manifest, tmp_path):
    out = simulate("-f", manifest, "--trace", "constant:length=2m").stderr
    assert "no --service-time; 1.25 s (a quarter of the promise) is assumed" in out
    hard = simulate("-f", manifest, "--trace", "constant:length=2m", "--service-time", "4,1").stderr
    assert "no number of replicas can keep 99.00%" in hard


def test_strict_fails_when_the_promise_is_broken(manifest):
    late = ("-f", manifest, "--trace", "constant:length=2m", "--service-time", "4,1", "--strict")
    assert simulate(*late).exit_code == 1
    assert asked(manifest, "--strict").exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--trace", "nowhere.csv"], "no such file, and no shape"),
        (["--service-time", "fast"], "--service-time fast: expected MEAN[,CV] such as 800ms,0.5, or a file"),
        (["--service-time", "0.8,-1"], "CV is -1, expected a number from 0"),
        (["--service-time", "0.8,nan"], "CV is nan, expected a number from 0"),
        (["--service-time", "0"], "a mean above 0"),
        (["--service-time", "400d"], "Check the unit (seconds)"),
        (["--startup", "soon"], "--startup soon: expected MEAN[,CV]"),
        (["--patience", "0"], "--patience is 0; give a time above 0"),
        (["--tick", "often"], "--tick: got"),
        (["--measure-from", "late"], "--measure-from: got"),
        (["--trace", "constant"], "ocr has a trace already"),
        (["--share", "ocr/default=50%"], "get 0.5 of its requests together; that must be 1"),
        (["--share", "ocr/default=60%", "--share", "ocr/large=60%"], "get 1.2 of its requests"),
        (["--baseline", "nowhere.yaml"], "and no such file; there are static, static-mean, hpa"),
        (["--html", "nowhere/run.html"], "there is no folder nowhere"),
        (["--html", "."], "is a folder"),
        (["--scale", "1000000"], "smaller scale"),
        (["--from", "2026-99-01"], "expected a duration such as"),
        (["--service-time", "0.8,much"], "MEAN[,CV]"),
        (["--startup", "60s,x"], "MEAN[,CV]"),
        (["--share", "ocr/huge=10%"], "pools are ocr/large, ocr/default"),
        (["--compare", "vpa"], "no policy 'vpa' to compare with; there are static"),
        (["--measure-from", "20m"], "the run ends before that"),
        (["--from", "30m"], "nothing lies between"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(manifest, words, says):
    told = asked(manifest, *words)
    assert told.exit_code in (1, 2)
    assert says in told.stderr
    assert "Traceback" not in told.output


def test_faults_name_clusters_that_exist(manifest, tmp_path):
    faults = tmp_path / "faults.yaml"
    faults.write_text("- {at: 1m, for: 1m, outage: {cluster: moon}}\n")
    assert "no cluster 'moon'; there are here" in asked(manifest, "--faults", str(faults)).stderr


def test_faults_that_will_do_nothing_are_told(manifest, tmp_path):
    faults = tmp_path / "faults.yaml"
    faults.write_text("- {at: 20m, crash: {}}\n- {at: 5m, upgrade: {service: ocr, bad: verify}}\n")
    said = asked(manifest, "--faults", str(faults)).stderr
    assert "crash at 20 min comes after the end of the run, which is 10 min long" in said
    assert "ocr has no rollout.verify" in said


def test_what_finds_no_room_is_told(tmp_path):
    path = tmp_path / "ocr.yaml"
    path.write_text(MANIFEST + CLUSTER.replace("cpu: 64", "cpu: 2"))
    told = simulate("-f", str(path), "--trace", "constant:mean=12,length=10m", "--service-time", "0.8", "--json")
    assert re.search(r"ocr/default: for \d+ min.* more replicas were wanted than its clusters have room", told.stderr)
    pool = next(p for p in json.loads(told.stdout)["pools"] if p["pool"] == "default")
    assert (pool["most_replicas"], pool["pending_hours"] > 0) == (1, True), "the other pool has the other core"


def test_fixed_hosts_are_not_simulated_and_that_is_said(tmp_path):
    path = tmp_path / "ocr.yaml"
    fixed = (
        CLUSTER.replace("here", "racks").replace("kubernetes", "static").split(", region")[0]
        + ", hosts: [{service: ocr, address: '127.0.0.1:1'}]}"
    )
    words = ("-f", str(path), "--trace", "constant:mean=6,length=10m", "--service-time", "0.8")
    path.write_text(MANIFEST + CLUSTER + fixed)
    assert "cluster racks: fixed hosts (runtime: static) are not simulated" in simulate(*words).stderr
    path.write_text(MANIFEST + fixed)
    told = simulate(*words)
    assert (told.exit_code, "ocr/default may run only in racks" in told.stderr) == (1, True)


def test_of_several_services_each_trace_names_its_own(tmp_path):
    path = tmp_path / "both.yaml"
    path.write_text(MANIFEST + SPEECH + CLUSTER)
    common = ("-f", str(path), "--service-time", "0.5", "--json")
    assert "which service? There are ocr, speech" in simulate(*common, "--trace", "constant").stderr
    told = json.loads(
        simulate(
            *common, "--trace", "ocr=constant:mean=4,length=5m", "--trace", "speech=constant:mean=2,length=5m"
        ).stdout
    )
    assert [p["requests"] > 0 for p in told["pools"] if p["pool"] == "default"] == [True, True]


@pytest.mark.parametrize("name", ["--service-time", "--faults"])
def test_a_file_that_is_no_text_is_refused(manifest, tmp_path, name):
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    told = asked(manifest, name, str(path))
    assert told.exit_code in (1, 2)
    assert str(path) in told.stderr


def test_what_counts_does_not_depend_on_how_often_it_is_decided(manifest):
    """The first minutes are left out to the second, also where nothing would be decided before the end."""
    shape = ("-f", manifest, "--trace", "constant:mean=6,length=20m", "--service-time", "0.8", "--json")
    runs = [json.loads(simulate(*shape, "--tick", tick).stdout) for tick in ("1s", "7s", "10h")]
    assert len({run["pools"][-1]["requests"] for run in runs}) == 1
    assert runs[0]["pools"][-1]["requests"] == pytest.approx(6 * 0.95 * 1200, rel=0.05)


def test_policies_named_twice_are_played_once(manifest):
    told = json.loads(asked(manifest, "--compare", "hpa,static:2,hpa", "--json").stdout)
    assert [run["policy"] for run in told["compare"]] == ["hpa", "static:2"]


def csv(path, start: str, rates: list[int]) -> str:
    rows = "".join(f"{60 * i},{60 * rate}\n" for i, rate in enumerate(rates))
    path.write_text(f"# start={start}\nseconds,requests\n{rows}")
    return str(path)


@pytest.fixture
def both(tmp_path):
    path = tmp_path / "both.yaml"
    path.write_text(MANIFEST + SPEECH + CLUSTER)
    return ("-f", str(path), "--service-time", "0.1", "--json", "--measure-from", "0")


def requests_of(told) -> dict[str, int]:
    return {p["service"]: p["requests"] for p in json.loads(told.stdout)["pools"] if p["pool"] == "default"}


def test_traces_of_several_services_are_put_on_one_clock(both, tmp_path):
    ocr = csv(tmp_path / "ocr.csv", "2026-10-05T08:00:00Z", [20] * 10 + [2] * 10)
    speech = csv(tmp_path / "speech.csv", "2026-10-05T08:10:00Z", [20] * 10 + [2] * 10)
    told = simulate(*both, "--trace", f"ocr={ocr}", "--trace", f"speech={speech}")
    assert "from 2026-10-05 08:10:00 UTC to 2026-10-05 08:20:00 UTC (10 min), which each of them covers" in told.stderr
    assert requests_of(told) == pytest.approx({"ocr": 1200, "speech": 12000}, rel=0.1)


def test_traces_that_do_not_overlap_are_played_from_their_beginnings_and_that_is_said(both, tmp_path):
    ocr = csv(tmp_path / "ocr.csv", "2026-10-05T08:00:00Z", [20] * 10)
    speech = csv(tmp_path / "speech.csv", "2014-10-05T08:10:00Z", [10] * 5)
    told = simulate(*both, "--trace", f"ocr={ocr}", "--trace", f"speech={speech}")
    assert "ocr at 2026-10-05 08:00:00 UTC, speech at 2014-10-05 08:10:00 UTC" in told.stderr
    assert "speech: its trace ends after 5 min, the run after 10 min" in told.stderr
    assert requests_of(told) == pytest.approx({"ocr": 12000, "speech": 3000}, rel=0.1)


def test_a_shape_beside_a_log_has_the_logs_time_of_day(both, tmp_path):
    page = tmp_path / "run.html"
    ocr = csv(tmp_path / "ocr.csv", "2026-10-05T08:00:00Z", [20] * 10)
    told = simulate(*both, "--trace", f"ocr={ocr}", "--trace", "speech=constant:length=10m", "--html", str(page))
    assert told.exit_code == 0, told.stderr
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text())[1])
    assert {p["at"][0] for p in data["pools"]} == {1791187200.0}


def test_a_part_of_a_trace_is_named_by_its_dates(manifest, tmp_path):
    path = csv(tmp_path / "day.csv", "2026-10-05T08:00:00Z", [1] * 10 + [20] * 10 + [1] * 10)
    words = ("-f", manifest, "--service-time", "0.1", "--measure-from", "0", "--json", "--trace", path)
    told = simulate(*words, "--from", "2026-10-05T10:10:00+02:00", "--until", "2026-10-05T08:20")
    assert requests_of(told)["ocr"] == pytest.approx(12000, rel=0.1)


def test_how_a_log_was_understood_is_a_warning(manifest, tmp_path):
    path = tmp_path / "haproxy.log"
    line = "x [05/Oct/2026:08:{:02d}:04.655] in ocr/r1 10/0/30/69/109 200 2750 - - ---- 1/1 0/0\n"
    path.write_text("".join(line.format(i) for i in range(10)) + "Server ocr/r1 is DOWN\n")
    told = simulate("-f", manifest, "--service-time", "0.1", "--trace", str(path))
    assert "ocr: haproxy.log: 1 of 11 lines are no requests" in told.stderr
    assert "no time zone and are taken for UTC" in told.stderr


def test_a_trace_comes_through_a_pipe_also_where_two_manifests_are_compared(manifest, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(MANIFEST + CLUSTER)
    words = ["-f", manifest, "--service-time", "0.1", "--trace", "-", "--baseline", str(other), "--json"]
    told = CliRunner().invoke(build_app(), ["simulate", *words], input="0,600\n60,600\n120,600\n")
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["compare"][0]["success"] == 1.0


def test_a_promise_with_many_nines_is_told_with_them(tmp_path):
    path = tmp_path / "ocr.yaml"
    path.write_text(MANIFEST.replace("success: 99%", "success: 99.99999%") + CLUSTER)
    out = simulate("-f", str(path), "--trace", "constant:length=2m", "--service-time", "0.8").stderr
    assert re.search(r"0\.00\d\d+% of the requests take longer.* can keep 99\.99999%\.", out)


def test_in_the_table_of_policies_what_is_relative_is_the_cost(manifest):
    """Replicas of several sizes and places do not add up; money does."""
    told = json.loads(asked(manifest, "--compare", "static", "--share", "ocr/large=50%", "--json").stdout)
    out = asked(manifest, "--compare", "static", "--share", "ocr/large=50%").output
    ratio = told["compare"][0]["cost"] / told["cost"]
    assert re.search(rf"static .* {ratio:.2f}x ", out)


def test_runs_that_decide_more_or_less_often_are_drawn_in_the_same_bins(manifest, tmp_path):
    page = tmp_path / "run.html"
    asked(manifest, "--tick", "30s", "--compare", "kpa", "--html", str(page))
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text())[1])
    ours, kpa = next(p for p in data["pools"] if p["name"] == "ocr")["runs"]
    assert len(ours["cost"]) == 20
    for run in (ours, kpa):
        assert run["cost"][-1] == pytest.approx(run["numbers"]["cost"], rel=0.1)


def test_where_prices_change_the_drawn_cost_is_what_was_paid(manifest, tmp_path):
    page, faults = tmp_path / "run.html", tmp_path / "faults.yaml"
    faults.write_text("- {at: 1s, for: 1h, price: {cluster: here, factor: 10}}\n")
    asked(manifest, "--faults", str(faults), "--measure-from", "0", "--html", str(page))
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text())[1])
    run = next(p for p in data["pools"] if p["name"] == "ocr")["runs"][0]
    assert run["cost"][-1] == pytest.approx(run["numbers"]["cost"], rel=0.05)


@pytest.mark.parametrize("name", ["static", "static:12", "clairvoyant"])
def test_who_knows_beforehand_has_what_is_needed_from_the_beginning(manifest, name):
    """A fixed fleet always stands, and one who knows the future ordered in time, however long a start-up takes."""
    words = ("-f", manifest, "--trace", "step:mean=6,length=40m", "--service-time", "0.8", "--startup", "30m")
    told = json.loads(simulate(*words, "--measure-from", "0", "--baseline", name, "--json").stdout)
    pool = next(p for p in told["pools"] if p["pool"] == "default")
    assert pool["success"] > 0.98
    if name.startswith("static"):
        assert pool["replica_hours"] == pytest.approx(pool["most_replicas"] * 40 / 60, rel=0.01)


def test_what_is_not_counted_is_drawn_and_told(manifest, tmp_path):
    page = tmp_path / "run.html"
    asked(manifest, "--measure-from", "4m", "--html", str(page))
    text = page.read_text()
    assert "The first 4 min (grey) are for learning: drawn and not counted." in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    pool = next(p for p in data["pools"] if p["name"] == "ocr")
    run = pool["runs"][0]
    assert data["countedFrom"] - pool["at"][0] == 240.0
    assert run["cost"][-1] == pytest.approx(run["numbers"]["cost"], rel=0.02)
    assert max(c for at, c in zip(pool["at"], run["cost"], strict=True) if at < data["countedFrom"] - 10) == 0


def test_ray_serve_grows_with_replicas_of_one_slot_behind_a_gateway_that_refuses(tmp_path):
    """It goes by what waits or is worked on: two a replica are never there where next to nothing may wait."""
    path = tmp_path / "ocr.yaml"
    path.write_text(MANIFEST.replace("concurrency: 2", "concurrency: 1").replace("within: 5s", "within: 1s") + CLUSTER)
    words = ("-f", str(path), "--trace", "step:mean=6,factor=3,length=40m", "--service-time", "0.5")
    told = json.loads(simulate(*words, "--baseline", "rayserve", "--json").stdout)
    pool = next(p for p in told["pools"] if p["pool"] == "default")
    assert pool["most_replicas"] >= 9
