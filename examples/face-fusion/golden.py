"""Verify a new revision: a known fusion comes out whole, and a picture without a face is refused by name."""

import base64
import struct
import zlib
from pathlib import Path
from typing import Any

from tidegate.probe import replica

PORTRAITS = Path(__file__).parent / "face_fusion" / "portraits"


def check() -> tuple[bool, str]:
    """Whether the replica fuses as it should, and what was seen."""
    template = (PORTRAITS / "astronaut.jpg").read_bytes()
    fused = fuse(template, (PORTRAITS / "hopper.jpg").read_bytes())
    if (fused.get("width"), fused.get("height")) != (512, 512):
        return False, f"expected a fused picture of 512 x 512, got {str(fused)[:120]}"
    refused = fuse(template, grey(256))
    if refused.get("error", {}).get("code") != "no_face":
        return False, f"a grey picture should be refused with no_face, got {str(refused)[:120]}"
    return True, "the golden fusion came out, and a picture without a face was refused"


def fuse(template: bytes, user: bytes) -> dict[str, Any]:
    """The service's JSON answer, also when it is an error."""
    pictures = {"template": template, "user": user}
    body = {name: base64.b64encode(data).decode() for name, data in pictures.items()} | {"response": "json"}
    return replica.post("/v1/fuse", json_body=body, timeout=15).json()


def grey(side: int) -> bytes:
    """A PNG of one grey, made by hand so that this script needs nothing but Python."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * side) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
