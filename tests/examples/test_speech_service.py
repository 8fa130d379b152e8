"""The speech service as its clients see it."""

from __future__ import annotations

import base64
import io
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

NEEDS = "pip install 'tidegate[examples-speech]'"
np = pytest.importorskip("numpy", reason=NEEDS)
soundfile = pytest.importorskip("soundfile", reason=NEEDS)
pytest.importorskip("onnxruntime", reason=NEEDS)
pytest.importorskip("python_multipart", reason=NEEDS)

from speech_segments.work import RECORDINGS  # noqa: E402

AUSTEN = (RECORDINGS / "austen.flac").read_bytes()
IN_BASE64 = base64.b64encode(AUSTEN).decode()


@pytest.fixture(scope="module")
def service(running):
    with running("speech", "speech_segments", SPEECH_MAX_SECONDS="60", SPEECH_MAX_BYTES="2000000") as service:
        yield service


@pytest.fixture
def client(service):
    with httpx.Client(base_url=service.url, timeout=120) as client:
        yield client


def ask(client, content=AUSTEN, kind: str | None = "audio/flac", **options):
    headers = {"content-type": kind} if kind else {}
    return client.post("/v1/segments", content=content, headers=headers, params=options)


def code(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_recording_gives_its_segments(client):
    answer = ask(client)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["format"], body["rate"], body["channels"]) == ("FLAC", 16_000, 1)
    assert len(body["segments"]) == 3
    total = sum(s["end"] - s["start"] for s in body["segments"])
    assert body["speech_seconds"] == pytest.approx(total, abs=0.01)
    assert 0 < body["speech_seconds"] < body["seconds"]
    assert answer.headers["x-served-by"] == "replica-1"
    assert float(answer.headers["server-timing"].removeprefix("compute;dur=")) > 0


def test_every_kind_of_body_gives_the_same_answer(client):
    expected = ask(client).json()
    assert ask(client, kind="application/octet-stream").json() == expected
    assert client.post("/v1/segments", files={"audio": AUSTEN}).json() == expected
    assert client.post("/v1/segments", json={"audio": IN_BASE64}).json() == expected
    assert client.post("/v1/segments", json={"audio": f"data:audio/flac;base64,{IN_BASE64}"}).json() == expected


def test_the_speech_alone_comes_back_as_wav(client):
    seconds = ask(client).json()["speech_seconds"]
    for answer in (
        ask(client, response="wav"),
        client.post("/v1/segments", json={"audio": IN_BASE64, "response": "wav"}),
        client.post("/v1/segments", files={"audio": AUSTEN}, headers={"accept": "audio/wav"}),
    ):
        assert answer.headers["content-type"] == "audio/wav"
        samples, rate = soundfile.read(io.BytesIO(answer.content))
        assert len(samples) / rate == pytest.approx(seconds, abs=0.01)


def test_options_are_obeyed_wherever_they_stand(client):
    for answer in (
        ask(client, min_silence=5),
        client.post("/v1/segments", files={"audio": AUSTEN}, data={"min_silence": "5"}),
        client.post("/v1/segments", json={"audio": IN_BASE64, "min_silence": 5}),
    ):
        assert len(answer.json()["segments"]) == 1


@pytest.mark.parametrize(
    ("content", "kind", "options", "expected"),
    [
        (b"", "audio/wav", {}, (400, "empty_audio")),
        (b"no sound", "audio/wav", {}, (400, "not_audio")),
        (b"\0\0\0\x20ftypM4A " + bytes(64), "audio/mp4", {}, (415, "unsupported_media_type")),
        (AUSTEN, "image/jpeg", {}, (415, "unsupported_media_type")),
        (AUSTEN, None, {}, (415, "unsupported_media_type")),
        (bytes(2_000_001), "audio/wav", {}, (413, "body_too_large")),
        (AUSTEN, "audio/flac", {"threshold": "loud"}, (400, "bad_option")),
        (AUSTEN, "audio/flac", {"threshold": "nan"}, (400, "bad_option")),
        (AUSTEN, "audio/flac", {"pad": -1}, (400, "bad_option")),
        (AUSTEN, "audio/flac", {"volume": 3}, (400, "bad_option")),
        (AUSTEN, "audio/flac", {"response": "mp3"}, (400, "bad_option")),
        (b"{", "application/json", {}, (400, "bad_body")),
        (b"[]", "application/json", {}, (400, "bad_body")),
        (b"{}", "application/json", {}, (400, "missing_field")),
        (b'{"audio": 7}', "application/json", {}, (400, "bad_body")),
        (b'{"audio": "%"}', "application/json", {}, (400, "bad_body")),
        (b"x", "multipart/form-data; boundary=y", {}, (400, "bad_body")),
        (b"--y--\r\n", "multipart/form-data; boundary=y", {}, (400, "missing_field")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
def test_what_cannot_be_done_has_a_code(client, content, kind, options, expected):
    assert code(ask(client, content, kind, **options)) == expected


def test_a_recording_that_is_too_long_is_refused(client):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(61 * 8_000, np.float32), 8_000, format="FLAC")
    assert code(ask(client, file.getvalue())) == (413, "too_long")


def test_a_body_without_a_declared_length_is_bounded_too(client):
    assert code(ask(client, (bytes(100_000) for _ in range(30)), "audio/wav")) == (413, "body_too_large")


def test_many_at_once_are_all_answered_and_health_meanwhile(client):
    alone = ask(client).json()
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, client) for _ in range(8)]
        looks = 0
        while not all(answer.done() for answer in answers):
            assert client.get("/healthz").status_code == 200
            looks += 1
        assert all(answer.result().json() == alone for answer in answers)
    assert looks > 8  # were the loop blocked by the work, it would answer once between two pieces of it


def test_the_page_works_below_any_prefix(client):
    page = client.get("/").text
    assert client.get("/examples/austen.flac").content == AUSTEN
    assert code(client.get("/examples/..%2fapp.flac")) == (404, "not_found")
    for absolute in ('src="/', 'href="/', 'fetch("/', "http://", "https://"):
        assert absolute not in page.replace("http://www.w3.org/2000/svg", "")


def test_sigterm_lets_requests_in_flight_end(running, counting):
    with running("speech", "speech_segments") as service, ThreadPoolExecutor(4) as pool:
        client, sent = counting(service.url)
        with client:
            answers = [pool.submit(ask, client) for _ in range(8)]
            deadline = time.monotonic() + 60
            while len(sent) < 8:
                assert time.monotonic() < deadline
            service.process.send_signal(signal.SIGTERM)
            assert [answer.result().status_code for answer in answers] == [200] * 8
        assert service.process.wait(60) == 0


@pytest.mark.parametrize(("address", "status"), [(None, 0), ("127.0.0.1:1", 1)], ids=["alive", "dead"])
def test_the_warm_up_script_tells_a_good_replica_from_a_dead_one(service, probe, address, status):
    ended = probe(service, "warm_up.py", address)
    assert ended.returncode == status, ended.stdout + ended.stderr
    assert ("found 3 segments" in ended.stdout) == (status == 0)
