"""One real fusion through the gateway, with its time: what `make run` does as soon as a replica is ready.

Usage: python try_it.py [GATEWAY_URL]. The URL is also taken from TIDEGATE_GATEWAY.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import httpx

PORTRAITS = Path(__file__).parent / "face_fusion" / "portraits"


def main() -> int:
    gateway = (sys.argv[1:] or [os.environ.get("TIDEGATE_GATEWAY", "http://127.0.0.1:8080")])[0].rstrip("/")
    files = {
        "template": ("hopper.jpg", (PORTRAITS / "hopper.jpg").read_bytes(), "image/jpeg"),
        "user": ("astronaut.jpg", (PORTRAITS / "astronaut.jpg").read_bytes(), "image/jpeg"),
    }
    begun = time.perf_counter()
    try:
        answer = httpx.post(f"{gateway}/face-fusion/v1/fuse", files=files, timeout=60)
    except httpx.HTTPError as error:
        print(f"The fusion got no answer from {gateway}: {error}", file=sys.stderr)
        return 1
    took_ms = 1000 * (time.perf_counter() - begun)
    if answer.status_code != 200:
        print(f"The fusion failed with {answer.status_code}: {answer.text[:300]}", file=sys.stderr)
        return 1
    replica = answer.headers.get("x-tidegate-replica", "?")
    size_kb = len(answer.content) / 1000
    print(f"First fusion through the gateway: {took_ms:.0f} ms, {size_kb:.0f} kB JPEG, answered by {replica}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
