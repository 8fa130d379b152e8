"""Laws of the screen on mutated inputs, and bounded work on inputs made to cost much. `fuzz.py` states the laws."""

import base64

import pytest

from gateway.screen.fuzz import Fuzzer, fuzz
from gateway.screen.wrapping import multipart, part

MEGABYTE = 1_000_000


def test_no_law_is_broken_on_mutated_media():
    fuzz(seed=1, count=20_000)


def flac_of_frame_headers() -> bytes:
    info = bytes([16, 0, 16, 0]) + bytes(6) + bytes.fromhex("0ac442f000000000") + bytes(16)
    return b"fLaC\0\0\0\x22" + info + b"\xff\xf8\x18\x18" * (MEGABYTE // 4)


GIF = b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2"

# About half a second of Lua; the proxy lets other requests run in between.
MOST_STEPS = 25_000_000

COSTLY = {
    "gif of blocks of one byte": (GIF + b"\1\0" * (MEGABYTE // 2), "image/gif"),
    "flac of frame headers": (flac_of_frame_headers(), "audio/flac"),
    "jpeg of fill bytes": (b"\xff\xd8" + b"\xff" * MEGABYTE, "image/jpeg"),
    "jpeg of empty segments": (b"\xff\xd8" + b"\xff\xfe\0\2" * (MEGABYTE // 4), "image/jpeg"),
    "sync words behind a tag": (b"ID3\4\0\0\0\0\0\0" + b"\xff\xfb" * (MEGABYTE // 2), "audio/mpeg"),
    "ogg pages of nothing": ((b"OggS" + bytes(23)) * (MEGABYTE // 27), "audio/ogg"),
    "boxes of eight bytes": (b"\0\0\0\x08ftyp" + b"\0\0\0\x08free" * (MEGABYTE // 8), "video/mp4"),
    "webm of void": (
        bytes.fromhex("1a45dfa380 1853806701ffffffffffffff".replace(" ", "")) + b"\xec\x80" * (MEGABYTE // 2),
        "video/webm",
    ),
    "tiff of directories": (b"II*\0\x08\0\0\0" + b"\1\0" * (MEGABYTE // 2), "image/tiff"),
    "strings": (b"[" + b'"' + b'","'.join([b"a" * 45] * (MEGABYTE // 48)) + b'"]', "application/json"),
    "strings that look like pictures": (
        b'["' + b'","'.join([base64.b64encode(b"\xff\xd8\xff" + b"\xff\xe0\0\2" * 10)] * (MEGABYTE // 60)) + b'"]',
        "application/json",
    ),
    "escaped quotes": (b'["' + b'\\"' * (MEGABYTE // 2) + b'"]', "application/json"),
    "noise between letters": (b'["' + b"!a" * (MEGABYTE // 2) + b'"]', "application/json"),
    "backslashes": (b'["' + b"\\" * MEGABYTE + b'"]', "application/json"),
    "parts": (multipart(*[part("a", b"b")] * (MEGABYTE // 90), boundary="b"), "multipart/form-data; boundary=b"),
    "almost boundaries": (b"--b\r\n\r\n" + b"\n--b" * (MEGABYTE // 4), "multipart/form-data; boundary=b"),
    "fields": (b"a=b&" * (MEGABYTE // 4), "application/x-www-form-urlencoded"),
    "escapes": (b"a=" + b"%2B" * (MEGABYTE // 3), "application/x-www-form-urlencoded"),
    "spaces": (b" " * MEGABYTE, "text/plain"),
}


@pytest.mark.parametrize("name", COSTLY)
def test_the_work_is_bounded_on_costly_inputs(name):
    fuzzer = Fuzzer()
    fuzzer.say(*COSTLY[name])
    assert fuzzer.steps <= MOST_STEPS
