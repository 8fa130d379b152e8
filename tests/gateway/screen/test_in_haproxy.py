"""The screen inside a real HAProxy: what a replica is told, and what is refused before it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.screen.corpus import corpus
from gateway.screen.proxy import media_headers, screened
from gateway.screen.wrapping import WRAPPINGS, multipart, part
from tidegate.gateway.screening import MediaFacts, MediaLimits, screen_bytes


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with screened(tmp_path_factory.mktemp("haproxy")) as client:
        yield client


def expected(facts: MediaFacts) -> dict[str, str]:
    whole = ("type", "width", "height", "pixels", "frames", "bytes", "count")
    told = {name: str(getattr(facts, name)) for name in whole}
    return told | {"seconds": f"{facts.seconds:.3f}", "known": str(int(facts.known))}


def test_a_replica_is_told_what_python_says_of_raw_bodies(proxy):
    for sample in corpus():
        answer = proxy.post("/", content=sample.data, headers={"content-type": sample.mime})
        assert media_headers(answer) == expected(screen_bytes(sample.data, sample.mime)), sample.name


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_replica_is_told_what_python_says_of_wrapped_bodies(proxy, wrapping):
    for sample in [one for one in corpus() if len(one.data) < 30_000][::5]:
        body, content_type = WRAPPINGS[wrapping](sample.data, sample.mime)
        answer = proxy.post("/", content=body, headers={"content-type": content_type})
        assert media_headers(answer) == expected(screen_bytes(body, content_type)), sample.name


def test_chunked_bodies_are_read_like_others(proxy):
    sample = corpus()[3]
    pieces = (sample.data[i : i + 999] for i in range(0, len(sample.data), 999))
    answer = proxy.post("/", content=pieces, headers={"content-type": sample.mime})
    assert media_headers(answer) == expected(screen_bytes(sample.data))


def test_what_a_client_claims_in_media_headers_is_dropped(proxy):
    answer = proxy.post("/", content=b"hello", headers={"x-media-pixels": "1", "x-media-own": "2"})
    assert media_headers(answer) == expected(screen_bytes(b"hello"))


def test_a_request_without_a_body_has_no_media(proxy):
    assert media_headers(proxy.get("/"))["count"] == "0"


def test_variables_are_numbers(proxy):
    sample = corpus()[0]
    answer = proxy.post("/", content=sample.data)
    assert answer.text.endswith(f"pixels:{screen_bytes(sample.data).total_pixels + 1}")


def test_a_condition_on_pixels_takes_the_large(proxy):
    samples = [sample for sample in corpus() if sample.name in {"jpeg-(1201, 1600)", "jpeg-(640, 480)"}]
    huge = {one.name: "x-huge" in proxy.post("/", content=one.data).text for one in samples}
    assert huge == {"jpeg-(1201, 1600)": True, "jpeg-(640, 480)": False}


def test_a_compressed_body_is_refused(proxy):
    answer = proxy.post("/", content=corpus()[0].data, headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.text) == (422, "media_encoded")


ENCODINGS = {
    "identity last": [("content-encoding", "gzip, identity")],
    "identity first": [("content-encoding", "identity"), ("content-encoding", "gzip")],
    "two headers": [("content-encoding", "gzip"), ("content-encoding", "identity")],
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_no_way_of_naming_an_encoding_passes(proxy, name):
    assert proxy.post("/", content=corpus()[0].data, headers=ENCODINGS[name]).text == "media_encoded"


def test_a_boundary_with_a_comma_arrives_whole(proxy):
    sample = corpus()[2]
    body = multipart(part("file", sample.data, sample.mime, "a.jpg"), boundary="a,b")
    for content_type in ('multipart/form-data; boundary="a,b"', "multipart/form-data; boundary=a,b"):
        answer = proxy.post("/", content=body, headers={"content-type": content_type})
        assert media_headers(answer) == expected(screen_bytes(sample.data, sample.mime))


def test_of_two_content_types_the_container_counts(proxy):
    sample = corpus()[2]
    body, content_type = WRAPPINGS["form_data"](sample.data, sample.mime)
    for types in ([content_type, "image/jpeg"], ["image/jpeg", content_type]):
        answer = proxy.post("/", content=body, headers=[("content-type", one) for one in types])
        assert media_headers(answer) == expected(screen_bytes(sample.data, sample.mime))


def test_numbers_beyond_32_bits_meet_conditions(proxy):
    row = struct.pack("<IHHIIiiHHII", 90, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 8, 1, 0)
    answer = proxy.post("/", content=b"BM" + row + bytes(40))
    assert "x-huge" in answer.text
    assert answer.text.endswith(f"pixels:{2**53 + 1}")


def test_limits_of_the_configuration_refuse(tmp_path: Path):
    limits = MediaLimits(pixels=640 * 480 - 1, kinds=("image",), required=True)
    samples = {sample.name: sample for sample in corpus()}
    with screened(tmp_path, limits) as client:
        codes = {
            name: client.post("/", content=samples[name].data).text.partition(" ")[0]
            for name in ("jpeg-(640, 480)", "mp3-bare")
        }
        assert codes == {"jpeg-(640, 480)": "media_too_many_pixels", "mp3-bare": "media_unsupported_type"}
        assert client.get("/").text == "media_missing"
        assert client.post("/", content=samples["jpeg-(33, 7)"].data).status_code == 200
