"""Prepare: one real fusion, so that a replica gets its first request with everything loaded and paged in."""

import base64
import json
import os
import sys
import urllib.request
from pathlib import Path

replica = json.loads(os.environ["TIDEGATE_PROBE"])
portraits = Path(__file__).parent / "face_fusion" / "portraits"
body = {
    "template": base64.b64encode((portraits / "astronaut.jpg").read_bytes()).decode(),
    "user": base64.b64encode((portraits / "hopper.jpg").read_bytes()).decode(),
    "response": "json",
}
request = urllib.request.Request(
    f"http://{replica['address']}/v1/fuse", json.dumps(body).encode(), {"content-type": "application/json"}
)
try:
    with urllib.request.urlopen(request, timeout=15) as answer:
        fused = json.load(answer)
except OSError as error:
    print(f"the warm-up fusion failed: {error}")
    sys.exit(1)
print(f"fused {fused['width']}x{fused['height']} in {sum(fused['steps_ms'].values()):.0f} ms")
