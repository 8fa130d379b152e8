"""Mutates real media and requests, and checks the laws of the screen on what comes out.

Laws, for every input:
1. The screen does not fail, and its work is bounded: at most a fixed number of Lua steps and some per byte.
2. The first bytes say the same as the whole body, or ask for it.
3. What a decoder opens is never said to be smaller: of pictures the pixels (Pillow), of sounds the seconds that decode
   (PyAV). A refusal satisfies this.
4. A wrapped medium is not said to be smaller than the same bytes sent raw.

Run many: `python -m gateway.screen.fuzz --count 1000000 --seed 7`; one again: the failure prints its seed and number.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import av
from lupa import lua54
from PIL import Image

from gateway.screen.corpus import Sample, corpus
from gateway.screen.wrapping import WRAPPINGS
from tidegate.gateway.screening import WINDOWS_BYTES, lua_path

MOST = 2**53  # where the screen stops counting
LARGEST_BYTES = 60_000

STEPS_AT_ALL = 4_000_000
STEPS_PER_BYTE = 150

# Every how many inputs the costlier checks run.
DECODE_EVERY = 11
WRAP_EVERY = 5

# Where frames are damaged PyAV puts in some of its own: a fraction of the length, and seconds.
CONCEALED = 0.1

COUNTING = b"""
local screen = require("media.screen")
local steps = 0
local DIGITS = {}
for code = 0, 255 do
  DIGITS[string.char(code)] = string.format("%02X", code)
end
local function counted(call, ...)
  steps = 0
  debug.sethook(function() steps = steps + 1000 end, "", 1000)
  local answer = call(...)
  debug.sethook()
  return answer, steps
end
return function(data, content_type, ...)
  local whole, steps = counted(screen.body, data, content_type, "", {total = #data})
  local heads = {}
  for k, window in ipairs({...}) do
    local front = data:sub(1, window)
    heads[2 * k - 1] = screen.head(front, content_type, "", {total = #data})
    -- The proxy asks for these only where no header tells of a container.
    local raw = heads[2 * k - 1]:sub(1, 6) ~= "whole:"
    heads[2 * k] = raw and screen.digits(front:gsub(".", DIGITS) .. ":" .. #data, "") or "whole:"
  end
  return whole, steps, table.unpack(heads)
end
"""

# What Pillow calls the formats that the screen reads; it opens odder ones, which the screen judges by their bytes.
READ = {
    "JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "HEIF", "AVIF", "ICO", "CUR", "JPEG2000", "PPM", "QOI", "PSD",
}  # fmt: skip

PROGRESS_EVERY = 50_000

INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)


class LawBroken(AssertionError):
    """An input for which a law does not hold."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the screen said, as far as the laws ask."""

    code: str
    kind: str
    type: str
    pixels: int
    seconds: float


def _said(record: bytes) -> Said:
    fields = record.decode().split(":")
    return Said(fields[0], fields[1], fields[2], int(fields[5]), int(fields[7]) / 1000)


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(min(len(data), rng.choice((64, 1024, len(data)))))] = rng.choice(INTERESTING)


def _random_bytes(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at : at + rng.randint(1, 32)] = rng.randbytes(rng.randint(1, 32))


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(1, min(len(data), rng.choice((40, 1000, 10**9))) + 1) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 2, 4, 30, 3000))]


def _repeat(data: bytearray, rng: random.Random) -> None:
    at, length = rng.randrange(len(data)), rng.choice((1, 4, 20, 500))
    data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))


def _number(data: bytearray, rng: random.Random) -> None:
    """Writes a 16 or 32 bit number, near what lengths and sizes are."""
    size = rng.choice((2, 4))
    value = rng.choice((0, 1, 7, 255, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, len(data), rng.getrandbits(32)))
    at = rng.randrange(min(len(data), rng.choice((64, 600, len(data)))))
    data[at : at + size] = (value & (256**size - 1)).to_bytes(size, rng.choice(("big", "little")))


def _splice(data: bytearray, rng: random.Random) -> None:
    other = rng.choice(seeds()).data
    at = rng.randrange(len(data))
    data[at : at + rng.choice((0, 10, 10**9))] = other[rng.randrange(len(other)) :][: rng.choice((50, 5000))]


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _flip, _number, _number, _random_bytes, _truncate, _remove, _repeat, _splice,
)  # fmt: skip


def seeds() -> tuple[Sample, ...]:
    """The media that are mutated: the smaller ones of the corpus."""
    return _SEEDS or _SEEDS_MADE()


_SEEDS: tuple[Sample, ...] = ()


def _SEEDS_MADE() -> tuple[Sample, ...]:
    global _SEEDS  # noqa: PLW0603
    _SEEDS = tuple(sample for sample in corpus() if len(sample.data) <= LARGEST_BYTES)
    return _SEEDS


def mutated(seed: int, number: int) -> tuple[bytes, str]:
    """The input with this number: bytes and the media type of what they were made from."""
    rng = random.Random(f"{seed}/{number}")
    if rng.random() < 0.02:
        return rng.randbytes(rng.randint(0, 3000)), "application/octet-stream"
    sample = rng.choice(seeds())
    data = bytearray(sample.data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if data:
            rng.choice(MUTATIONS)(data, rng)
    return bytes(data), sample.mime


def picture_pixels(data: bytes, above: int) -> int:
    """Pixels of what Pillow decodes; 0 when it refuses the bytes. Only what has more than `above` is decoded."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format not in READ:
                return 0
            pixels = image.size[0] * image.size[1]
            if above < pixels < 4_000_000:
                image.load()
            return pixels
    except Exception:
        return 0


def sound_seconds(data: bytes) -> float:
    """Seconds of sound that PyAV decodes; 0 when it refuses the bytes."""
    seconds = 0.0
    try:
        with av.open(io.BytesIO(data)) as container:
            for frame in container.decode(container.streams.audio[0]):
                seconds += frame.samples / frame.sample_rate
    except Exception:
        return seconds
    return seconds


class Fuzzer:
    """The screen with a step counter, and the laws."""

    def __init__(self) -> None:
        lua = lua54.LuaRuntime(encoding=None, unpack_returned_tuples=True)
        lua.globals()[b"package"][b"path"] = f"{lua_path()}/lua/?.lua".encode()
        self._run: Any = lua.execute(COUNTING)
        self.steps = 0

    def say(self, data: bytes, content_type: str) -> Said:
        """Screens one body; laws 1 and 2."""
        whole, steps, *heads = self._run(data, content_type.encode(), *WINDOWS_BYTES[:2])
        self.steps = steps
        allowed = STEPS_AT_ALL + STEPS_PER_BYTE * len(data)
        if steps > allowed:
            raise LawBroken(f"{steps} steps for {len(data)} bytes, at most {allowed} allowed")
        for head in heads:
            if head != whole and not head.startswith((b"more:", b"whole:")):
                raise LawBroken(f"the first bytes say {head!r}, the whole body {whole!r}")
        return _said(whole)

    def check(self, data: bytes, mime: str, number: int) -> None:
        """All laws on one input.

        Raises:
            LawBroken: with what was said and what is true.
        """
        raw = self.say(data, mime)
        if raw.code != "ok":
            return
        if mime.startswith("image/") and (pixels := min(picture_pixels(data, raw.pixels), MOST)) > raw.pixels:
            raise LawBroken(f"Pillow sees {pixels} pixels, the screen {raw}")
        if not mime.startswith("image/") and number % DECODE_EVERY == 0:
            seconds = sound_seconds(data)
            if seconds > raw.seconds * (1 + CONCEALED) + CONCEALED:
                raise LawBroken(f"PyAV decodes {seconds} s, the screen says {raw}")
        if number % WRAP_EVERY == 0:
            self._check_wrapped(data, mime, number, raw)

    def _check_wrapped(self, data: bytes, mime: str, number: int, raw: Said) -> None:
        names = sorted(WRAPPINGS)
        name = names[number // WRAP_EVERY % len(names)]
        wrapped = self.say(*WRAPPINGS[name](data, mime))
        known = raw.type != "unknown" and len(data) > 30
        if wrapped.code == "ok" and known and (wrapped.pixels < raw.pixels or wrapped.seconds < raw.seconds):
            raise LawBroken(f"raw {raw}, but as {name} {wrapped}")


def inputs(seed: int, count: int, first: int = 0) -> Iterator[tuple[int, bytes, str]]:
    """Numbers, bytes and media types of `count` inputs."""
    for number in range(first, first + count):
        yield (number, *mutated(seed, number))


def fuzz(seed: int, count: int, first: int = 0) -> None:
    """Checks the laws on `count` inputs.

    Raises:
        LawBroken: for the first input that breaks one; the message tells how to repeat it.
    """
    fuzzer = Fuzzer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, data, mime in inputs(seed, count, first):
            if number % PROGRESS_EVERY == 0 and number > first:
                print(f"{number - first} inputs", file=sys.stderr, flush=True)
            try:
                fuzzer.check(data, mime, number)
            except Exception as error:
                again = f"python -m gateway.screen.fuzz --seed {seed} --first {number} --count 1"
                raise LawBroken(
                    f"{type(error).__name__}: {error}\n{mime}, {len(data)} bytes; again: {again}"
                ) from error


def main() -> None:
    """Command line of the fuzzer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    av.logging.set_level(av.logging.PANIC)
    fuzz(options.seed, options.count, options.first)
    print(f"{options.count} inputs of seed {options.seed}: no law broken")


if __name__ == "__main__":
    main()
