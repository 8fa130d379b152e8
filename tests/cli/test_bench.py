"""`tidegate bench` against a small server in the gateway's place, and what it makes of the answers."""

from __future__ import annotations

import itertools
import json
import math
import statistics
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli.running import run, running
from tidegate.cli.bench import arrivals
from tidegate.cli.bench_result import PoolTally, Result
from tidegate.sim import trace_files
from web.world import FakeControl, pool, replica, status

SHORT = ("--trace", "constant:mean=20,length=1s")


class Gateway(ThreadingHTTPServer):
    """Answers as the gateway would; `codes` in turn, 200 when it is empty."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.codes: list[int] = []
        self.drip = False  # answers come a byte at a time and do not end
        self.over = threading.Event()
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def answer(self) -> None:
        if self.server.drip:
            self.send_response(200)
            self.send_header("content-length", "1000000")
            self.end_headers()
            with suppress(OSError):  # until the client is gone
                while not self.server.over.wait(0.05):
                    self.wfile.write(b".")
            return
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        code = self.server.codes.pop() if self.server.codes else 200
        self.send_response(code)
        self.send_header("content-length", "0")
        self.send_header("x-tidegate-pool", "ocr/default")
        if code == 503:
            self.send_header("x-tidegate-refused", "queue_full")
        elif code == 200:
            self.send_header("x-tidegate-replica", "ocr-default-1")
        self.end_headers()

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def state(gateway: Gateway) -> Iterator[Path]:
    now = status(pool("ocr", [replica("ocr-default-1")], within_s=30.0, promised_ratio=0.9))
    url = f"http://127.0.0.1:{gateway.server_address[1]}/ocr/"
    services = tuple(replace(s, url=url) for s in now.services)
    with running(FakeControl(replace(now, services=services))) as folder:
        yield folder


def bench(state: Path, *words: str):  # type: ignore[no-untyped-def]
    return run("bench", "ocr", *SHORT, *words, "--state", str(state))


def test_answers_are_counted_by_pool_beside_its_promise(state: Path, gateway: Gateway):
    gateway.codes = [503]
    told = json.loads(bench(state, "--json").stdout)
    (seen,) = told["pools"]
    assert seen["pool"] == "ocr/default"
    assert seen["codes"] == {"200": told["sent"] - 1, "503 queue_full": 1}
    assert seen["in_time_ratio"] == pytest.approx(1 - 1 / told["sent"])
    assert (seen["within_s"], seen["promised_ratio"], seen["kept"]) == (30.0, 0.9, True)
    assert seen["replicas"] == ["ocr-default-1"]
    assert seen["ready"] == [1, 1]
    assert told["sent"] == len(gateway.seen)


def test_a_broken_promise_is_said_and_fails_when_strict(state: Path, gateway: Gateway):
    gateway.codes = [500] * 100
    done = bench(state, "--strict")
    assert done.exit_code == 1
    assert "broken: 90.000% within 30 s" in done.stdout
    assert bench(state, "--strict").exit_code == 1


def test_a_wrong_request_is_the_clients_fault_and_no_broken_promise(state: Path, gateway: Gateway):
    gateway.codes = [415] * 3
    done = bench(state, "--strict")
    assert done.exit_code == 0
    assert "3 requests were refused as wrong (415)" in done.stderr


def test_where_every_request_was_wrong_nothing_was_measured_and_strict_fails(state: Path, gateway: Gateway):
    gateway.codes = [404] * 100
    done = bench(state, "--strict")
    assert done.exit_code == 1
    assert "nothing was measured" in done.stderr


def test_an_answer_that_does_not_end_is_given_up(state: Path, gateway: Gateway):
    gateway.drip = True
    told = json.loads(bench(state, "--timeout", "300ms", "--json").stdout)
    assert told["pools"][-1]["codes"] == {"TimeoutError": told["sent"]}
    assert not told["kept"]


def test_bodies_are_taken_by_lot_and_named_by_their_kind(state: Path, gateway: Gateway, tmp_path: Path):
    small, large = tmp_path / "a.jpg", tmp_path / "b.png"
    small.write_bytes(b"small")
    large.write_bytes(b"large")
    bench(state, "--path", "/v1/read", "--body", str(small), "--body", str(large), "-H", "x-api-key: tgk_1")
    kinds = {(method, path, headers["content-type"], body) for method, path, headers, body in gateway.seen}
    assert kinds == {
        ("POST", "/ocr/v1/read", "image/jpeg", b"small"),
        ("POST", "/ocr/v1/read", "image/png", b"large"),
    }
    assert {headers["x-api-key"] for _, _, headers, _ in gateway.seen} == {"tgk_1"}


def test_parts_make_a_form(state: Path, gateway: Gateway, tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"portrait")
    bench(state, "--part", f"user={tmp_path / 'a.jpg'}", "--method", "PUT")
    method, _, headers, body = gateway.seen[0]
    assert method == "PUT"
    assert headers["content-type"].startswith("multipart/form-data")
    assert b'name="user"; filename="a.jpg"' in body
    assert b"portrait" in body


def test_a_gateway_that_is_gone_is_counted(state: Path, gateway: Gateway):
    gateway.shutdown()
    gateway.server_close()
    told = json.loads(bench(state, "--json").stdout)
    assert told["pools"][-1] == told["pools"][-1] | {"pool": "", "codes": {"ConnectError": told["sent"]}}
    assert not told["kept"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(("--body", "nowhere.jpg"), "nowhere.jpg: No such file", id="no file"),
        pytest.param(("--part", "portrait"), "expected NAME=FILE", id="part"),
        pytest.param(("--header", "portrait"), "expected NAME: VALUE", id="header"),
        pytest.param(("--header", "x y: 1"), "expected NAME: VALUE", id="name of a header"),
        pytest.param(("--header", "x: \N{SNOWMAN}"), "cannot be sent", id="value of a header"),
        pytest.param(("--method", "GET /"), "expected a word", id="method"),
        pytest.param(("--path", "a\nb"), "cannot be sent", id="path"),
        pytest.param(("--timeout", "soon"), '--timeout: got "soon"', id="timeout"),
        pytest.param(("--timeout", "0s"), "above 0", id="no time"),
        pytest.param(("--from", "soon"), '--from: got "soon"', id="from"),
        pytest.param(("--scale", "-1"), "finite number above 0", id="scale"),
        pytest.param(("--body", "a", "--part", "a=b"), "do not go together", id="both"),
    ],
)
def test_what_cannot_be_sent_is_said_in_a_sentence(state: Path, words: tuple[str, ...], says: str):
    done = bench(state, *words)
    assert done.exit_code in (1, 2)
    assert says in done.stderr


def test_an_unknown_service_names_the_known_ones(state: Path):
    assert "there are: ocr" in run("bench", "nope", "--state", str(state)).stderr


def test_arrivals_follow_the_trace_and_repeat_by_the_seed():
    trace = trace_files.read("step:mean=10,factor=3,length=1000s")
    drawn = list(arrivals(trace, seed=1))
    assert drawn == list(arrivals(trace, seed=1))
    assert drawn == sorted(drawn)
    assert sum(at < 500 for at in drawn) == pytest.approx(5_000, abs=5 * math.sqrt(5_000))
    assert sum(at >= 500 for at in drawn) == pytest.approx(15_000, abs=5 * math.sqrt(15_000))
    gaps = [b - a for a, b in itertools.pairwise(drawn) if b < 500]
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.1)


def test_late_answers_and_lost_ones_break_a_promise_and_wrong_requests_do_not():
    tally = PoolTally(within_s=2.0, promised=0.9, answered_s=[0.1] * 9 + [2.5], faulty=7)
    assert tally.success == 0.9
    assert tally.kept
    tally.lost = 1
    assert not tally.kept
    assert PoolTally(2.0, 0.9).kept
    assert not Result("ocr").kept, "nothing was sent, so nothing was shown"
