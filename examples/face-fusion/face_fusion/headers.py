"""The size of a picture from its first bytes, before anything is decoded.

A few hundred bytes can claim to be a picture of a hundred million pixels, and decoding it would cost gigabytes; so the
claim is read first. JPEG (ITU T.81: SOFn segments), PNG (IHDR) and WebP (RIFF; VP8, VP8L and VP8X chunks).
"""

from __future__ import annotations

from dataclasses import dataclass

# SOF0..SOF15 without DHT (C4), JPG (C8) and DAC (CC), which share the range.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM and RSTn stand alone


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture says about itself; size in pixels, before any EXIF rotation."""

    media_type: str
    width: int
    height: int
    alpha: bool = False

    @property
    def pixels(self) -> int:
        return self.width * self.height


def read(data: bytes) -> Header | None:
    """The header of a JPEG, PNG or WebP; None for anything else or when the size cannot be found."""
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _jpeg(data: bytes) -> Header | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        elif marker in _FRAME_MARKERS:
            return _sized("image/jpeg", _big(data, at + 7, 2), _big(data, at + 5, 2))
        elif marker in (0xD9, 0xDA):  # end of image or start of scan before any frame
            return None
        else:
            at += 2 + max(2, _big(data, at + 2, 2))
    return None


def _png(data: bytes) -> Header | None:
    if len(data) < 29 or data[12:16] != b"IHDR":
        return None
    # Colour types 4 and 6 carry alpha; a palette (3) gets it from a tRNS chunk, which stands before the data.
    body = data.find(b"IDAT")
    alpha = data[25] in (4, 6) or 0 < data.find(b"tRNS", 33) < body
    return _sized("image/png", _big(data, 16, 4), _big(data, 20, 4), alpha)


def _webp(data: bytes) -> Header | None:
    kind, chunk = data[12:16], data[20:50]
    if kind == b"VP8X" and len(chunk) >= 10:
        return _sized("image/webp", 1 + _little(chunk, 4, 3), 1 + _little(chunk, 7, 3), bool(chunk[0] & 0x10))
    if kind == b"VP8L" and len(chunk) >= 5 and chunk[0] == 0x2F:
        bits = _little(chunk, 1, 4)
        return _sized("image/webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1))
    if kind == b"VP8 " and len(chunk) >= 10 and chunk[3:6] == b"\x9d\x01\x2a":
        return _sized("image/webp", _little(chunk, 6, 2) & 0x3FFF, _little(chunk, 8, 2) & 0x3FFF)
    return None


def _sized(media_type: str, width: int, height: int, alpha: bool = False) -> Header | None:
    return Header(media_type, width, height, alpha) if width > 0 and height > 0 else None


def _big(data: bytes, at: int, count: int) -> int:
    return int.from_bytes(data[at : at + count], "big")


def _little(data: bytes, at: int, count: int) -> int:
    return int.from_bytes(data[at : at + count], "little")
