"""Pictures: what the screen says equals what Pillow says."""

import io

import pytest
from PIL import Image

from tidegate.gateway.screening import MediaLimits, screen_bytes

FORMATS = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("GIF", {}),
    ("BMP", {}),
]


def encoded(fmt: str, size: tuple[int, int] = (640, 480), **options: object) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(out, fmt, **options)
    return out.getvalue()


@pytest.mark.parametrize(("fmt", "options"), FORMATS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (640, 480), (3001, 17)], ids=str)
def test_a_picture_has_the_size_pillow_says(fmt, options, size):
    facts = screen_bytes(encoded(fmt, size, **options), f"image/{fmt.lower()}")
    assert (facts.type, facts.width, facts.height, facts.known) == (fmt.lower(), *size, True)


def test_a_cut_header_is_truncated_and_counts_as_unread():
    facts = screen_bytes(encoded("JPEG")[:50], "image/jpeg")
    assert (facts.refusal, facts.known, facts.pixels) == ("media_truncated", False, 50 * 1024)


def test_a_picture_above_the_limit_is_refused():
    assert screen_bytes(encoded("PNG"), "image/png", MediaLimits(pixels=307199)).refusal == "media_too_many_pixels"
    assert screen_bytes(encoded("PNG"), "image/png", MediaLimits(pixels=307200)).refusal is None
