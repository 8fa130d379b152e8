"""Real media in every format and variant that the screen reads, and what the usual libraries say they are.

Made on demand by Pillow, pillow-heif and PyAV; truth is read back with them and with mutagen, never taken from what was
asked for. Nothing is stored.
"""

from __future__ import annotations

import functools
import io
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from gateway.screen import odd, worldly
from gateway.screen.making import Sample, clip, movie, photo, picture, saved, sound, track, vorbis

SIZES = ((1, 1), (33, 7), (640, 480), (1201, 1600))


def _segment(marker: int, payload: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(payload) + 2) + payload


def _after_soi(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def jpegs() -> Iterator[Sample]:
    for size in SIZES:
        yield picture(f"jpeg-{size}", saved(photo(*size), "JPEG"), "jpeg")
    base = photo(800, 600)
    variants: dict[str, dict[str, Any]] = {
        "progressive": {"progressive": True},
        "444": {"subsampling": 0},
        "411": {"subsampling": "4:2:0", "quality": 20},
        "optimised": {"optimize": True},
        "restart": {"restart_marker_blocks": 4},
        "icc": {"icc_profile": bytes(range(256)) * 2000},
        "comment": {"comment": b"x" * 60000},
    }
    for name, options in variants.items():
        yield picture(f"jpeg-{name}", saved(base, "JPEG", **options), "jpeg")
    yield picture("jpeg-grey", saved(base.convert("L"), "JPEG"), "jpeg")
    yield picture("jpeg-cmyk", saved(base.convert("CMYK"), "JPEG"), "jpeg")
    flat = Image.new("RGB", (8000, 6000), "white")
    yield picture("jpeg-flat", saved(flat, "JPEG", quality=1, progressive=True), "jpeg")
    thumb = saved(photo(160, 120), "JPEG")
    exif = b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0\0\0" + thumb
    plain = saved(base, "JPEG")
    yield picture("jpeg-exif-thumbnail", _after_soi(plain, _segment(0xE1, exif)), "jpeg")
    yield picture("jpeg-huge-segments", _after_soi(plain, *[_segment(0xE2, b"FPXR\0" + thumb[:9] * 7000)] * 9), "jpeg")
    yield picture("jpeg-fill-bytes", _after_soi(plain, b"\xff" * 50), "jpeg")
    yield picture("jpeg-trailing", plain + b"\0" * 1000 + thumb, "jpeg")
    mpo = io.BytesIO()
    base.save(mpo, "MPO", save_all=True, append_images=[photo(320, 240, seed=2)])
    yield picture("jpeg-mpo", mpo.getvalue(), "jpeg")


def pngs() -> Iterator[Sample]:
    for size in SIZES:
        yield picture(f"png-{size}", saved(photo(*size), "PNG"), "png")
    base = photo(300, 200)
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        image = base.convert("L").convert("I").convert("I;16") if mode == "I;16" else base.convert(mode)
        yield picture(f"png-{mode}", saved(image, "PNG"), "png")
    yield picture("png-flat", saved(Image.new("1", (12000, 12000)), "PNG"), "png")
    yield picture("png-icc", saved(base, "PNG", icc_profile=random.Random(1).randbytes(90000)), "png")
    frames = [photo(300, 200, seed=s) for s in range(5)]
    yield picture("apng", saved(base, "PNG", save_all=True, append_images=frames, duration=50), "apng")
    yield picture("apng-default", saved(base, "PNG", save_all=True, append_images=frames, default_image=True), "apng")


def gifs() -> Iterator[Sample]:
    for size in SIZES:
        yield picture(f"gif-{size}", saved(photo(*size), "GIF"), "gif")
    frames = [photo(200, 150, seed=s) for s in range(12)]
    yield picture("gif-animated", saved(photo(200, 150, seed=99), "GIF", save_all=True, append_images=frames), "gif")
    yield picture("gif-interlaced", saved(photo(64, 64), "GIF", interlace=1, comment=b"c" * 3000), "gif")


def webps() -> Iterator[Sample]:
    for size in SIZES:
        yield picture(f"webp-{size}", saved(photo(*size), "WEBP"), "webp")
    base = photo(301, 203)
    yield picture("webp-lossless", saved(base, "WEBP", lossless=True), "webp")
    yield picture("webp-alpha", saved(base.convert("RGBA"), "WEBP"), "webp")
    yield picture("webp-lossless-alpha", saved(base.convert("RGBA"), "WEBP", lossless=True), "webp")
    yield picture("webp-icc", saved(base, "WEBP", icc_profile=b"p" * 50000, exif=b"Exif\0\0" + b"e" * 30000), "webp")
    frames = [photo(301, 203, seed=s) for s in range(6)]
    yield picture("webp-animated", saved(base, "WEBP", save_all=True, append_images=frames), "webp")


def _bmp_core(width: int, height: int) -> bytes:
    rows = b"\x10\x20\x30" * width
    rows += b"\0" * (-len(rows) % 4)
    pixels = rows * height
    return (
        b"BM"
        + struct.pack("<IHHI", 26 + len(pixels), 0, 0, 26)
        + struct.pack("<IHHHH", 12, width, height, 1, 24)
        + pixels
    )


def _bmp(width: int, height: int, header: int, depth: int = 24) -> bytes:
    row = (width * depth + 31) // 32 * 4
    pixels = b"\x55" * row * abs(height)
    head = struct.pack("<IiiHHIIiiII", header, width, height, 1, depth, 0, len(pixels), 2835, 2835, 0, 0)
    head += b"\0" * (header - 40)
    return b"BM" + struct.pack("<IHHI", 14 + header + len(pixels), 0, 0, 14 + header) + head + pixels


def bmps() -> Iterator[Sample]:
    for size in SIZES:
        yield picture(f"bmp-{size}", saved(photo(*size), "BMP"), "bmp")
    for mode in ("1", "L", "P", "RGBA"):
        yield picture(f"bmp-{mode}", saved(photo(65, 33).convert(mode), "BMP"), "bmp")
    yield picture("bmp-core", _bmp_core(31, 17), "bmp")
    for header in (40, 52, 56, 108, 124):
        yield picture(f"bmp-v{header}", _bmp(45, 21, header), "bmp")
    yield picture("bmp-top-down", _bmp(45, -21, 40), "bmp")


def tiffs() -> Iterator[Sample]:
    for size in SIZES:
        yield picture(f"tiff-{size}", saved(photo(*size), "TIFF"), "tiff")
    base = photo(400, 300)
    for compression in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits"):
        yield picture(f"tiff-{compression}", saved(base, "TIFF", compression=compression), "tiff")
    yield picture("tiff-big", saved(base, "TIFF", big_tiff=True), "tiff")
    pages = [photo(400, 300, seed=s) for s in range(4)]
    yield picture("tiff-pages", saved(base, "TIFF", save_all=True, append_images=pages), "tiff")
    grey = np.asarray(base.convert("L")).astype(">u2")
    yield picture("tiff-motorola", _tiff_motorola(grey), "tiff")


def _tiff_motorola(pixels: np.ndarray) -> bytes:
    """A big-endian file with its directory at the end, as scanners write them."""
    height, width = pixels.shape
    data = pixels.tobytes()
    tags = [(256, 4, width), (257, 3, height << 16), (258, 3, 16 << 16), (259, 3, 1 << 16), (262, 3, 1 << 16)]
    tags += [(273, 4, 8), (277, 3, 1 << 16), (278, 4, height), (279, 4, len(data))]
    directory = struct.pack(">H", len(tags)) + b"".join(struct.pack(">HHII", t, k, 1, v) for t, k, v in tags)
    return b"MM\0*" + struct.pack(">I", 8 + len(data)) + data + directory + struct.pack(">I", 0)


def heifs() -> Iterator[Sample]:
    for size in ((64, 64), (640, 480), (1201, 1600)):
        yield picture(f"heic-{size}", saved(photo(*size), "HEIF", quality=30), "heic")
    base = photo(640, 360)
    yield picture("heic-alpha", saved(base.convert("RGBA"), "HEIF", quality=30), "heic")
    heif = pillow_heif.from_pillow(base)
    heif.add_from_pillow(photo(320, 180))
    out = io.BytesIO()
    heif.save(out, quality=30)
    yield picture("heic-two", out.getvalue(), "heic")
    for size in ((64, 64), (640, 480), (1201, 801)):
        yield picture(f"avif-{size}", saved(photo(*size), "AVIF", speed=10), "avif")
    frames = [photo(160, 120, seed=s) for s in range(5)]
    yield picture(
        "avif-sequence", saved(photo(160, 120), "AVIF", save_all=True, append_images=frames, speed=10), "avif"
    )


def sounds() -> Iterator[Sample]:
    for codec in ("pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_f32le", "pcm_alaw", "pcm_mulaw"):
        yield track(f"wav-{codec}", sound("wav", codec), "audio/wav", "wav")
    yield track("wav-mono-8k", sound("wav", "pcm_s16le", rate=8000, layout="mono"), "audio/wav", "wav")
    yield track("wav-5.1", sound("wav", "pcm_s24le", rate=48000, layout="5.1"), "audio/wav", "wav")
    yield track("wav-rf64", sound("wav", "pcm_s16le", rf64="always"), "audio/wav", "wav")
    yield track("wav-ima", sound("wav", "adpcm_ima_wav"), "audio/wav", "wav", 0.1)
    yield track("wav-ms", sound("wav", "adpcm_ms"), "audio/wav", "wav", 0.1)
    for rate, layout in ((44100, "stereo"), (8000, "mono"), (96000, "stereo")):
        yield track(f"flac-{rate}", sound("flac", "flac", rate=rate, layout=layout), "audio/flac", "flac")
    for bit_rate in (32000, 128000, 320000):
        yield track(f"mp3-{bit_rate}", sound("mp3", "libmp3lame", bit_rate=bit_rate), "audio/mpeg", "mp3", 0.15)
    bare = sound("mp3", "libmp3lame", write_xing="0", id3v2_version="0")
    yield track("mp3-bare", bare, "audio/mpeg", "mp3", 0.15)
    tag = b"ID3\x04\0\0" + bytes([0, 12, 0, 0]) + bytes(12 << 14)
    yield track("mp3-huge-id3", tag + bare, "audio/mpeg", "mp3", 0.15)
    yield track("mp3-16k", sound("mp3", "libmp3lame", rate=16000, layout="mono"), "audio/mpeg", "mp3", 0.3)
    yield track("mp2", sound("mp2", "mp2", rate=48000), "audio/mpeg", "mp2", 0.15)
    yield track("aac", sound("adts", "aac"), "audio/aac", "aac", 0.15)
    for rate in (8000, 48000):
        yield track(f"vorbis-{rate}", vorbis(rate), "audio/ogg", "ogg", 0.15)
    yield track("opus", sound("ogg", "libopus", rate=48000), "audio/ogg", "opus", 0.1)
    yield track("opus-low", sound("ogg", "libopus", rate=16000, layout="mono", bit_rate=8000), "audio/ogg", "opus", 0.1)
    yield track("ogg-flac", sound("ogg", "flac"), "audio/ogg", "ogg", 0.1)
    yield track("m4a", sound("ipod", "aac"), "audio/mp4", "m4a", 0.15)
    yield track("webm-audio", sound("webm", "libopus", rate=48000), "audio/webm", "webm", 0.1)
    chained = sound("ogg", "libopus", rate=48000) + sound("ogg", "libopus", rate=48000, seconds=1.0)
    yield Sample("opus-chained", chained, "audio/ogg", "opus", "audio", seconds=3.5, slack_s=0.1)


def movies() -> Iterator[Sample]:
    yield movie("mp4-h264", clip("mp4", "libx264"), "video/mp4", "mp4")
    yield movie("mp4-h264-cropped", clip("mp4", "libx264", size=(178, 146)), "video/mp4", "mp4")
    yield movie("mp4-faststart", clip("mp4", "libx264", movflags="faststart"), "video/mp4", "mp4")
    fragmented = clip("mp4", "libx264", movflags="frag_keyframe+empty_moov", frames=60)
    yield movie("mp4-fragmented", fragmented, "video/mp4", "mp4")
    default_base = clip("mp4", "mpeg4", movflags="frag_every_frame+empty_moov+default_base_moof")
    yield movie("mp4-fragment-each-frame", default_base, "video/mp4", "mp4")
    yield movie("mp4-sound", clip("mp4", "mpeg4", with_sound="aac"), "video/mp4", "mp4", slack_s=0.2)
    yield movie("mov", clip("mov", "mpeg4"), "video/quicktime", "mov")
    yield movie("mov-mjpeg", clip("mov", "mjpeg"), "video/quicktime", "mov")
    yield movie("3gp", clip("3gp", "mpeg4"), "video/3gpp", "3gp")
    yield movie("webm-vp8", clip("webm", "libvpx"), "video/webm", "webm", frames=False)
    yield movie("webm-vp9", clip("webm", "libvpx-vp9", with_sound="libopus"), "video/webm", "webm", frames=False)
    yield movie("webm-live", clip("webm", "libvpx", live="1"), "video/webm", "webm", frames=False)
    yield movie("mkv-h264", clip("matroska", "libx264"), "video/x-matroska", "mkv", frames=False)


MAKERS: dict[str, Callable[[], Iterator[Sample]]] = {
    f"{make.__module__.rpartition('.')[2]}.{make.__name__}".removeprefix("corpus."): make
    for make in (
        jpegs,
        pngs,
        gifs,
        webps,
        bmps,
        tiffs,
        heifs,
        sounds,
        movies,
        worldly.pictures,
        worldly.recordings,
        worldly.films,
        odd.pictures,
        odd.sounds,
        odd.films,
    )
}


@functools.cache
def family(name: str) -> tuple[Sample, ...]:
    """The samples of one maker; made once per process."""
    return tuple(MAKERS[name]())


def corpus() -> tuple[Sample, ...]:
    """All samples."""
    return tuple(sample for name in MAKERS for sample in family(name))
