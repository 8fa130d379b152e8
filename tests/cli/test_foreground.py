"""`up` on a terminal, in a pipe, as JSON; Ctrl-C drains; --when-ready runs once everything answers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

PROGRAM = textwrap.dedent("""
    import asyncio, sys
    from web.world import pool, replica, status
    from tidegate.cli.foreground import run_here
    from tidegate.control.settings import Settings
    from tidegate.spec.load import Loaded

    async def serve(loaded, settings, *, on_status):
        try:
            on_status(status(pool("ocr", [replica("ocr-1", "starting")])))
            on_status(status(pool("ocr", [replica("ocr-1")]), page="http://127.0.0.1:8081/"))
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            on_status(status(pool("ocr", [replica("ocr-1", "draining")]), stopping=True))
            await asyncio.sleep(0.1)
            raise

    run_here(Loaded(), Settings(), serve, **eval(sys.argv[1]))
""")


@contextmanager
def up(**options: object) -> Iterator[subprocess.Popen[str]]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONUNBUFFERED": "1"}
    env |= {str(k): str(v) for k, v in options.pop("env", {}).items()}  # type: ignore[attr-defined]
    command = [sys.executable, "-c", PROGRAM, repr(options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines_until(process: subprocess.Popen[str], part: str) -> list[str]:
    """Lines of the program up to the one that holds `part`; the test's own timeout is the pipe's end."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if part in line:
            return lines
    raise AssertionError(f"ended without {part!r}: {lines} {process.communicate()}")


def test_plain_lines_in_a_pipe_and_ctrl_c_drains() -> None:
    with up() as process:
        lines = lines_until(process, "status page: ")
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=120)
    said = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines + rest.splitlines()]
    assert said == [
        "gateway answers at http://127.0.0.1:8080",
        "ocr/default: 1 wanted (3 in flight, 0 queued: 3 slots, so 3 replicas)",
        "ocr-1: starting",
        "status page at http://127.0.0.1:8081/",
        "ocr/default: 1 of 1 ready",
        "ocr-1: starting -> ready",
        "Everything answers after 1 h 2 min 3 s.",
        "  ocr: http://127.0.0.1:8080/ocr/",
        "  status page: http://127.0.0.1:8081/",
        "stopping: replicas are drained",
        "ocr/default: 0 of 1 ready",
        "ocr-1: ready -> draining",
        "stopped",
    ]
    assert (process.returncode, errors) == (0, "")


def test_sigterm_drains_too() -> None:
    with up() as process:
        lines_until(process, "Everything answers")
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=120)[0].endswith("stopped\n")


def test_the_command_for_when_ready_finds_the_addresses_and_its_failure_is_told() -> None:
    with up(when_ready='echo "try $TIDEGATE_GATEWAY $TIDEGATE_PAGE"; exit 7') as process:
        lines = lines_until(process, "ended with exit code 7")
        assert "try http://127.0.0.1:8080 http://127.0.0.1:8081/" in lines


def test_a_command_that_still_runs_is_ended_with_the_rest() -> None:
    with up(when_ready="echo begun; exec sleep 600") as process:
        lines_until(process, "begun")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120)[0].endswith("stopped\n")


def test_json_is_a_line_per_status_and_nothing_else_on_standard_output() -> None:
    with up(as_json=True, when_ready="echo hello") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "hello" in line:
                break
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    assert [json.loads(line)["services"][0]["name"] for line in output.splitlines()] == ["ocr"]


def test_a_terminal_gets_the_live_table() -> None:
    with up(env={"FORCE_COLOR": "1", "COLUMNS": "160"}) as process:
        lines_until(process, "ready")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    assert "draining" in output
    assert output.endswith("stopped\n")
