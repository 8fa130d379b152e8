"""Files that are right and rarely seen: other containers for the same sound, tags in odd places, films put one behind
the other, numbers in unusual types. What they are is what the libraries say.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import soundfile
from PIL import Image

from gateway.screen.making import (
    Sample,
    clip,
    encoded_picture,
    movie,
    photo,
    picture,
    saved,
    sound,
    tone,
    track,
    vorbis,
)

# -- pictures --------------------------------------------------------------------------------------------------------


def tiff(order: str, type_: int, width: int = 40, height: int = 30, big: bool = False, orientation: int = 1) -> bytes:
    """A grey page whose sides are numbers of this type of TIFF, in this byte order (`<` or `>`)."""
    letter = {1: "B", 3: "H", 4: "I", 16: "Q", 6: "b", 8: "h", 9: "i", 17: "q"}
    sides = [(256, type_, width), (257, type_, height)]
    rest = [(258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 0), (274, 3, orientation), (277, 3, 1), (278, 4, height)]
    tags = [*sides, *rest, (279, 4, width * height)]
    room, count, link = (8, "Q", "Q") if big else (4, "H", "I")
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    size = len(head) + struct.calcsize(order + count) + len(tags) * (4 + 2 * room) + room
    directory = struct.pack(order + count, len(tags))
    for tag, kind, value in tags:
        number = struct.pack(order + letter[kind], size if tag == 273 else value).ljust(room, b"\0")
        directory += struct.pack(f"{order}HH{link}", tag, kind, 1) + number
    return head + directory + struct.pack(order + link, 0) + bytes(width * height)


def pictures() -> Iterator[Sample]:
    base = photo(400, 300)
    for name, options in {"plain": {}, "codestream": {"no_jp2": True}, "tiles": {"tile_size": (64, 64)}}.items():
        yield picture(f"jpeg2000-{name}", saved(base, "JPEG2000", **options), "jpeg2000")
    yield picture("jpeg2000-lossy", saved(base.convert("LA"), "JPEG2000", irreversible=True), "jpeg2000")
    for mode in ("RGB", "L", "1"):
        yield picture(f"pnm-{mode}", saved(photo(61, 43).convert(mode), "PPM"), "pnm")
    yield picture("pnm-16", saved(photo(61, 43).convert("L").convert("I").convert("I;16"), "PPM"), "pnm")
    yield picture("pnm-text", b"P2\n# by hand\n4 3 # sides\n255\n" + b" 9" * 12, "pnm")
    yield picture("qoi", saved(photo(61, 43), "QOI"), "qoi")
    psd = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 43, 61, 8, 3) + bytes(14)
    yield picture("psd", psd + bytes(43 * 61 * 3), "psd")
    yield picture("ico-several", saved(photo(64, 64, "RGBA"), "ICO", sizes=[(16, 16), (48, 48), (64, 64)]), "ico")
    cursor = saved(photo(32, 32, "RGBA"), "ICO", bitmap_format="bmp")
    yield picture("cur", cursor[:2] + b"\2" + cursor[3:], "cur")
    for order in "<>":
        for type_ in (3, 4, 6, 8, 9):
            yield picture(f"tiff-{order}-{type_}", tiff(order, type_), "tiff")
    for type_ in (3, 4, 16):
        yield picture(f"tiff-big-{type_}", tiff("<", type_, big=True), "tiff")
    yield picture("tiff-turned", tiff("<", 4, orientation=6), "tiff")
    for orientation in (3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield picture(f"avif-turned-{orientation}", saved(photo(160, 120), "AVIF", exif=exif.tobytes()), "avif")
        yield picture(f"heic-turned-{orientation}", saved(photo(160, 120), "HEIF", exif=exif.tobytes()), "heic")
    yield encoded_picture("jpeg-ls", "jpegls", "rgb24")
    yield encoded_picture("jpeg-lossless", "ljpeg", "yuvj420p")


# -- sound -----------------------------------------------------------------------------------------------------------


def written(format_: str, subtype: str, rate: int = 8000, channels: int = 1) -> bytes:
    """A tone of a second and a half by libsndfile."""
    out = io.BytesIO()
    soundfile.write(out, tone(1.5, rate, channels).T, rate, format=format_, subtype=subtype)
    return out.getvalue()


def tagged(content: int = 300, footer: bool = False) -> bytes:
    """An ID3v2.4 tag with so many bytes in it; a footer repeats the head, backwards named."""
    size = bytes([content >> 21 & 127, content >> 14 & 127, content >> 7 & 127, content & 127])
    flags = b"\x10" if footer else b"\0"
    return b"ID3\4\0" + flags + size + bytes(content) + (b"3DI\4\0" + flags + size if footer else b"")


def ape(size: int = 300) -> bytes:
    """An APE tag with one item and both its head and its foot."""
    item = struct.pack("<II", size, 0) + b"Title\0" + b"x" * size
    head, foot = (struct.pack("<IIIIQ", 2000, len(item) + 32, 1, flags, 0) for flags in (0xA0000000, 0x80000000))
    return b"APETAGEX" + head + item + b"APETAGEX" + foot


ID3V1 = b"TAG" + bytes(125)


def guarded(adts: bytes) -> bytes:
    """The same frames with a checksum in each, as broadcasters write them."""
    out, pos = b"", 0
    while pos < len(adts):
        size = (adts[pos + 3] & 3) << 11 | adts[pos + 4] << 3 | adts[pos + 5] >> 5
        frame, longer = bytearray(adts[pos : pos + size]), size + 2
        frame[1] &= 0xFE
        frame[3:6] = bytes([frame[3] & 0xFC | longer >> 11, longer >> 3 & 255, frame[5] & 31 | (longer & 7) << 5])
        out, pos = out + bytes(frame[:7]) + b"\0\0" + bytes(frame[7:]), pos + size
    return out


def doubled(m4a: bytes) -> bytes:
    """An MP4 whose AAC is said to have its upper half restored (HE-AAC), which doubles its rate."""
    at = m4a.index(bytes.fromhex("56e500"))
    return m4a[: at + 2] + b"\x98" + m4a[at + 3 :]


def sounds() -> Iterator[Sample]:
    for subtype in ("PCM_16", "PCM_S8", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM"):
        yield track(f"aiff-{subtype}", written("AIFF", subtype), "audio/aiff", "aiff", 0.01)
    yield track("aiff-little", sound("aiff", "pcm_s16le", seconds=0.3), "audio/aiff", "aiff")
    for subtype in ("PCM_16", "FLOAT", "ALAW", "ALAC_16"):
        yield track(f"caf-{subtype}", written("CAF", subtype), "audio/x-caf", "caf", 0.1)
    yield track("caf-ima", sound("caf", "adpcm_ima_qt", seconds=0.3), "audio/x-caf", "caf", 0.01)
    for subtype in ("PCM_16", "ULAW", "G721_32"):
        yield track(f"au-{subtype}", written("AU", subtype), "audio/basic", "au")
    for subtype in ("PCM_16", "IMA_ADPCM"):
        yield track(f"w64-{subtype}", written("W64", subtype), "audio/x-w64", "w64", 0.1)
    for subtype in ("GSM610", "G721_32", "MS_ADPCM"):
        yield track(f"wav-{subtype}", written("WAV", subtype), "audio/wav", "wav", 0.1)
    yield track("wav-extensible", written("WAVEX", "PCM_24", channels=2), "audio/wav", "wav")
    for codec, rate in (
        ("libmp3lame", 48000),
        ("mp2", 48000),
        ("g722", 16000),
        ("g726", 8000),
        ("adpcm_yamaha", 48000),
    ):
        coded = sound("wav", codec, seconds=0.5, rate=rate, layout="mono")
        yield track(f"wav-{codec}", coded, "audio/wav", "wav", 0.03)
    wav = sound("wav", "pcm_s16le", seconds=0.2)
    size = wav.index(b"data") + 4
    for name, stated in (("none", 0), ("all", 2**32 - 1), ("most", 2**31 - 1)):
        unsized = wav[:size] + struct.pack("<I", stated) + wav[size + 4 :]
        yield track(f"wav-size-{name}", unsized, "audio/wav", "wav", tagger=False)  # which believes the header
    yield from _tagged_sounds()
    yield from _sounds_of_films()


def _tagged_sounds() -> Iterator[Sample]:
    mp3 = sound("mp3", "libmp3lame", write_xing="0", id3v2_version="0", seconds=1.5)
    yield track("mp3-footer", tagged(footer=True) + mp3, "audio/mpeg", "mp3", 0.15)
    yield track("mp3-ape-first", ape() + mp3, "audio/mpeg", "mp3", 0.15)
    yield track(
        "mp3-ape-last", mp3 + ape() + ID3V1, "audio/mpeg", "mp3", 0.15, tagger=False
    )  # which counts the tag as sound
    yield track("mp3-gap", tagged() + bytes(2000) + mp3, "audio/mpeg", "mp3", 0.15)
    aac = sound("adts", "aac", seconds=1.5)
    for name, data in {
        "id3": tagged() + aac, "id3v1": aac + ID3V1, "ape": aac + ape(), "checksums": guarded(aac),
        "joined": aac + aac, "mpeg2": aac.replace(b"\xff\xf1", b"\xff\xf9"),
    }.items():  # fmt: skip
        yield track(f"aac-{name}", data, "audio/aac", "aac", 0.15)
    flac = sound("flac", "flac", seconds=0.3)
    yield track("flac-id3", tagged() + flac, "audio/flac", "flac")
    yield track("flac-id3-last", flac + tagged(), "audio/flac", "flac")
    yield track(
        "flac-length-unknown", flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:], "audio/flac", "flac"
    )
    for name, data, type_ in (
        ("opus", sound("ogg", "libopus", rate=48000, seconds=1.5, page_duration="100000"), "opus"),
        ("vorbis", vorbis(44100), "ogg"),
    ):
        middle = data.index(b"OggS", len(data) // 2)
        for odd, odder in {
            "id3": tagged() + data, "id3v1": data + ID3V1, "zeros": data + bytes(100),
            "cut": data[: len(data) * 2 // 3],
            "gap": data[:middle] + bytes(33) + data[middle:],
        }.items():  # fmt: skip
            yield track(f"{name}-{odd}", odder, "audio/ogg", type_, 0.1)


def _sounds_of_films() -> Iterator[Sample]:
    for format_, codec in (
        ("mov", "pcm_s16le"),
        ("mov", "alac"),
        ("mp4", "pcm_s16le"),
        ("mp4", "flac"),
        ("mp4", "alac"),
    ):
        data = sound(format_, codec, rate=96000, seconds=0.1)
        yield track(f"{format_}-96k-{codec}", data, "audio/mp4", "mov" if format_ == "mov" else "m4a", 0.05)
    yield track("mov-aac", sound("mov", "aac", seconds=1.5), "audio/quicktime", "mov", 0.15)
    # Whole packets, so that the table of times does not cut the last one.
    yield track("mp4-opus", sound("mp4", "libopus", rate=48000, seconds=1.5135), "audio/mp4", "m4a", 0.15)
    amr = sound("3gp", "libopencore_amrnb", rate=8000, layout="mono", seconds=1.4935)
    yield track("3gp-amr", amr, "audio/3gpp", "3gp", 0.15)
    yield track("m4a-he-aac", doubled(sound("ipod", "aac", rate=24000, seconds=1.5)), "audio/mp4", "m4a", 0.2)
    for codec in ("aac", "libmp3lame", "pcm_s16le"):
        data = sound("matroska", codec, rate=48000, seconds=0.5)
        yield track(f"mkv-{codec}", data, "audio/x-matroska", "mkv", 0.15)
    for kind in (1, 2, 3):
        yield track(f"webm-laced-{kind}", laced(kind), "audio/webm", "webm", 0.1)


# -- films -----------------------------------------------------------------------------------------------------------


def _size(n: int, length: int) -> bytes:
    return (1 << 7 * length | n).to_bytes(length, "big")


def _element(name: str, content: bytes) -> bytes:
    return bytes.fromhex(name) + _size(len(content), 4) + content


def _laced_block(kind: int, time: int, packets: list[bytes]) -> bytes:
    """A block of Matroska with several packets: sizes in the way of Xiph (1), all the same (2), of EBML (3)."""
    head = b"\x81" + struct.pack(">hBB", time, 0x80 | kind << 1, len(packets) - 1)
    if kind == 1:
        head += b"".join(b"\xff" * (len(one) // 255) + bytes([len(one) % 255]) for one in packets[:-1])
    elif kind == 2:
        packets = [one.ljust(max(map(len, packets)), b"\0") for one in packets]
    elif len(packets) > 1:
        steps = itertools.pairwise(packets[:-1])
        head += _size(len(packets[0]), 2) + b"".join(_size(len(b) - len(a) + 0x1FFF, 2) for a, b in steps)
    return _element("a3", head + b"".join(packets))


def laced(kind: int, per_block: int = 40) -> bytes:
    """Opus in a WebM without a duration, forty packets a block, in a segment and a cluster of unknown size."""
    with av.open(io.BytesIO(sound("matroska", "libopus", rate=48000, seconds=1.5))) as container:
        start = bytes(container.streams.audio[0].codec_context.extradata or b"")
        packets = [bytes(packet) for packet in container.demux() if packet.size]
    audio = _element("e1", _element("b5", struct.pack(">d", 48000.0)) + _element("9f", b"\2"))
    entry = _element("d7", b"\1") + _element("83", b"\2") + _element("86", b"A_OPUS") + _element("63a2", start) + audio
    blocks = b"".join(_laced_block(kind, k * 20, packets[k : k + per_block]) for k in range(0, len(packets), per_block))
    unknown = b"\x01" + b"\xff" * 7
    tracks = _element("1654ae6b", _element("ae", entry))
    cluster = bytes.fromhex("1f43b675") + unknown + _element("e7", b"\0") + blocks
    head = _element("1a45dfa3", _element("4282", b"webm") + _element("4287", b"\4") + _element("4285", b"\2"))
    return head + bytes.fromhex("18538067") + unknown + tracks + cluster


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def edited(mp4: bytes, *edits: tuple[int, int]) -> bytes:
    """The film with these edits of its first track, each a length in milliseconds and a place in the track."""
    at = mp4.index(b"edts") - 4
    old = struct.unpack(">I", mp4[at : at + 4])[0]
    entries = b"".join(struct.pack(">IiI", *edit, 65536) for edit in edits)
    new = _box(b"edts", _box(b"elst", struct.pack(">II", 0, len(edits)) + entries))
    out = bytearray(mp4[:at] + new + mp4[at + old :])
    for name in (b"moov", b"trak"):
        where = out.index(name) - 4
        size = struct.unpack(">I", out[where : where + 4])[0]
        out[where : where + 4] = struct.pack(">I", size + len(new) - old)
    return bytes(out)


def _remuxed(data: bytes, format_: str, **options: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        with av.open(io.BytesIO(data)) as given, av.open(str(path), "w", format=format_, options=options) as made:
            streams = {s.index: made.add_stream_from_template(s) for s in given.streams if s.type != "data"}
            for packet in given.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream.index]
                    made.mux(packet)
        return path.read_bytes()


def _rotated(mp4: bytes) -> bytes:
    at = mp4.index(b"tkhd") + 44
    return mp4[:at] + struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 144 << 16, 0, 1 << 30) + mp4[at + 36 :]


def films() -> Iterator[Sample]:
    mkv, webm = clip("matroska", "libx264", with_sound="aac"), clip("webm", "libvpx")
    live = clip("webm", "libvpx", live="1")
    yield movie("mkv-joined", mkv + mkv, "video/x-matroska", "mkv")
    yield movie("webm-joined", webm + webm, "video/webm", "webm")
    yield movie("webm-live-joined", live + live, "video/webm", "webm")
    yield movie("mkv-zeros-behind", mkv + bytes(100), "video/x-matroska", "mkv")
    yield movie("mkv-junk-behind", mkv + b"junk" * 20, "video/x-matroska", "mkv")
    mp4 = clip("mp4", "libx264")
    start = struct.unpack(">i", mp4[mp4.index(b"elst") + 16 :][:4])[0]
    yield movie("mp4-played-twice", edited(mp4, (1000, start), (1000, start)), "video/mp4", "mp4")
    yield movie("mp4-no-edits", edited(mp4), "video/mp4", "mp4")
    yield movie("mp4-rotated", _rotated(mp4), "video/mp4", "mp4")
    yield movie("mp4-zeros-behind", mp4 + bytes(64), "video/mp4", "mp4")
    yield movie("mp4-qt-brand", clip("mp4", "libx264", brand="qt  "), "video/mp4", "mov")
    with_sound = clip("mp4", "libx264", with_sound="aac")
    for flags in ("global_sidx+frag_keyframe", "skip_trailer+frag_keyframe", "rtphint"):
        name = re.sub(r"\W.*", "", flags)
        yield movie(f"mp4-{name}", _remuxed(with_sound, "mp4", movflags=flags), "video/mp4", "mp4", slack_s=0.2)
    yield movie("mkv-small-clusters", _remuxed(with_sound, "matroska", cluster_time_limit="100"), "video/mkv", "mkv")
    yield movie("ismv", _remuxed(mp4, "ismv"), "video/mp4", "mp4")
    yield movie("mov-timecode", clip("mov", "mpeg4", write_tmcd="1"), "video/quicktime", "mov")
