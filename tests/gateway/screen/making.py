"""How the samples of the corpus are made, by Pillow, pillow-heif and PyAV, and what those and mutagen say they are."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import mutagen
import numpy as np
import pillow_heif
import soundfile
from PIL import Image

pillow_heif.register_heif_opener()
Image.MAX_IMAGE_PIXELS = None  # some samples are big on purpose


@dataclass(frozen=True, slots=True)
class Sample:
    """One file and what it is. None: the libraries do not say. `slack_s`: how much longer it may be said to be."""

    name: str
    data: bytes
    mime: str
    type: str
    kind: str
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    seconds: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    slack_s: float = 0.0


def photo(width: int, height: int, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """A picture with some texture, the same for the same arguments."""
    noise = np.random.default_rng(seed).integers(0, 255, (max(1, height // 16), max(1, width // 16), 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def saved(image: Image.Image, fmt: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


def picture(name: str, data: bytes, type_: str) -> Sample:
    """A sample with what Pillow says; frames count for the formats whose frames follow each other in time or pages."""
    with Image.open(io.BytesIO(data)) as opened:
        width, height = opened.size
        frames = getattr(opened, "n_frames", 1) if type_ in {"gif", "apng", "webp", "tiff", "avif", "png"} else 1
    return Sample(name, data, f"image/{type_}", type_, "image", width, height, frames)


def tone(seconds: float, rate: int, channels: int) -> np.ndarray:
    """A tone with a little noise, 16 bits, one row a channel."""
    t = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * 440 * t) * 0.3 + np.random.default_rng(1).normal(0, 0.02, t.size)
    return np.repeat((tone * 32767).astype(np.int16)[None, :], channels, axis=0)


def _add_sound(container: Any, codec: str, seconds: float, rate: int, layout: str, bit_rate: int | None) -> Any:
    stream = container.add_stream(codec, rate=rate)
    stream.layout = layout
    if bit_rate:
        stream.bit_rate = bit_rate
    return stream


def _encode_sound(container: Any, stream: Any, samples: np.ndarray, rate: int, layout: str) -> None:
    frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).copy(), format="s16", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    resampler = av.AudioResampler(
        format=stream.format.name if stream.format else None, layout=layout, rate=rate, frame_size=stream.frame_size
    )
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(stream.encode(piece))
    container.mux(stream.encode(None))


def sound(
    format_: str,
    codec: str,
    seconds: float = 2.5,
    rate: int = 44100,
    layout: str = "stereo",
    bit_rate: int | None = None,
    **options: str,
) -> bytes:
    """A tone in this container and codec."""
    out = io.BytesIO()
    with av.open(out, "w", format=format_, options=options) as container:
        stream = _add_sound(container, codec, seconds, rate, layout, bit_rate)
        _encode_sound(container, stream, tone(seconds, rate, len(stream.layout.channels)), rate, layout)
    return out.getvalue()


def vorbis(rate: int) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, tone(2.5, rate, 2).T, rate, format="OGG", subtype="VORBIS")
    return out.getvalue()


def decoded_sound(data: bytes) -> tuple[float, int, int]:
    """Seconds that decode, sample rate, channels: by PyAV."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        return samples / stream.rate, stream.rate, len(stream.layout.channels)


def track(name: str, data: bytes, mime: str, type_: str, slack_s: float = 0.0, tagger: bool = True) -> Sample:
    """A sample with what PyAV decodes and mutagen (`tagger`) says, whichever is longer."""
    seconds, rate, channels = decoded_sound(data)
    try:
        told = mutagen.File(io.BytesIO(data)) if tagger else None
    except mutagen.MutagenError:  # RF64, WebM and others that it does not read
        told = None
    if told is not None:
        seconds = max(seconds, getattr(told.info, "length", 0.0))
    return Sample(
        name, data, mime, type_, "audio", seconds=seconds, sample_rate=rate, channels=channels, slack_s=slack_s
    )


def clip(
    format_: str,
    codec: str,
    size: tuple[int, int] = (176, 144),
    frames: int = 25,
    rate: int = 25,
    with_sound: str | None = None,
    **options: str,
) -> bytes:
    """A moving picture in this container and codec. Written to a file: moving the index to the front needs one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        _record(str(path), format_, codec, size, frames, rate, with_sound, options)
        return path.read_bytes()


def _record(
    path: str,
    format_: str,
    codec: str,
    size: tuple[int, int],
    frames: int,
    rate: int,
    with_sound: str | None,
    options: dict[str, str],
) -> None:
    with av.open(path, "w", format=format_, options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        voice = _add_sound(container, with_sound, 1, 48000, "mono", None) if with_sound else None
        for n in range(frames):
            pixels = np.full((size[1], size[0], 3), (n * 9) % 255, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
        if voice is not None:
            _encode_sound(container, voice, tone(frames / rate, 48000, 1), 48000, "mono")


def encoded_picture(name: str, codec: str, pixels: str, size: tuple[int, int] = (160, 120)) -> Sample:
    """A JPEG of a kind that only ffmpeg writes, with what PyAV says of it."""
    out = io.BytesIO()
    with av.open(out, "w", format="image2pipe") as container:
        stream = container.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        container.mux(stream.encode(av.VideoFrame.from_image(photo(*size)).reformat(format=pixels)))
        container.mux(stream.encode(None))
    with av.open(io.BytesIO(out.getvalue())) as container:
        frame = next(container.decode(container.streams.video[0]))
    return Sample(name, out.getvalue(), "image/jpeg", "jpeg", "image", frame.width, frame.height, 1)


def movie(name: str, data: bytes, mime: str, type_: str, frames: bool = True, slack_s: float = 0.1) -> Sample:
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        count = sum(1 for _ in container.decode(stream))
        seconds = max(count / stream.average_rate, (container.duration or 0) / 1e6 if name != "webm-live" else 0)
        return Sample(
            name,
            data,
            mime,
            type_,
            "video",
            stream.codec_context.width,
            stream.codec_context.height,
            count if frames else None,
            float(seconds),
            slack_s=slack_s,
        )
