"""Odd media for which no library here has a writer: what the screen makes of them by their specifications."""

from __future__ import annotations

import struct

import pytest

from gateway.screen.corpus import Sample, family
from gateway.screen.making import clip, photo, saved
from gateway.screen.test_hostile import screened


def checksum(page: bytes) -> int:
    """The CRC of a page of Ogg, whose own place must hold zeros."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def page(packet: bytes, granule: int, serial: int = 1, first: bool = False) -> bytes:
    """A page of Ogg with one packet below 255 bytes."""
    head = (
        b"OggS\0" + bytes([2 if first else 0]) + struct.pack("<qIII", granule, serial, 0, 0) + bytes([1, len(packet)])
    )
    made = head + packet
    return made[:22] + struct.pack("<I", checksum(made)) + made[26:]


def theora(frames: int, width: int = 300, height: int = 200, rate: tuple[int, int] = (25, 1)) -> bytes:
    """A film of Theora: its header, two more, and a packet for each frame; a key frame every 64."""
    squares = struct.pack(">HH", (width + 15) // 16, (height + 15) // 16)
    sides = width.to_bytes(3, "big") + height.to_bytes(3, "big") + b"\0\0"
    head = (
        b"\x80theora\3\2\1"
        + squares
        + sides
        + struct.pack(">II", *rate)
        + bytes(6)
        + bytes(4)
        + struct.pack(">H", 6 << 5)
    )
    packets = [page(b"x" * 40, (n // 64 * 64 + 1) << 6 | n % 64) for n in range(frames)]
    return page(head, 0, first=True) + page(b"\x81theora", 0) + page(b"\x82theora", 0) + b"".join(packets)


def speex(seconds: int, rate: int = 16000) -> bytes:
    head = b"Speex   " + b"1.2".ljust(20, b"\0") + struct.pack("<13I", 1, 80, rate, 1, 4, 1, 0, 320, 0, 1, 0, 0, 0)
    return page(head, 0, first=True) + page(b"tags", 0) + page(b"x" * 200, seconds * rate)


def test_theora_says_what_is_seen_how_many_frames_and_how_long():
    facts = screened(theora(100))
    assert (facts.type, facts.width, facts.height, facts.frames, facts.seconds) == ("ogv", 300, 200, 100, 4.0)
    assert facts.known


def test_theora_whose_positions_stand_still_has_a_frame_for_each_packet():
    data = theora(100)
    still = data[: data.index(b"\x82theora") + 7]
    assert screened(still + page(b"x" * 40, 1 << 6) * 100).frames == 100


def test_speex_says_its_rate_and_length():
    facts = screened(speex(3))
    assert (facts.type, facts.sample_rate, facts.channels, facts.seconds) == ("ogg", 16000, 1, 3.0)


def test_a_stream_of_ogg_that_is_not_known_may_be_a_film():
    facts = screened(page(b"OVP80\1\1\0" + bytes(18), 0, first=True) + page(b"x" * 200, 10))
    assert (facts.kind, facts.known) == ("video", False)
    assert facts.pixels > 100_000


def test_a_damaged_beginning_in_ogg_is_refused_and_a_skeleton_is_nothing():
    data = speex(3)
    assert screened(data[:40] + b"\xff" + data[41:]).refusal == "media_contradictory"
    skeleton = page(b"fishead\0" + bytes(56), 0, serial=9, first=True)
    assert screened(skeleton + data).seconds == 3.0


def test_a_page_within_a_page_counts():
    inner = page(b"x" * 200, 3 * 16000)
    data = speex(1)
    outer = page(inner, 16000)  # which a decoder may find damaged, and then goes on inside
    assert screened(data[: len(data) - 228] + outer).seconds == 3.0


def test_a_picture_that_another_one_may_follow_is_judged_by_its_bytes():
    small, large = saved(photo(8, 8), "PPM"), saved(photo(80, 80), "PPM")
    assert screened(small).known
    facts = screened(small + large)
    assert (facts.type, facts.known) == ("pnm", False)
    assert facts.pixels > 80 * 80


def test_text_that_begins_like_a_picture_is_none():
    assert screened(b"P1 is the first of our priorities").type == "unknown"
    assert screened(b"P6 12 monkeys are no picture at all").type == "pnm", "which is judged by its bytes"
    assert not screened(b"P6 12 monkeys are no picture at all").known


def test_a_tga_is_no_cursor():
    facts = screened(saved(photo(64, 48), "TGA"))
    assert (facts.type, facts.refusal, facts.known) == ("unknown", None, False)


def test_a_film_of_jpeg_2000_is_judged_by_its_bytes():
    still = saved(photo(64, 48), "JPEG2000")
    facts = screened(still[:32] + struct.pack(">I4s", 8, b"moov") + still[32:])
    assert (facts.type, facts.known) == ("jpeg2000", False)


def test_of_two_sizes_of_a_jpeg_2000_the_larger_counts():
    data = saved(photo(64, 48), "JPEG2000")
    at = data.index(b"ihdr") + 4
    assert screened(data[:at] + struct.pack(">II", 480, 640) + data[at + 8 :]).pixels == 480 * 640


def sample(name: str, maker: str = "odd.sounds") -> Sample:
    return next(one for one in family(maker) if one.name == name)


def test_a_configuration_that_makes_no_sense_leaves_the_description():
    data = sample("m4a-he-aac").data
    at = data.index(b"\x05\x80\x80\x80") + 4
    facts = screened(data[:at] + b"\0\0" + data[at + 2 :])
    assert facts.refusal is None
    assert facts.seconds == pytest.approx(1.5, abs=0.2)
    assert facts.channels == 2


def test_aac_whose_core_has_half_the_rate_is_as_long_as_its_packets():
    data = bytearray(sample("m4a-he-aac").data)
    for name in (b"mdhd", b"mvhd"):
        at = data.index(name)
        data[at + 20 : at + 24] = struct.pack(">I", 1)
    at = data.index(b"stts")
    for k in range(struct.unpack(">I", data[at + 8 : at + 12])[0]):
        data[at + 16 + 8 * k : at + 20 + 8 * k] = struct.pack(">I", 1)
    data[data.index(b"edts") : data.index(b"edts") + 4] = b"free"
    assert screened(bytes(data)).seconds == pytest.approx(1.5, abs=0.2)


def test_sound_in_matroska_is_as_long_as_its_packets_whatever_its_times_say():
    for name in ("mkv-aac", "mkv-libmp3lame", "mkv-pcm_s16le"):
        data = sample(name).data
        scale = data.index(b"\x2a\xd7\xb1\x83") + 4
        assert screened(data[:scale] + b"\0\0\1" + data[scale + 3 :]).seconds == pytest.approx(0.5, abs=0.1), name


def test_what_follows_a_matroska_file_is_found_again():
    data = clip("matroska", "libx264")
    cluster = data.index(b"\x1f\x43\xb6\x75")
    facts = screened(data + b"junk" + data[cluster:])
    assert (facts.refusal, facts.frames) == (None, 50)


def test_samples_in_a_chunk_of_no_size_go_to_the_end():
    for name, chunk, size in (("caf-PCM_16", b"data", 8), ("aiff-PCM_16", b"SSND", 4)):
        data = sample(name).data
        at = data.rindex(chunk) + 4
        assert screened(data[:at] + bytes(size) + data[at + size :]).seconds == pytest.approx(1.5, abs=0.01), name


def test_speech_has_one_channel_whatever_its_header_states():
    au, wav = bytearray(sample("au-G721_32").data), bytearray(sample("wav-g722").data)
    au[20:24], wav[22:24] = struct.pack(">I", 200), struct.pack("<H", 200)
    assert screened(bytes(au)).seconds == 1.5
    assert screened(bytes(wav)).seconds == pytest.approx(0.5, abs=0.01)


def test_g_726_has_as_many_samples_as_the_fewest_bits_allow():
    data = bytearray(sample("wav-g726").data)
    data[28:32] = struct.pack("<I", 3000)  # bytes a second: 3 bits a sample at 8 kHz, where 4 are stated
    assert screened(bytes(data)).seconds == pytest.approx(0.5 * 4 / 3, abs=0.01)


def test_alac_in_caf_has_the_rate_of_its_decoder():
    data = bytearray(sample("caf-ALAC_16").data)
    data[20:28] = struct.pack(">d", 192_000.0)
    assert (screened(bytes(data)).seconds, screened(bytes(data)).sample_rate) == (1.5, 8000)
