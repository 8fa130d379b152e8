"""Prepare and verify: a known recording has three sentences, and they are found."""

import json
import os
import sys
import urllib.request
from pathlib import Path

replica = json.loads(os.environ["TIDEGATE_PROBE"])
recording = Path(__file__).parent / "speech_segments" / "recordings" / "austen.flac"
request = urllib.request.Request(
    f"http://{replica['address']}/v1/segments", recording.read_bytes(), {"content-type": "audio/flac"}
)
try:
    with urllib.request.urlopen(request, timeout=15) as answer:
        found = len(json.load(answer)["segments"])
except (OSError, ValueError) as error:
    print(f"the warm-up recording failed: {error}")
    sys.exit(1)
print(f"found {found} segments of speech in the example, expected 3")
sys.exit(0 if found == 3 else 1)
