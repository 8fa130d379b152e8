"""The service as its clients see it: a process, its routes, its errors, its end."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

NEEDS = "pip install 'tidegate[examples]'"
cv2 = pytest.importorskip("cv2", reason=NEEDS)
np = pytest.importorskip("numpy", reason=NEEDS)
pytest.importorskip("python_multipart", reason=NEEDS)

from face_fusion import settings  # noqa: E402
from face_fusion.workers import PORTRAITS  # noqa: E402

ASTRONAUT = (PORTRAITS / "astronaut.jpg").read_bytes()
HOPPER = (PORTRAITS / "hopper.jpg").read_bytes()
GREY = cv2.imencode(".png", np.full((200, 200, 3), 128, np.uint8))[1].tobytes()
BIG = cv2.imencode(".png", np.zeros((2500, 2500), np.uint8))[1].tobytes()
TWO = cv2.imencode(".jpg", np.hstack([cv2.imdecode(np.frombuffer(HOPPER, np.uint8), 1)] * 2))[1].tobytes()


@pytest.fixture(scope="module")
def service(running):
    limits = {"FACE_FUSION_MAX_PIXELS": "6000000", "FACE_FUSION_MAX_BYTES": "3000000"}
    with running("face-fusion", "face_fusion", **limits) as service:
        yield service


@pytest.fixture
def client(service):
    with httpx.Client(base_url=service.url, timeout=120) as client:
        yield client


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def form(client, template=ASTRONAUT, user=HOPPER, **options):
    return client.post("/v1/fuse", files={"template": template, "user": user}, data=options)


def code(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_form_gives_a_jpeg_and_the_time_of_each_step(client):
    answer = form(client)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert cv2.imdecode(np.frombuffer(answer.content, np.uint8), 1).shape == (512, 512, 3)
    assert answer.headers["x-served-by"] == "replica-1"
    steps = [step.split(";dur=") for step in answer.headers["server-timing"].split(", ")]
    assert [name for name, _ in steps] == ["decode", "template_face", "user_face", "warp", "colour", "blend", "encode"]
    assert all(float(ms) >= 0 for _, ms in steps)


def test_every_kind_of_body_gives_the_same_picture(client):
    plain = form(client).content
    texts = {"template": in_base64(ASTRONAUT), "user": f"data:image/jpeg;base64,{in_base64(HOPPER)}"}
    assert client.post("/v1/fuse", json=texts).content == plain
    assert client.post("/v1/fuse", data=texts, files={"nothing": b""}).status_code == 400  # an unknown field is said
    wrapped = texts | {"template": in_base64(ASTRONAUT).replace("A", "A\n")}
    answer = client.post("/v1/fuse", json=wrapped | {"response": "json"}).json()
    assert base64.b64decode(answer["image"]) == plain
    assert (answer["media_type"], answer["width"], answer["height"]) == ("image/jpeg", 512, 512)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [("application/json", "application/json"), ("*/*", "image/jpeg"), ("image/*, application/json", "image/jpeg")],
)
def test_the_answer_is_json_for_whoever_accepts_only_that(client, accept, media_type):
    body = {"template": in_base64(ASTRONAUT), "user": in_base64(HOPPER)}
    answer = client.post("/v1/fuse", json=body, headers={"accept": accept})
    assert answer.headers["content-type"] == media_type


def test_options_are_obeyed(client):
    assert form(client, format="png").headers["content-type"] == "image/png"
    assert len(form(client, quality="30").content) < len(form(client, quality="95").content)
    plain = form(client).content
    for option in (
        {"blend": "poisson"},
        {"blend": "feather"},
        {"shape": "0"},
        {"strength": "0.5"},
        {"denoise": "true"},
    ):
        answer = form(client, **option)
        assert answer.status_code == 200
        assert answer.content != plain


@pytest.mark.parametrize(
    ("pictures", "options", "expected"),
    [
        ({"user": GREY}, {}, (422, "no_face")),
        ({"template": TWO}, {}, (422, "several_faces")),
        ({"user": b"no picture"}, {}, (400, "not_an_image")),
        ({"user": ASTRONAUT[:300]}, {}, (400, "not_an_image")),
        ({"user": b"GIF89a" + bytes(50)}, {}, (415, "unsupported_media_type")),
        ({"user": b""}, {}, (400, "empty_picture")),
        ({"template": BIG}, {}, (413, "too_large")),
        ({}, {"blend": "magic"}, (400, "bad_option")),
        ({}, {"shape": "nan"}, (400, "bad_option")),
        ({}, {"shape": "2"}, (400, "bad_option")),
        ({}, {"quality": "best"}, (400, "bad_option")),
        ({}, {"denoise": "perhaps"}, (400, "bad_option")),
        ({}, {"colour": "red"}, (400, "bad_option")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
def test_what_cannot_be_done_has_a_code(client, pictures, options, expected):
    assert code(form(client, **pictures, **options)) == expected


def test_the_largest_of_several_faces_can_be_asked_for(client):
    assert form(client, template=TWO, faces="largest").status_code == 200


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        (b"", None, (415, "unsupported_media_type")),
        (b"x", "text/plain", (415, "unsupported_media_type")),
        (b"{", "application/json", (400, "bad_body")),
        (b"[" * 200_000, "application/json", (400, "bad_body")),
        (b"[]", "application/json", (400, "bad_body")),
        (b"\xff\xfe", "application/json", (400, "bad_body")),
        (b"{}", "application/json", (400, "missing_field")),
        (b'{"template": 5}', "application/json", (400, "bad_body")),
        (b'{"template": "***"}', "application/json", (400, "bad_body")),
        (b'{"template": "data:image/png,abc"}', "application/json", (400, "bad_body")),
        (b"x", "multipart/form-data", (400, "bad_body")),
        (b"x", "multipart/form-data; boundary=y", (400, "bad_body")),
        (b"--y--\r\n", "multipart/form-data; boundary=y", (400, "missing_field")),
        (b"--y\r\ngarbage", "multipart/form-data; boundary=y", (400, "missing_field")),
        (b"--y\r\nno header", "multipart/form-data; boundary=y", (400, "bad_body")),
        (bytes(3_000_001), "application/json", (413, "body_too_large")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
def test_a_body_that_cannot_be_read_has_a_code(client, content, content_type, expected):
    headers = {"content-type": content_type} if content_type else {}
    assert code(client.post("/v1/fuse", content=content, headers=headers)) == expected


def test_a_body_without_a_declared_length_is_bounded_too(client):
    chunks = (bytes(100_000) for _ in range(40))
    answer = client.post("/v1/fuse", content=chunks, headers={"content-type": "application/json"})
    assert code(answer) == (413, "body_too_large")


def test_a_missing_picture_is_named(client):
    error = client.post("/v1/fuse", files={"template": ASTRONAUT}).json()["error"]
    assert (error["code"], error["field"]) == ("missing_field", "user")


def test_unknown_places_answer_in_json(client):
    assert code(client.get("/v1/fuse")) == (405, "method_not_allowed")
    assert code(client.get("/nowhere")) == (404, "not_found")
    for name in ("nobody", "..%2f..%2fapp", "%00", "a" * 300):
        assert code(client.get(f"/examples/{name}.jpg")) == (404, "not_found")


def test_the_page_works_below_any_prefix(client):
    page = client.get("/").text
    assert client.get("/examples/astronaut.jpg").content == ASTRONAUT
    for absolute in ('src="/', 'href="/', 'fetch("/', "http://", "https://"):
        assert absolute not in page.replace("http://www.w3.org/2000/svg", "")


def test_many_at_once_are_all_answered_and_health_meanwhile(client):
    alone = form(client).content
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(form, client) for _ in range(8)]
        looks = 0
        while not all(answer.done() for answer in answers):
            assert client.get("/healthz").status_code == 200
            looks += 1
        assert all(answer.result().content == alone for answer in answers)
    assert looks > 8  # were the loop blocked by the work, it would answer once between two pieces of it


def test_a_full_queue_says_busy(running):
    with (
        running("face-fusion", "face_fusion", FACE_FUSION_MAX_WAITING="0") as service,
        httpx.Client(base_url=service.url, timeout=120) as client,
        ThreadPoolExecutor(6) as pool,
    ):
        answers = [answer.result() for answer in [pool.submit(form, client, denoise="true") for _ in range(6)]]
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) >= 1
    assert codes.count(503) >= 1
    assert set(codes) == {200, 503}
    refused = [answer for answer in answers if answer.status_code == 503]
    assert all((code(a), a.headers["retry-after"]) == ((503, "busy"), "1") for a in refused)


def test_sigterm_lets_requests_in_flight_end(running, counting):
    with running("face-fusion", "face_fusion") as service, ThreadPoolExecutor(3) as pool:
        client, sent = counting(service.url)
        with client:
            answers = [pool.submit(form, client, denoise="true") for _ in range(3)]
            deadline = time.monotonic() + 60
            while len(sent) < 3 or not any(answer.done() for answer in answers):
                assert time.monotonic() < deadline
            service.process.send_signal(signal.SIGTERM)
            assert [answer.result().status_code for answer in answers] == [200] * 3
        assert service.process.wait(60) == 0


def test_a_setting_that_cannot_be_used_is_named():
    run = [sys.executable, "-m", "face_fusion"]
    env = os.environ | {"PORT": "http"}
    ended = subprocess.run(
        run, cwd=PORTRAITS.parents[1], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1
    assert "PORT: got 'http', expected a whole number" in ended.stderr


@pytest.mark.parametrize(
    ("environ", "threads"),
    [({}, 1), ({"CPU": "500m"}, 1), ({"CPU": "1.5"}, 2), ({"CPU": "4", "OMP_NUM_THREADS": "3"}, 3), ({"CPU": "x"}, 1)],
)
def test_opencv_gets_as_many_threads_as_there_are_cores(environ, threads):
    assert settings.from_environment(environ).opencv_threads == threads


@pytest.mark.parametrize("script", ["warm_up.py", "golden.py", "enough_memory.py"])
def test_probe_scripts_are_content_with_a_good_replica(service, probe, script):
    ended = probe(service, script)
    assert (ended.returncode, ended.stderr.strip()) == (0, "healthy"), ended.stdout
    assert ended.stdout.strip()


@pytest.mark.parametrize("script", ["warm_up.py", "golden.py"])
def test_probe_scripts_say_why_a_dead_replica_is_not_healthy(service, probe, script):
    ended = probe(service, script, "127.0.0.1:1")
    assert (ended.returncode, ended.stderr.strip()) == (1, "unhealthy")
    assert "refused" in ended.stdout
