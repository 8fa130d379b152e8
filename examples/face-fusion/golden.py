"""Verify a new revision: a known fusion comes out whole, and a picture without a face is refused by name."""

import base64
import json
import os
import struct
import sys
import urllib.error
import urllib.request
import zlib
from pathlib import Path

ADDRESS = json.loads(os.environ["TIDEGATE_PROBE"])["address"]
PORTRAITS = Path(__file__).parent / "face_fusion" / "portraits"


def fuse(template: bytes, user: bytes) -> dict:
    """The service's JSON answer, also when it is an error."""
    pictures = {"template": template, "user": user}
    body = {name: base64.b64encode(data).decode() for name, data in pictures.items()} | {"response": "json"}
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://{ADDRESS}/v1/fuse", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def grey(side: int) -> bytes:
    """A PNG of one grey, made by hand so that this script needs nothing but Python."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * side) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def fault() -> str | None:
    """What is wrong with the replica, if anything."""
    template = (PORTRAITS / "astronaut.jpg").read_bytes()
    fused = fuse(template, (PORTRAITS / "hopper.jpg").read_bytes())
    if (fused.get("width"), fused.get("height")) != (512, 512):
        return f"expected a fused picture of 512 x 512, got {str(fused)[:120]}"
    refused = fuse(template, grey(256))
    if refused.get("error", {}).get("code") != "no_face":
        return f"a grey picture should be refused with no_face, got {str(refused)[:120]}"
    return None


try:
    reason = fault()
except (OSError, ValueError) as error:
    reason = f"no usable answer: {error}"
print(reason or "the golden fusion came out, and a picture without a face was refused")
sys.exit(1 if reason else 0)
