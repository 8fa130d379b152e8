"""Bytes to pixels and back. A picture is always 8-bit BGR, upright, without alpha."""

from __future__ import annotations

import cv2
import numpy as np

from face_fusion import headers
from face_fusion.errors import BadPicture

Picture = np.ndarray  # height x width x 3, uint8, BGR as OpenCV has it

# Formats people send by mistake: better said by name than "not an image".
_OTHER_FORMATS = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "SVG",
}


def decode(data: bytes, *, max_pixels: int, field: str) -> Picture:
    """Pixels of a JPEG, PNG or WebP; BadPicture for anything else, or for more than `max_pixels`.

    The size is read from the header first. EXIF rotation is applied, 16 bits become 8, grey becomes colour, and what
    is transparent becomes white.
    """
    if not data:
        raise BadPicture("empty_picture", f"{field} has no bytes", field=field)
    header = headers.read(data)
    if header is None:
        raise _unreadable(data, field)
    if header.pixels > max_pixels:
        raise BadPicture(
            "too_large",
            f"{field} is {header.width} x {header.height}, {header.pixels} pixels; at most {max_pixels} are accepted",
            field=field,
            status=413,
        )
    try:
        flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None or not pixels.size:
        raise BadPicture("not_an_image", f"{field} begins like {header.media_type} but cannot be decoded", field=field)
    return _without_alpha(pixels) if header.alpha else pixels


def encode(picture: Picture, media_type: str, quality: int) -> bytes:
    """The picture as image/jpeg (with `quality` 1 to 100) or image/png."""
    if media_type == "image/png":
        ok, data = cv2.imencode(".png", picture)
    else:
        ok, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise RuntimeError(f"OpenCV could not write {media_type}")
    return data.tobytes()


def _without_alpha(pixels: np.ndarray) -> Picture:
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if pixels.shape[2] == 3:
        return pixels
    colour = pixels[..., :3] if pixels.shape[2] == 4 else cv2.cvtColor(pixels[..., 0], cv2.COLOR_GRAY2BGR)
    alpha = pixels[..., -1:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _unreadable(data: bytes, field: str) -> BadPicture:
    name = next((name for start, name in _OTHER_FORMATS.items() if data.startswith(start)), None)
    if data[4:8] == b"ftyp":
        name = "AVIF or HEIC"
    if name:
        message = f"{field} looks like {name}; send JPEG, PNG or WebP"
        return BadPicture("unsupported_media_type", message, field=field, status=415)
    return BadPicture("not_an_image", f"{field} is not a JPEG, PNG or WebP picture", field=field)
