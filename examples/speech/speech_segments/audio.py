"""Bytes to sound: WAV, FLAC, Ogg and MP3 by libsndfile, as mono blocks at 16 kHz."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile

from speech_segments.errors import Refused
from speech_segments.resample import to_16k

_BLOCK_SECONDS = 2
_RATES = range(4_000, 384_001)
_MOST_CHANNELS = 16


@dataclass(frozen=True, slots=True)
class Recording:
    """An opened recording: what its header says, and its bytes, not yet decoded."""

    data: bytes
    seconds: float
    rate: int
    channels: int
    kind: str

    def blocks(self) -> Iterator[np.ndarray]:
        """The sound, all channels mixed, at 16 kHz; Refused when a part cannot be decoded."""
        yield from to_16k(self._mono(), self.rate)

    def _mono(self) -> Iterator[np.ndarray]:
        left = round(self.seconds * self.rate)  # no more than was promised: the limit was checked against that
        try:
            with soundfile.SoundFile(io.BytesIO(self.data)) as sound:
                while left > 0:
                    block = sound.read(min(left, _BLOCK_SECONDS * self.rate), dtype="float32", always_2d=True)
                    if not len(block):
                        return
                    left -= len(block)
                    yield np.nan_to_num(block.mean(axis=1))
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise Refused("not_audio", f"the audio cannot be decoded: {error}", field="audio") from error


def probe(data: bytes, *, max_seconds: float) -> Recording:
    """The recording behind the bytes; Refused when it is none, or longer than `max_seconds` by its own header."""
    if not data:
        raise Refused("empty_audio", "the audio has no bytes", field="audio")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            frames, rate, channels, kind = sound.frames, sound.samplerate, sound.channels, sound.format
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise _unreadable(data) from error
    if rate not in _RATES or not 1 <= channels <= _MOST_CHANNELS or frames < 0:
        message = f"{rate} Hz with {channels} channels is not supported: 4 to 384 kHz, 1 to {_MOST_CHANNELS} channels"
        raise Refused("unsupported_media_type", message, field="audio", status=415)
    seconds = frames / rate
    if seconds > max_seconds:
        message = f"the audio is {seconds:.0f} s long; at most {max_seconds} s are accepted"
        raise Refused("too_long", message, field="audio", status=413)
    return Recording(data, seconds, rate, channels, kind)


def as_wav(samples: np.ndarray, rate: int) -> bytes:
    """Mono 16-bit samples as a WAV file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _unreadable(data: bytes) -> Refused:
    other = "MP4 or M4A" if data[4:8] == b"ftyp" else "WebM" if data[:4] == b"\x1aE\xdf\xa3" else None
    if other:
        message = f"the audio looks like {other}; send WAV, FLAC, Ogg or MP3"
        return Refused("unsupported_media_type", message, field="audio", status=415)
    return Refused("not_audio", "the audio is not WAV, FLAC, Ogg or MP3", field="audio")
