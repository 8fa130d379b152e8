"""Files as phones, recorders, editors and streaming tools leave them; made here from the plain ones."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL import Image

from gateway.screen.making import Sample, clip, movie, photo, picture, saved, sound, track


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Phone"
    return exif.tobytes()


def pictures() -> Iterator[Sample]:
    base = photo(400, 300)
    phone = saved(base, "JPEG", exif=_turned(6))
    yield picture("jpeg-turned", phone, "jpeg")
    yield picture("jpeg-cmyk-progressive", saved(base.convert("CMYK"), "JPEG", progressive=True), "jpeg")
    yield picture("jpeg-motion-photo", phone + clip("mp4", "libx264"), "jpeg")
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + b"<x:xmpmeta/>" * 3000
    profiled = saved(base, "JPEG", icc_profile=bytes(range(256)) * 300)
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(one) + 2) + one for one in (xmp, b"Exif\0\0" + bytes(60000))
    )
    yield picture("jpeg-everything-in-front", profiled[:2] + segments + profiled[2:], "jpeg")
    yield picture("heic-turned", saved(photo(640, 360), "HEIF", quality=30, exif=_turned(6)), "heic")
    yield picture("avif-alpha", saved(photo(301, 203, "RGBA"), "AVIF", speed=10), "avif")
    frames = [photo(61, 43, seed=s) for s in range(3)]
    yield picture(
        "webp-animated-lossless",
        saved(photo(61, 43), "WEBP", save_all=True, append_images=frames, lossless=True),
        "webp",
    )
    yield picture("tiff-cmyk", saved(photo(100, 80).convert("CMYK"), "TIFF"), "tiff")
    yield picture("ico-png", saved(photo(256, 256, "RGBA"), "ICO", sizes=[(16, 16), (256, 256)]), "ico")
    yield picture("ico-bmp", saved(photo(64, 64, "RGBA"), "ICO", bitmap_format="bmp"), "ico")


def _synchsafe(n: int) -> bytes:
    return bytes([n >> 21 & 127, n >> 14 & 127, n >> 7 & 127, n & 127])


def _with_art(mp3: bytes) -> bytes:
    art = b"\0image/jpeg\0\3\0" + saved(photo(500, 500), "JPEG")
    frame = b"APIC" + _synchsafe(len(art)) + b"\0\0" + art
    return b"ID3\4\0\0" + _synchsafe(len(frame)) + frame + mp3


def recordings() -> Iterator[Sample]:
    wav = sound("wav", "pcm_s16le", seconds=0.5)
    before = {
        "list": b"LIST" + struct.pack("<I", 26) + b"INFOISFT\x0e\0\0\0Lavf59.27.100\0",
        "broadcast": b"bext" + struct.pack("<I", 602) + bytes(602) + b"JUNK" + struct.pack("<I", 28) + bytes(28),
    }
    for name, chunks in before.items():
        yield track(f"wav-{name}-first", wav[:12] + chunks + wav[12:], "audio/wav", "wav")
    yield track("wav-f64", sound("wav", "pcm_f64le", seconds=0.1), "audio/wav", "wav")
    bare = sound("mp3", "libmp3lame", id3v2_version="0")
    yield track("mp3-art", _with_art(bare), "audio/mpeg", "mp3", 0.15)
    yield track("mp3-id3v1", bare + b"TAG" + bytes(125), "audio/mpeg", "mp3", 0.15)
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0) + bytes(8)
    yield track("mp3-ape", bare + ape + b"TAG" + bytes(125), "audio/mpeg", "mp3", 0.15)
    yield track("m4a-alac", sound("ipod", "alac", seconds=0.3), "audio/mp4", "m4a", 0.15)
    yield track("opus-5.1", sound("ogg", "libopus", rate=48000, layout="5.1"), "audio/ogg", "opus", 0.1)
    yield track("mkv-flac", sound("matroska", "flac", seconds=0.5), "audio/x-matroska", "mkv", 0.15)
    yield track("aac-mono-22k", sound("adts", "aac", rate=22050, layout="mono"), "audio/aac", "aac", 0.2)


def films() -> Iterator[Sample]:
    yield movie("mov-phone", clip("mov", "libx264", with_sound="aac"), "video/quicktime", "mov", slack_s=0.2)
    front = clip("mov", "libx264", movflags="faststart", with_sound="aac")
    yield movie("mov-index-in-front", front, "video/quicktime", "mov", slack_s=0.2)
    flags = "frag_keyframe+empty_moov+separate_moof"
    fragments = clip("mp4", "libx264", movflags=flags, frames=60, with_sound="aac")
    yield movie("mp4-fragments-with-sound", fragments, "video/mp4", "mp4", slack_s=0.3)
    cmaf = clip("mp4", "libx264", movflags="cmaf+frag_keyframe+empty_moov", frames=60)
    yield movie("mp4-cmaf", cmaf, "video/mp4", "mp4", slack_s=0.3)
    yield movie("mp4-hevc", clip("mp4", "libx265"), "video/mp4", "mp4", slack_s=0.2)
    cues = clip("webm", "libvpx-vp9", cues_to_front="1")
    yield movie("webm-index-in-front", cues, "video/webm", "webm", frames=False)
