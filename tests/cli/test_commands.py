"""What each command asks of the running system, what it prints, and how it ends."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.running import run, running
from tidegate import __version__
from tidegate.base.errors import ControlError
from tidegate.cli.client import Client
from tidegate.cli.exits import Unreachable
from tidegate.model.memory import RolloutRecord
from tidegate.model.reasons import Reason
from tidegate.model.status import RolloutStatus, Status
from tidegate.web.ports import Event, LogLine
from web.world import AT, FakeControl, pool, replica, status

ENV = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
MANIFEST = """
apiVersion: tidegate.dev/v1
kind: MediaService
metadata: {name: chat}
spec: {command: [serve], scaling: {minReplicas: 2}}
"""


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[FakeControl, str]]:
    faces = [
        replica("face-fusion-1", in_flight=1, address="127.0.0.1:1"),
        replica("face-fusion-2", "starting", detail="startup: refused"),
    ]
    control = FakeControl(status(pool("face-fusion", faces, wanted=3, pending=1, queued=4, in_time_ratio=0.99951)))
    control.past = [Event(AT, "decision", "face-fusion/default", "replicas wanted 1 -> 3: \x1b[31mbusy")]
    control.lines = [LogLine("face-fusion-1", "hello"), LogLine("face-fusion-2", "[red]world")]
    with running(control) as state:
        yield control, str(state)


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    (tmp_path / "chat.yaml").write_text(MANIFEST)
    return str(tmp_path)


def test_status_shows_pools_replicas_and_clusters(world: tuple[FakeControl, str]) -> None:
    result = run("status", "--state", world[1])
    assert result.exit_code == 0
    for part in ["face-fusion/default", "1/3 (1 starting, 1 pending)", "99.95%", "3 in flight, 0 queued", "127.0.0.1:1",
                 "cpu 3/8, memory 8 GiB/16 GiB", "up 1 h 2 min 3 s", "gateway http://127.0.0.1:8080"]:  # fmt: skip
        assert part in result.stdout


def test_status_as_json_is_what_the_system_said(world: tuple[FakeControl, str]) -> None:
    whole = json.loads(run("status", "--state", world[1], "--json").stdout)
    assert whole["services"][0]["pools"][0]["wanted"] == 3
    one = json.loads(run("status", "face-fusion", "--state", world[1], "--json").stdout)
    assert one == whole["services"][0]


def test_an_unknown_service_is_named_with_those_there_are(world: tuple[FakeControl, str]) -> None:
    result = run("status", "ocr", "--state", world[1])
    assert (result.exit_code, result.stderr) == (1, "no service is called ocr. There are: face-fusion.\n")
    result = run("explain", "ocr", "--state", world[1])
    assert (result.exit_code, result.stderr) == (1, "no service is called ocr\n")


def test_explain_gives_every_reason_and_what_led_to_it(world: tuple[FakeControl, str]) -> None:
    result = run("explain", "face-fusion", "--state", world[1])
    assert "face-fusion/default: 3 wanted (1 ready, 1 starting, 0 draining, 1 pending)" in result.stdout
    assert "demand  3 in flight, 0 queued: 3 slots, so 3 replicas" in result.stdout
    assert "face-fusion-2  starting, 10 min old: startup: refused" in result.stdout
    assert "replicas wanted 1 -> 3:  [31mbusy" in result.stdout  # what comes from elsewhere cannot drive the terminal
    data = json.loads(run("explain", "face-fusion", "--state", world[1], "--json").stdout)
    assert data["pools"][0]["reasons"][0]["topic"] == "demand"


def test_logs_name_the_replica_unless_one_was_asked_for(world: tuple[FakeControl, str]) -> None:
    assert run("logs", "face-fusion", "--state", world[1]).stdout == "face-fusion-1  hello\nface-fusion-2  [red]world\n"
    assert run("logs", "face-fusion", "face-fusion-1", "--state", world[1]).stdout == "hello\n"
    lines = run("logs", "face-fusion", "--tail", "1", "--json", "--state", world[1]).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [{"replica": "face-fusion-2", "text": "[red]world"}]


def test_events_of_a_time_are_printed_oldest_first(world: tuple[FakeControl, str]) -> None:
    result = run("events", "--since", str(int(AT) - 5), "--state", world[1])
    assert "decision    face-fusion/default  replicas wanted 1 -> 3:  [31mbusy" in result.stdout
    assert run("events", "--since", "1s", "--state", world[1]).stdout == ""
    result = run("events", "--since", "yesterday", "--state", world[1])
    assert result.exit_code == 2
    assert '--since: got "yesterday", expected a duration' in result.stderr


def test_what_follows_comes_line_by_line_until_the_system_ends() -> None:
    control = FakeControl()
    with running(control) as state, Client(state) as client:
        events = client.events(0, follow=True)
        control.past.append(Event(AT, "operator", "here", "before"))
        seen = [next(events).text]
        control.loop.call_soon_threadsafe(control.happen, Event(AT + 1, "operator", "here", "after"))  # type: ignore[attr-defined]
        seen.append(next(events).text)
        client.down()
        assert [*seen, *(e.text for e in events)] == ["before", "after"]


def test_apply_sends_the_manifests_and_prints_the_difference(world: tuple[FakeControl, str], manifest: str) -> None:
    control, state = world
    result = run("apply", "-f", manifest, "--prune", "--state", state)
    assert (result.exit_code, result.stdout) == (0, "+ MediaService chat\n")
    verb, manifests, prune = control.told[-1]
    assert (verb, [m.name for m in manifests], prune) == ("apply", ["chat"], True)
    assert manifests[0].spec.workingDir == manifest
    data = json.loads(run("apply", "-f", manifest, "--state", state, "--json").stdout)
    assert data["changes"] == [{"verb": "add", "kind": "MediaService", "name": "chat", "fields": []}]


def test_manifests_are_read_from_standard_input(world: tuple[FakeControl, str]) -> None:
    assert run("apply", "-f", "-", "--state", world[1], input=MANIFEST).stdout == "+ MediaService chat\n"


def test_plan_asks_the_running_system(world: tuple[FakeControl, str], manifest: str) -> None:
    result = run("plan", "-f", manifest, "--state", world[1])
    assert "+ MediaService chat" in result.stdout
    assert "chat/default: 1" in result.stdout
    assert world[0].told[-1][0] == "plan"


def test_plan_for_an_empty_world_says_what_would_start_and_why(tmp_path: Path, manifest: str) -> None:
    result = run("plan", "-f", manifest, "--state", str(tmp_path))
    assert result.exit_code == 0
    assert "empty world" in result.stderr
    assert "+ Cluster here\n+ MediaService chat\n" in result.stdout
    assert "chat/default: 2" in result.stdout
    assert result.stdout.count("start chat-") == 2


def test_rollout_asks_and_tells(world: tuple[FakeControl, str]) -> None:
    control, state = world
    assert run("rollout", "pause", "face-fusion", "--state", state).stdout == "face-fusion: pause\n"
    assert control.told[-1] == ("rollout", "face-fusion", "pause")
    shown = json.loads(run("rollout", "status", "face-fusion", "--json", "--state", state).stdout)
    assert [p["pool"] for p in shown] == ["default"]
    assert run("rollout", "status", "nobody", "--state", state).exit_code == 1


def test_rollout_status_and_history_in_words(world: tuple[FakeControl, str]) -> None:
    control, state = world
    ended = RolloutRecord("aaaa", "bbbb", 1000.0, 1090.0, "rolled back", "verify failed: wrong answer")
    going = RolloutStatus("watching", "aaaa", "cccc", wanted=8, ready=2, goal=2, history=(ended,))
    pool = control.now.services[0].pools[0]
    changed = replace(control.now.services[0], pools=(replace(pool, rollout=going),))
    control.now = replace(control.now, services=(changed,))
    told = run("rollout", "status", "face-fusion", "--state", state).stdout
    assert told == "face-fusion/default: aaaa -> cccc: 2 of 8 ready, those are watched under traffic\n"
    told = run("rollout", "history", "face-fusion", "--state", state).stdout
    assert "aaaa -> bbbb  rolled back after 1 min 30 s  verify failed: wrong answer" in told


def test_rollout_status_watches_until_the_end_and_a_revision_that_went_back_is_a_failure(
    world: tuple[FakeControl, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    control, state = world

    def now(phase: str, **more: Any) -> Status:
        service = control.now.services[0]
        changed = replace(service.pools[0], rollout=RolloutStatus(phase, "aaaa", "cccc", wanted=8, **more))
        return replace(control.now, services=(replace(service, pools=(changed,)),))

    adding, back = now("adding", goal=2), now("rolled back", reason="verify failed: wrong answer")
    to_come = iter((adding, adding, back))

    async def status() -> Status:
        return next(to_come, back)

    looks, ask = itertools.count(1), Client.status

    def restarting(client: Client) -> Status:
        if next(looks) in (2, 3):
            raise Unreachable("it is being restarted")
        return ask(client)

    monkeypatch.setattr(control, "status", status)
    monkeypatch.setattr(Client, "status", restarting)
    told = run("rollout", "status", "face-fusion", "--watch", "--state", state)
    assert told.exit_code == 1
    assert told.stdout.splitlines() == [
        "face-fusion/default: aaaa -> cccc: 0 of 8 ready, up to 2 are being started",
        "face-fusion/default: cccc rolled back: verify failed: wrong answer; aaaa serves until the manifest changes, "
        "or `tidegate rollout retry face-fusion`",
    ]
    assert told.stderr == "Tidegate does not answer. Waiting until it is back; Ctrl-C ends this.\n", "once"
    assert "cccc rolled back: verify failed" in run("status", "--state", state).stdout


def test_drain_says_what_will_happen(world: tuple[FakeControl, str]) -> None:
    assert run("drain", "face-fusion-1", "--state", world[1]).stdout == "face-fusion-1 will be drained\n"
    data = json.loads(run("drain", "here", "--json", "--state", world[1]).stdout)
    assert data == {"message": "here will be drained"}


def test_down_waits_for_the_end() -> None:
    with running(FakeControl()) as state:
        result = run("down", "--state", str(state))
        assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "stopped")
        assert run("status", "--state", str(state)).exit_code == 3


def test_faults_of_manifests_are_listed_and_end_with_2(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MANIFEST.replace("command: [serve]", "port: 0, comand: [x]"))
    result = run("apply", "-f", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[0] == "2 faults:"
    assert "spec.comand: is not a field here. Did you mean command?" in result.stderr
    said = json.loads(run("up", "-f", str(tmp_path), "--json").stderr)["error"]
    assert said["exit"] == 2
    assert len(said["faults"]) == 2


def test_what_the_system_refuses_is_told_in_its_words(world: tuple[FakeControl, str]) -> None:
    world[0].fail = ControlError("not now")
    result = run("drain", "x", "--state", world[1])
    assert (result.exit_code, result.stderr) == (1, "not now\n")


@pytest.mark.parametrize("command", [["status"], ["explain", "a"], ["logs", "a"], ["events"], ["drain", "a"], ["down"]])
def test_without_a_running_system_every_question_ends_with_3(command: list[str], tmp_path: Path) -> None:
    result = run(*command, "--state", str(tmp_path))
    assert result.exit_code == 3
    assert "Tidegate is not running here" in result.stderr
    assert "tidegate up -f DIR" in result.stderr
    error = json.loads(run(*command, "--json", "--state", str(tmp_path)).stderr)["error"]
    assert error["exit"] == 3


def test_a_socket_left_by_a_dead_process_and_one_too_long_are_told(tmp_path: Path) -> None:
    (tmp_path / "control.sock").write_text("")
    assert run("status", "--state", str(tmp_path)).exit_code == 3
    assert "too long for a socket" in run("status", "--state", "/tmp/" + "x" * 120).stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = run("--debug", "status", "--state", str(tmp_path))
    assert result.exception is not None
    assert "not running" in str(result.exception)


def test_wrong_usage_ends_with_2() -> None:
    assert run("explain").exit_code == 2
    assert run("fly").exit_code == 2
    assert run("apply").exit_code == 2
    assert run("logs", "a", "--tail", "-1").exit_code == 2


def test_version_is_that_of_the_package() -> None:
    assert run("version").stdout.startswith(f"tidegate {__version__} ")
    assert json.loads(run("version", "--json").stdout)["version"] == __version__


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=ENV)


def test_it_runs_as_a_module_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, tidegate.cli.app as a; a.build_app(); heavy = {'rich.table', 'httpx', 'pydantic', 'yaml', "
        "'sqlalchemy', 'starlette', 'asyncio'} & set(sys.modules); sys.exit(', '.join(sorted(heavy)))"
    )
    assert python("-c", code).stderr.strip() == ""
    assert "Exit codes: 0 done, 1 failed, 2 wrong usage" in python("-m", "tidegate", "--help").stdout


def test_a_reader_that_has_seen_enough_is_no_error(world: tuple[FakeControl, str]) -> None:
    control, state = world
    before, control.lines = control.lines, [LogLine("face-fusion-1", "x" * 1000)] * 2000
    shown = subprocess.run(
        f"{sys.executable} -m tidegate logs face-fusion -n 2000 --state {state} | head -n 1 | wc -l",
        shell=True, capture_output=True, text=True, check=False, env=ENV,
    )  # fmt: skip
    control.lines = before
    assert shown.stdout.splitlines()[-1].strip() == "1"
    assert "Error" not in shown.stderr
    assert "Broken" not in shown.stderr


def test_words_are_completed_from_what_runs(world: tuple[FakeControl, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from tidegate.cli.options import complete_replica, complete_service, complete_subject

    class Typed:
        params = {"state": world[1], "service": None}

    context = Typed()
    assert complete_service(context, "face") == ["face-fusion"]  # type: ignore[arg-type]
    assert complete_replica(context, "face-fusion-2") == ["face-fusion-2"]  # type: ignore[arg-type]
    assert complete_subject(context, "he") == ["here"]  # type: ignore[arg-type]
    Typed.params = {"state": "/nowhere", "service": None}
    assert complete_service(context, "") == []  # type: ignore[arg-type]


def test_reasons_may_name_the_limit_that_decided(world: tuple[FakeControl, str]) -> None:
    control, state = world
    before = control.now
    control.now = status(pool("ocr", [replica("ocr-1")], reasons=(Reason("demand", "busy", 9, "maxReplicas"),)))
    assert "demand  busy [limit: maxReplicas]" in run("explain", "ocr", "--state", state).stdout
    control.now = before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("simulate", "--trace", "constant"), "Missing option '--file'"),
        (("simulat",), "No such command 'simulat'"),
        (("report", "--csv"), "--csv and --json do not go together"),
    ],
)
def test_wrong_usage_is_json_for_programs_too(words, says, tmp_path):
    done = run(*words, "--json")
    error = json.loads(done.stderr)["error"]
    assert (done.exit_code, error["exit"], says in error["message"]) == (2, 2, True)
