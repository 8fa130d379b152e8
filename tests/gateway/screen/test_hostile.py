"""Bombs, lies and muddles: what is refused, what counts as unread, and what must not be mistaken for a medium."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib

import pytest
from PIL import Image

from gateway.screen.wrapping import BOUNDARY, multipart, part
from tidegate.gateway.screening import MediaFacts, MediaLimits, screen_bytes

FORM = f"multipart/form-data; boundary={BOUNDARY}"


def jpeg(width: int = 64, height: int = 48) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(out, "JPEG")
    return out.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rest = b"".join(chunk(*one) for one in chunks) + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + rest


def frame_header(width: int, height: int) -> bytes:
    return b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\1\x22\0\2\x11\1\3\x11\1"


def screened(data: bytes, content_type: str = "", **limits: object) -> MediaFacts:
    return screen_bytes(data, content_type, MediaLimits(**limits))  # type: ignore[arg-type]


SCAN = b"\xff\xda" + b"\0" * 40

REFUSED = {
    "png of 100 000 x 100 000": (png(100_000, 100_000), "media_contradictory"),
    "png wider than the format allows": (png(2**31, 1), "media_contradictory"),
    "png without pixels": (png(0, 10), "media_contradictory"),
    "png with two headers": (png(9, 9, (b"IHDR", b"\0" * 13)), "media_contradictory"),
    "png cut in its header": (png(9, 9)[:20], "media_truncated"),
    "jpeg cut before its size": (jpeg()[:100], "media_truncated"),
    "jpeg of 65000 x 65000 in 200 bytes": (b"\xff\xd8" + frame_header(65000, 65000) + SCAN, "media_contradictory"),
    "jpeg with two sizes": (b"\xff\xd8" + frame_header(8, 8) + frame_header(9, 9) + SCAN, "media_contradictory"),
    "jpeg without a height": (b"\xff\xd8" + frame_header(8, 0) + SCAN, "media_contradictory"),
    "jpeg with a scan and no size": (b"\xff\xd8" + SCAN, "media_contradictory"),
    "jpeg with a segment of length 1": (b"\xff\xd8\xff\xe0\0\1" + b"\0" * 40, "media_contradictory"),
    "jpeg of empty segments": (b"\xff\xd8" + b"\xff\xfe\0\2" * 5000 + jpeg()[2:], "media_too_complex"),
    "gif without a picture": (b"GIF89a" + b"\1\0\1\0\0\0\0;" + b"\0" * 20, "media_truncated"),
    "bmp that holds less than it says": (
        b"BM" + struct.pack("<IHHIIiiHHII", 90, 0, 0, 54, 40, 30000, 30000, 1, 24, 0, 0) + b"\0" * 40,
        "media_truncated",
    ),
    "webp of another signature": (b"RIFF\x40\0\0\0WEBPVP8 \x30\0\0\0" + b"\0" * 60, "media_contradictory"),
    "tiff that is a loop": (b"II*\0\x08\0\0\0\1\0\0\1\3\0\1\0\0\0\7\0\0\0\x08\0\0\0", "media_contradictory"),
    "mp4 with an index that is cut": (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\1\0moov" + b"\0" * 30, "media_truncated"),
    "heic without a size": (b"\0\0\0\x10ftypheic\0\0\0\0\0\0\0\x0cmeta\0\0\0\0", "media_contradictory"),
    "wav without a rate": (
        b"RIFF\x40\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 1, 1, 0, 0, 2, 16) + b"data\4\0\0\0\0\0\0\0",
        "media_contradictory",
    ),
    "webm cut in its tracks": (
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff\x16\x54\xae\x6b\x90\xae",
        "media_truncated",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_lie_is_refused_with_its_code(name):
    data, code = REFUSED[name]
    assert screened(data).refusal == code


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_medium_is_never_known_and_small(name):
    facts = screened(REFUSED[name][0])
    assert not facts.known or facts.kind == "audio"


def test_a_flat_picture_that_really_packs_well_is_no_bomb():
    out = io.BytesIO()
    Image.new("RGB", (8000, 8000), "white").save(out, "PNG", optimize=True)
    assert screened(out.getvalue()).refusal is None


def test_of_two_places_the_larger_counts():
    out = io.BytesIO()
    Image.new("RGBA", (50, 40)).save(out, "WEBP", lossless=True, exif=b"Exif\0\0x")
    data = bytearray(out.getvalue())
    assert data[12:16] == b"VP8X"
    data[24:30] = bytes(6)  # a canvas of 1 x 1 around a picture of 50 x 40
    facts = screened(bytes(data))
    assert (facts.width, facts.height) == (50, 40)


def test_more_frames_than_the_header_says_count():
    frames = tuple((b"fcTL", bytes(26)) for _ in range(7))
    assert screened(png(9, 9, (b"acTL", struct.pack(">II", 2, 0)), *frames)).frames == 7


LIMITS = {
    "pixels": ({"pixels": 64 * 48 - 1}, "media_too_many_pixels"),
    "side": ({"side": 63}, "media_too_many_pixels"),
    "bytes": ({"bytes": 10}, "media_too_many_bytes"),
    "kinds": ({"kinds": ("audio", "video")}, "media_unsupported_type"),
    "types": ({"types": ("png", "webp")}, "media_unsupported_type"),
    "frames": ({"frames": 0}, "media_too_many_frames"),
    "count": ({"count": 1}, "media_too_many"),
    "total pixels": ({"total_pixels": 2 * 64 * 48 - 1}, "media_too_many_pixels"),
    "total bytes": ({"total_bytes": 2 * len(jpeg()) - 1}, "media_too_many_bytes"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_two_pictures_meet_each_limit(name):
    limits, code = LIMITS[name]
    body = multipart(part("a", jpeg(), "image/jpeg", "a.jpg"), part("b", jpeg(), "image/jpeg", "b.jpg"))
    assert screened(body, FORM, **limits).refusal == code
    assert screened(body, FORM).refusal is None


def test_seconds_are_limited():
    data = b"RIFF\x40\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 1, 1, 100, 100, 1, 8)
    data += b"data" + struct.pack("<I", 1000) + bytes(1000)
    assert screened(data, seconds=10).refusal is None
    assert screened(data, seconds=9.9).refusal == "media_too_long"
    assert screened(data, total_seconds=9.9).refusal == "media_too_long"


def test_of_several_media_the_largest_and_the_sum_are_told():
    parts = [part(name, jpeg(*size), "image/jpeg", "a") for name, size in (("a", (10, 10)), ("b", (30, 20)))]
    facts = screened(multipart(*parts), FORM)
    assert (facts.count, facts.width, facts.pixels, facts.total_pixels) == (2, 30, 600, 700)


NO_MEDIA = {
    "nothing": (b"", ""),
    "json": (json.dumps({"prompt": "a" * 50 + " long text " * 50, "n": [1, 2]}).encode(), "application/json"),
    "json of a plain sender": (b'{"prompt": "hello"}', "application/x-www-form-urlencoded"),
    "form": (b"a=1&text=" + b"hello+world+" * 100, "application/x-www-form-urlencoded"),
    "fields": (multipart(part("a", b"BMW is a car, and this is text about it")), FORM),
    "empty file": (multipart(part("a", b"", "application/octet-stream", "x")), FORM),
    "token": (json.dumps({"t": ("eyJhbGciOiJIUzI1NiJ9." * 80)}).encode(), "application/json"),
    "chinese": (json.dumps({"t": "\u4f60\u597d" * 400}, ensure_ascii=False).encode(), "application/json"),
}


@pytest.mark.parametrize("name", NO_MEDIA)
def test_requests_without_media_have_none(name):
    data, content_type = NO_MEDIA[name]
    facts = screened(data, content_type)
    assert (facts.count, facts.kind, facts.refusal) == (0, "none", None)
    assert screened(data, content_type, required=True).refusal == "media_missing"


UNREAD = {
    "raw bytes": (b"\1\2\3\4" * 500, "application/octet-stream", "other", 2000),
    "raw samples": (b"\1\2\3\4" * 500, "audio/l16", "audio", 2000),
    "samples in json": (
        json.dumps({"s": base64.b64encode(b"\1\2" * 900).decode()}).encode(),
        "text/json",
        "other",
        1800,
    ),
    "data uri": (b'{"s": "data:image/tga;base64,' + b"AQID" * 30 + b'"}', "application/json", "image", 90),
    "file": (multipart(part("a", b"\1" * 700, "video/x-own", "v")), FORM, "video", 700),
    "known by name": (b"FLV\1\5\0\0\0\x09" + b"\0" * 91, "", "video", 100),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_cannot_be_read_is_judged_by_its_bytes(name):
    data, content_type, kind, size = UNREAD[name]
    facts = screened(data, content_type)
    assert (facts.count, facts.kind, facts.known, facts.bytes) == (1, kind, False, size)
    assert facts.pixels == (0 if kind == "audio" else size * 1024)
    assert facts.seconds == (0 if kind == "image" else size / 1000)


def test_what_is_judged_refuses_nobody():
    assert screened(b"\1\2\3\4" * 5000, "image/x-own", pixels=10, total_pixels=10, seconds=1).refusal is None


MUDDLES = {
    "no boundary": (multipart(part("a", jpeg())), "multipart/form-data", "media_malformed"),
    "two boundaries": (multipart(part("a", jpeg())), FORM + "; boundary=b", "media_malformed"),
    "no part": (b"hello", FORM, "media_malformed"),
    "no end": (multipart(part("a", jpeg(), "image/jpeg", "a"))[:-40], FORM, "media_truncated"),
    "json in utf-16": ('{"a": "b"}'.encode("utf-16"), "application/json", "media_malformed"),
    "open string": (b'{"a": "b', "application/json", "media_truncated"),
}


@pytest.mark.parametrize("name", MUDDLES)
def test_a_muddled_container_is_refused(name):
    data, content_type, code = MUDDLES[name]
    assert screened(data, content_type).refusal == code


def test_letters_behind_the_padding_are_a_lie():
    text = base64.b64encode(jpeg()[:301]).decode() + base64.b64encode(jpeg(4000, 3000)).decode()
    assert screened(json.dumps({"a": text}).encode(), "application/json").refusal == "media_contradictory"


def test_containers_within_containers_end_somewhere():
    body, content_type = jpeg(), "image/jpeg"
    for depth in range(6):
        boundary = f"level{depth}"
        body = multipart(part("a", body, content_type), boundary=boundary)
        content_type = f"multipart/mixed; boundary={boundary}"
    assert screened(body, content_type).refusal == "media_too_complex"


def test_json_in_a_part_is_looked_into():
    text = json.dumps({"image": base64.b64encode(jpeg()).decode()}).encode()
    assert screened(multipart(part("a", text, "application/json")), FORM).type == "jpeg"


def test_a_picture_under_the_name_of_json_is_a_picture():
    assert screened(jpeg(), "application/json").type == "jpeg"


def test_a_picture_in_front_of_the_first_part_counts_as_well():
    body = jpeg(800, 600) + b"\r\n" + multipart(part("a", jpeg(8, 8), "image/jpeg", "a"))
    facts = screened(body, FORM)
    assert (facts.count, facts.pixels) == (2, 480_000)


def test_a_line_that_only_begins_like_the_boundary_is_content():
    data = jpeg() + b"\r\n--" + BOUNDARY.encode() + b"X\r\n" + b"tail"
    assert screened(multipart(part("a", data, "image/jpeg", "a")), FORM).bytes == len(data)
