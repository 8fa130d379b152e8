"""Prepare and verify: a known recording has three sentences, and they are found."""

from pathlib import Path

from tidegate.probe import replica

RECORDING = Path(__file__).parent / "speech_segments" / "recordings" / "austen.flac"


def check() -> tuple[bool, str]:
    """Whether the replica hears what there is to hear."""
    answer = replica.post("/v1/segments", RECORDING.read_bytes(), headers={"content-type": "audio/flac"}, timeout=15)
    if not answer.ok:
        return False, f"the recording was answered with {answer.status}: {answer.text[:200]}"
    found = len(answer.json()["segments"])
    return found == 3, f"found {found} segments of speech in the example, expected 3"
