"""Prepare: one real fusion, so that a replica gets its first request with everything loaded and paged in."""

import base64
from pathlib import Path

from tidegate.probe import healthy, replica, unhealthy

portraits = Path(__file__).parent / "face_fusion" / "portraits"
pictures = {"template": portraits / "astronaut.jpg", "user": portraits / "hopper.jpg"}
body = {name: base64.b64encode(file.read_bytes()).decode() for name, file in pictures.items()}
answer = replica.post("/v1/fuse", json_body=body | {"response": "json"}, timeout=15)
if not answer.ok:
    unhealthy(f"the warm-up fusion was answered with {answer.status}: {answer.text[:200]}")
fused = answer.json()
healthy(f"fused {fused['width']}x{fused['height']} in {sum(fused['steps_ms'].values()):.0f} ms")
