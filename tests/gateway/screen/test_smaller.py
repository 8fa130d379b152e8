"""A bad input is never classed as smaller than it is: numbers that wrap round, headers that contradict each other."""

from __future__ import annotations

import struct

import pytest

from gateway.screen.corpus import family
from gateway.screen.making import sound
from gateway.screen.test_hostile import FORM, jpeg, png, screened
from gateway.screen.wrapping import multipart, part

HUGE = 2**32 - 1


def box(name: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), name) + data


def full(name: bytes, *content: bytes) -> bytes:
    return box(name, b"\0\0\0\0", *content)


def heic_meta(*sizes: tuple[int, int]) -> bytes:
    return full(b"meta", box(b"iprp", box(b"ipco", *[full(b"ispe", struct.pack(">II", *size)) for size in sizes])))


def heic(*boxes: bytes) -> bytes:
    return box(b"ftyp", b"heic\0\0\0\0mif1heic") + b"".join(boxes)


def track(
    handlers: tuple[bytes, ...] = (b"vide",),
    scale: int = 1000,
    duration: int = 1000,
    times: bytes = b"",
    stored: int = 1,
) -> bytes:
    mdhd = full(b"mdhd", struct.pack(">IIIIHH", 0, 0, scale, duration, 0, 0))
    kinds = [full(b"hdlr", bytes(4), handler, bytes(13)) for handler in handlers]
    times = times or struct.pack(">II", 1, 1000)
    stts = full(b"stts", struct.pack(">I", len(times) // 8), times)
    stsz = full(b"stsz", struct.pack(">II", 1, stored))
    entry = b"\0\0\0\x56avc1" + bytes(24) + struct.pack(">HH", 640, 480) + bytes(50)
    table = box(b"stbl", full(b"stsd", struct.pack(">I", 1), entry), stts, stsz)
    return box(b"trak", box(b"mdia", mdhd, *kinds, box(b"minf", table)))


def movie(*tracks: bytes) -> bytes:
    mvhd = full(b"mvhd", struct.pack(">IIII", 0, 0, 1000, 1000), bytes(80))
    return box(b"ftyp", b"isom\0\0\0\0isom") + box(b"moov", mvhd, *tracks)


def ebml(name: str, content: bytes) -> bytes:
    return bytes.fromhex(name) + b"\x01" + len(content).to_bytes(7, "big") + content


def webm(
    *, width: int = 64, height: int = 48, scale: int = 1_000_000, duration: float = 1000.0, cluster: bytes = b""
) -> bytes:
    info = ebml("1549a966", ebml("2ad7b1", scale.to_bytes(8, "big")) + ebml("4489", struct.pack(">d", duration)))
    video = ebml("e0", ebml("b0", width.to_bytes(8, "big")) + ebml("ba", height.to_bytes(8, "big")))
    tracks = ebml("1654ae6b", ebml("ae", ebml("d7", b"\1") + video))
    segment = ebml("18538067", info + tracks + (ebml("1f43b675", cluster) if cluster else b""))
    return ebml("1a45dfa3", ebml("4282", b"webm")) + segment


def wav(*formats: tuple[int, int, int, int, int, int], data: bytes = bytes(8000)) -> bytes:
    chunks = b"".join(b"fmt \x10\0\0\0" + struct.pack("<HHIIHH", *one) for one in formats)
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def tiff(*pages: tuple[int, int]) -> bytes:
    out = b"II*\0\x08\0\0\0"
    for k, size in enumerate(pages):
        following = len(out) + 2 + 24 + 4 if k + 1 < len(pages) else 0
        out += struct.pack("<H", 2) + b"".join(struct.pack("<HHII", 256 + n, 4, 1, size[n]) for n in (0, 1))
        out += struct.pack("<I", following)
    return out + bytes(16)


def big_tiff(offset: int) -> bytes:
    return b"II+\0\x08\0\0\0" + struct.pack("<Q", offset) + bytes(64)


LARGE_FRAME = bytes.fromhex("e7") + b"\x88" + (2**63 - 10).to_bytes(8, "big") + b"\xa3\x85\x81\x7f\xff\x80\0"

REFUSED = {
    "heic with sides near 2^32": heic(heic_meta((64, 64), (HUGE, HUGE))),
    "heic with one side near 2^32": heic(heic_meta((64, 64), (HUGE, 1))),
    "heic of 2^31 x 2^33": heic(heic_meta((2**31, 2**31 + 1))),
    "webm wider than 2^53": webm(width=2**62, height=4),
    "webm of 2^32 x 2^32": webm(width=2**32, height=2**32),
    "webm with a time near 2^63": webm(cluster=LARGE_FRAME),
    "webm with a scale near 2^63": webm(scale=2**63 - 1),
    "box of nearly 2^63 bytes": box(b"ftyp", b"isom\0\0\0\0")
    + b"\0\0\0\1moov"
    + (2**63 - 1).to_bytes(8, "big")
    + bytes(99),
    "tiff with a directory at 2^63 - 1": big_tiff(2**63 - 1),
    "tiff with a directory at -1": big_tiff(2**64 - 1),
    "tiff page of 2^31 x 2^31 beside a small one": tiff((64, 64), (2**31, 2**31)),
    "wav with two formats": wav((1, 1, 8000, 8000, 1, 8), (1, 2, 192_000, 1_536_000, 8, 32)),
    "bmp whose height has two readings": b"BM"
    + struct.pack("<IHHIIiiHHII", 90, 0, 0, 54, 40, 65, -(2**25), 1, 8, 1, 0)
    + bytes(40),
    "bmp of 2^31 - 1 columns": b"BM"
    + struct.pack("<IHHIIiiHHII", 90, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 65535, 0, 0)
    + bytes(40),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_wrap_round_is_refused(name):
    facts = screened(REFUSED[name])
    assert facts.refusal in {"media_contradictory", "media_truncated"}
    assert not facts.known or facts.kind == "audio"


LARGER = {
    "heic of two headers": (heic(heic_meta((64, 64)), heic_meta((640, 480))), 640 * 480),
    "heic with a header behind its data": (
        heic(heic_meta((64, 64)), box(b"mdat", bytes(50)), heic_meta((640, 480))),
        640 * 480,
    ),
    "heic with a larger thumbnail": (heic(heic_meta((640, 480), (64, 64))), 640 * 480),
    "tiff whose second page is larger": (tiff((64, 64), (5000, 4000)), 5000 * 4000),
    "mp4 with two handlers": (movie(track(handlers=(b"soun", b"vide"))), 640 * 480),
    "mp4 whose second track is larger": (movie(track(handlers=(b"soun",)), track()), 640 * 480),
    "ftyp box of 256 bytes": (
        struct.pack(">I", 256) + b"ftypheic" + bytes(4) + b"mif1heic".ljust(240, b"\0") + heic_meta((640, 480)),
        640 * 480,
    ),
    "icon with a png": (
        struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, 99, 22) + png(1200, 900) + bytes(12_000),
        1200 * 900,
    ),
    "jpeg behind a thumbnail": (
        jpeg()[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(jpeg(8, 8))) + jpeg(8, 8) + jpeg()[2:],
        64 * 48,
    ),
}


@pytest.mark.parametrize("name", LARGER)
def test_of_several_sizes_the_largest_counts(name):
    data, pixels = LARGER[name]
    assert (screened(data).refusal, screened(data).pixels) == (None, pixels)


def grid(rows: int, columns: int, width: int, height: int) -> bytes:
    return struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)


def phone_heic(turns: int, told: tuple[int, int] = (4032, 3024)) -> bytes:
    """Tiles of 512 x 512, a grid of them that is the primary item, and a turn, as phones write them."""
    entries = [full(b"infe", struct.pack(">HH", n, 0) + b"hvc1\0") for n in (1, 2)] + [
        full(b"infe", struct.pack(">HH", 49, 0) + b"grid\0")
    ]
    for k, one in enumerate(entries):
        entries[k] = one[:8] + b"\2" + one[9:]  # version 2
    properties = box(
        b"ipco",
        full(b"ispe", struct.pack(">II", 512, 512)),
        full(b"ispe", struct.pack(">II", 4032, 3024)),
        box(b"irot", bytes([turns])),
    )
    links = struct.pack(">IHBBHBBHBBB", 3, 1, 1, 1, 2, 1, 1, 49, 2, 2, 3)
    places = struct.pack(">BBHHHHHII", 0x44, 0, 1, 49, 1, 0, 1, 0, 8)
    meta = full(
        b"meta",
        full(b"pitm", struct.pack(">H", 49)),
        full(b"iinf", struct.pack(">H", 3), *entries),
        box(b"iprp", properties, full(b"ipma", links)),
        box(b"idat", grid(6, 8, *told)),
        box(b"iloc", b"\1\0\0\0" + places),
    )
    return heic(meta, box(b"mdat", bytes(600)))


def test_a_grid_of_tiles_is_as_large_as_the_whole_and_turned():
    sizes = [(f.width, f.height, f.refusal) for f in (screened(phone_heic(turns)) for turns in (0, 1))]
    assert sizes == [(4032, 3024, None), (3024, 4032, None)]


def test_a_grid_that_states_more_than_its_item_is_as_large_as_it_states():
    assert screened(phone_heic(0, told=(20_000, 16_000))).pixels == 320_000_000


def test_times_that_pass_64_bits_together_are_long():
    times = struct.pack(">II", HUGE, 2**31 - 1) * 3
    assert screened(movie(track(times=times))).seconds > 1e9


def test_samples_without_times_go_on_with_the_last_duration():
    facts = screened(movie(track(stored=5000)))
    assert (facts.frames, facts.seconds) == (5000, 5000.0)


def test_a_track_of_no_known_kind_is_judged_by_its_bytes():
    facts = screened(movie(track(handlers=(b"what",))))
    assert (facts.kind, facts.known) == ("video", False)


def test_a_webm_without_a_scale_has_the_usual_one():
    assert screened(webm(scale=0)).seconds == 1.0


def test_a_webm_of_many_frames_says_so():
    blocks = b"\xe7\x81\0" + b"\xa3\x85\x81\0\0\x80\0" * 30
    assert screened(webm(cluster=blocks)).frames == 30


def test_opus_packets_count_whatever_the_times_of_a_webm_say():
    sample = next(one for one in family("sounds") if one.name == "webm-audio")
    scale = sample.data.index(b"\x2a\xd7\xb1\x83")
    squeezed = sample.data[: scale + 4] + b"\0\0\1" + sample.data[scale + 7 :]
    assert screened(squeezed).seconds == pytest.approx(2.5, abs=0.3)


def test_aac_packets_count_whatever_the_times_of_an_mp4_say():
    data = bytearray(sound("ipod", "aac"))
    for at in [i for i in range(len(data)) if bytes(data[i : i + 4]) in {b"stts", b"mdhd", b"mvhd"}]:
        if data[at : at + 4] == b"stts":
            entries = struct.unpack(">I", data[at + 8 : at + 12])[0]
            for k in range(entries):
                data[at + 16 + 8 * k : at + 20 + 8 * k] = struct.pack(">I", 1)
        else:
            data[at + 20 : at + 24] = struct.pack(">I", 1)
    assert screened(bytes(data)).seconds == pytest.approx(2.5, abs=0.3)


def test_a_codec_that_only_a_decoder_could_check_is_judged_by_its_bytes():
    facts = screened(wav((0x55, 2, 44100, 10**9, 1, 0)))
    assert (facts.known, facts.seconds) == (False, 8.0)


def test_a_png_that_was_damaged_as_text_is_none():
    damaged = png(1, 1).replace(b"\r\n\x1a\n", b"\n\x1a\n\0", 1)
    assert (screened(damaged).type, screened(damaged).known) == ("unknown", False)


@pytest.mark.parametrize("tag", [6, 7])
def test_companded_sound_takes_a_byte_a_sample(tag):
    assert screened(wav((tag, 1, 8000, 16000, 2, 16))).seconds == 1.0


def test_a_narrow_page_has_its_longest_side():
    assert screened(tiff((400, 400), (100_000, 1)), side=50_000).refusal == "media_too_many_pixels"


# Content types and whether a receiver that goes by RFC 2046 finds the boundary `a,b` or its like.
BOUNDARIES = {
    "comma": ("a,b", "multipart/form-data; boundary=a,b"),
    "comma, quoted": ("a,b", 'multipart/form-data; boundary="a,b"'),
    "every sign that is allowed": ("'()+_,-./:=? x", 'multipart/form-data; boundary="\'()+_,-./:=? x"'),
    "every sign, bare": ("'()+_,-./:=?", "multipart/form-data; boundary='()+_,-./:=?"),
    "escapes": ('a"b', 'multipart/form-data; boundary="a\\"b"'),
    "spaces around": ("ab", "multipart/form-data ; boundary = ab ; charset=utf-8"),
    "another parameter behind": ("ab", 'multipart/form-data; boundary="ab"; x="; y"'),
}


@pytest.mark.parametrize("name", BOUNDARIES)
def test_a_boundary_may_hold_what_rfc_2046_allows(name):
    boundary, content_type = BOUNDARIES[name]
    facts = screened(multipart(part("a", jpeg(), "image/jpeg", "a.jpg"), boundary=boundary), content_type)
    assert (facts.refusal, facts.count, facts.pixels) == (None, 1, 64 * 48)


def two_readings(first: str, second: str) -> bytes:
    inner = multipart(part("a", jpeg(4000, 3000), "image/jpeg", "a.jpg"), boundary=second)
    return multipart(part("t", inner, "text/plain"), boundary=first)


AMBIGUOUS = {
    "cut at a comma": (two_readings("a,b", "a"), "multipart/form-data; boundary=a,b"),
    "cut at a space": (two_readings("a b", "a"), "multipart/form-data; boundary=a b"),
    "escapes kept": (two_readings('a"b', 'a\\"b'), 'multipart/form-data; boundary="a\\"b"'),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_boundary_that_splits_the_body_in_two_ways_is_refused(name):
    assert screened(*AMBIGUOUS[name]).refusal == "media_contradictory"


MALFORMED = {
    "never closed": 'multipart/form-data; boundary="ab',
    "something behind the quote": 'multipart/form-data; boundary="ab"c',
    "in pieces": "multipart/form-data; boundary=ab; boundary*0=a; boundary*1=c",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_boundary_that_cannot_be_read_is_refused(name):
    body = multipart(part("a", jpeg(), "image/jpeg", "a.jpg"), boundary="ab")
    assert screened(body, MALFORMED[name]).refusal == "media_malformed"


def test_sums_of_many_stop_at_the_largest_exact_number():
    clips = [part(f"c{k}", webm(duration=9e14), "video/webm", "a.webm") for k in range(40)]
    facts = screened(multipart(*clips), FORM, total_seconds=1e6)
    assert facts.total_seconds == 2**53 / 1000
    assert facts.refusal == "media_too_long"


def test_a_flac_whose_header_states_a_higher_rate_than_its_frames_counts_by_its_frames():
    data = sound("flac", "flac", rate=8000, seconds=2.5)
    packed = int.from_bytes(data[18:26], "big")
    faster = (packed & ~(0xFFFFF << 44) | 1_044_480 << 44).to_bytes(8, "big")
    said = screened(data[:18] + faster + data[26:], "audio/flac")
    assert said.seconds == pytest.approx(2.5, abs=0.001)


@pytest.mark.parametrize("tag", [b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3"])
def test_a_tag_in_the_middle_of_an_mp3_hides_nothing_behind_it(tag: bytes):
    data = sound("mp3", "libmp3lame", bit_rate=128_000)
    at = data.index(data[data.index(b"\xff\xfb") :][:2], len(data) // 4)
    said = screened(data[:at] + tag + data[at:], "audio/mpeg")
    assert said.seconds >= 2.4


def test_a_tag_whose_length_no_decoder_takes_hides_nothing():
    data = sound("mp3", "libmp3lame", bit_rate=128_000)
    assert data.startswith(b"ID3")
    said = screened(data[:6] + b"\x00\x00\xff\xff" + data[10:], "audio/mpeg")
    assert said.seconds >= 2.4
