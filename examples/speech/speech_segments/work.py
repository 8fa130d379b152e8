"""One recording from bytes to segments, and the threads that do it beside the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speech_segments import audio, segments
from speech_segments.detector import WINDOW, Detector
from speech_segments.errors import Refused
from speech_segments.resample import RATE
from speech_segments.segments import Rules, Segment

RECORDINGS = Path(__file__).parent / "recordings"


@dataclass(frozen=True, slots=True)
class Found:
    """The answer: what the recording was, where speech is in it, and the speech alone as WAV when it was asked for."""

    recording: audio.Recording
    segments: tuple[Segment, ...]
    compute_ms: float
    wav: bytes | None = None


class Workers:
    """A fixed number of threads, each with its own network, and a bounded number of waiting requests."""

    def __init__(self, *, threads: int, max_seconds: int, max_waiting: int) -> None:
        self._threads, self._max_seconds = threads, max_seconds
        self._most = threads + max_waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="speech")
        self._own = threading.local()
        self._inside = 0
        self.ready = False

    async def start(self) -> None:
        """Load the network in every thread and use it once, so that the first request is not a slow one."""
        together = threading.Barrier(self._threads)
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._pool, self._warm, together) for _ in range(self._threads)))
        self.ready = True

    async def find(self, data: bytes, rules: Rules, *, wav: bool = False) -> Found:
        """The segments of a recording, found in a thread of the pool; Refused as `busy` when too many wait already."""
        if self._inside >= self._most:
            message = f"{self._inside} requests are being worked on or waiting; ask again in a moment"
            raise Refused("busy", message, status=503)
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._find, data, rules, wav)
        finally:
            self._inside -= 1

    def stop(self) -> None:
        """Let the threads finish what they have and end."""
        self.ready = False
        self._pool.shutdown(wait=True)

    def _find(self, data: bytes, rules: Rules, wav: bool) -> Found:
        start = time.perf_counter()
        if not hasattr(self._own, "detector"):
            self._own.detector = Detector()
        recording = audio.probe(data, max_seconds=self._max_seconds)
        kept: list[np.ndarray] = []
        blocks = _kept(recording.blocks(), kept) if wav else recording.blocks()
        chances = self._own.detector.probabilities(blocks)
        found = segments.find(chances, WINDOW / RATE, recording.seconds, rules)
        speech = _speech(kept, found) if wav else None
        return Found(recording, found, (time.perf_counter() - start) * 1000, speech)

    def _warm(self, together: threading.Barrier) -> None:
        together.wait()  # each thread takes exactly one of the calls
        self._find((RECORDINGS / "austen.flac").read_bytes(), Rules(), False)


def _kept(blocks: Iterator[np.ndarray], into: list[np.ndarray]) -> Iterator[np.ndarray]:
    for block in blocks:
        into.append(np.rint(np.clip(block, -1, 1) * 32767).astype(np.int16))  # half the memory of floats
        yield block


def _speech(kept: list[np.ndarray], found: tuple[Segment, ...]) -> bytes:
    sound = np.concatenate([*kept, np.zeros(0, np.int16)])
    parts = [sound[round(s.start * RATE) : round(s.end * RATE)] for s in found]
    return audio.as_wav(np.concatenate([*parts, np.zeros(0, np.int16)]), RATE)
