"""What the service reads: sizes before decoding, and every kind of picture as upright 8-bit colour."""

from __future__ import annotations

import struct
import zlib

import pytest

NEEDS = "pip install 'tidegate[examples]'"
cv2 = pytest.importorskip("cv2", reason=NEEDS)
np = pytest.importorskip("numpy", reason=NEEDS)

from face_fusion import headers, pictures  # noqa: E402
from face_fusion.errors import Refused  # noqa: E402

COLOUR = np.full((20, 30, 3), (10, 120, 230), np.uint8)


def encoded(kind: str, picture=COLOUR, *flags: int) -> bytes:
    return cv2.imencode(kind, picture, flags)[1].tobytes()


def decode(data: bytes, max_pixels: int = 10_000):
    return pictures.decode(data, max_pixels=max_pixels, field="user")


def refusal(data: bytes, **limits: int) -> Refused:
    with pytest.raises(Refused) as caught:
        decode(data, **limits)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "flags", "media_type"),
    [
        (".jpg", (), "image/jpeg"),
        (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), "image/jpeg"),
        (".png", (), "image/png"),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 80), "image/webp"),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101), "image/webp"),  # lossless
    ],
    ids=["jpeg", "progressive jpeg", "png", "webp", "lossless webp"],
)
def test_size_is_read_from_the_header(kind, flags, media_type):
    header = headers.read(encoded(kind, COLOUR, *flags))
    assert (header.media_type, header.width, header.height) == (media_type, 30, 20)


@pytest.mark.parametrize("cut", range(0, 36, 3))
@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_a_header_cut_anywhere_is_refused_not_a_crash(kind, cut):
    assert refusal(encoded(kind)[:cut]).code in ("not_an_image", "empty_picture")


def test_grey_becomes_colour():
    assert decode(encoded(".png", COLOUR[..., 0])).shape == (20, 30, 3)


def test_sixteen_bits_become_eight():
    decoded = decode(encoded(".png", COLOUR.astype(np.uint16) * 257))
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, COLOUR)


@pytest.mark.parametrize("scale", [1, 257], ids=["8 bit", "16 bit"])
def test_what_is_transparent_becomes_white(scale):
    alpha = np.zeros((20, 30, 1), np.uint8)
    alpha[:, 15:] = 255
    picture = np.dstack([COLOUR, alpha]).astype(np.uint16 if scale > 1 else np.uint8) * scale
    decoded = decode(encoded(".png", picture))
    assert (decoded[:, :15] == 255).all()
    assert np.array_equal(decoded[:, 15:], COLOUR[:, 15:])


def test_exif_rotation_is_applied():
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6: turn right
    jpeg = encoded(".jpg")
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    assert decode(turned).shape == (30, 20, 3)


def test_pixels_are_counted_before_decoding():
    # 50 000 x 50 000 pixels of a PNG whose data never comes: decoding would ask for 7.5 GB first.
    head = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    error = refusal(bomb)
    assert (error.code, error.status, error.field) == ("too_large", 413, "user")
    assert "50000 x 50000" in error.message


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_picture"),
        (b"hello, this is text", "not_an_image"),
        (b"GIF89a" + bytes(40), "unsupported_media_type"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "unsupported_media_type"),
        (encoded(".png")[:60], "not_an_image"),
    ],
    ids=["empty", "text", "gif", "heic", "cut png"],
)
def test_what_is_not_a_picture_has_a_code(data, code):
    assert refusal(data).code == code
