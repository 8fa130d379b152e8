"""From any rate to 16 kHz, block by block, so that an hour needs no more memory than a second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import gcd

import numpy as np

RATE = 16_000
_ZEROS = 12  # zero crossings of the sinc on each side: about 70 dB of what would fold back is gone


def to_16k(blocks: Iterable[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """Mono blocks at `rate` as mono blocks at 16 kHz; together as long as the input, to a sample.

    A windowed sinc with its cut-off below both Nyquist rates, held as one filter for each of the `up` positions that
    an output sample can have between two input samples: 48 kHz has 1 position, 44.1 kHz has 160.
    """
    if rate == RATE:
        yield from blocks
        return
    common = gcd(rate, RATE)
    up, down = RATE // common, rate // common
    filters, reach = _filters(up, down)
    held = np.zeros(reach, np.float32)  # input from `first - reach` on, where `first` is what is needed next
    base, done, total = -reach, 0, 0
    for block in _then_end(blocks):
        last = block is None
        held = np.concatenate([held, np.zeros(reach + 1, np.float32) if last else block])
        total += 0 if last else len(block)
        # Output n stands at input n * down / up and needs `reach` samples on both sides of it.
        end = -(-total * up // down) if last else max(done, (base + len(held) - reach - 1) * up // down)
        if end > done:
            windows = np.lib.stride_tricks.sliding_window_view(held, 2 * reach)
            out = np.empty(end - done, np.float32)
            for n in range(done, min(done + up, end)):  # one output of each position; the others follow at `up`
                start = n * down // up - reach + 1 - base
                same = out[n - done :: up]
                np.matmul(windows[start::down][: len(same)], filters[n * down % up], out=same)
            yield out
            done = end
        keep = max(0, done * down // up - reach - base)
        held, base = held[keep:], base + keep


def _then_end(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray | None]:
    yield from blocks
    yield None


def _filters(up: int, down: int) -> tuple[np.ndarray, int]:
    """One row of 2 * reach weights for each position, and the reach in input samples."""
    cut = min(1.0, up / down) * 0.94
    reach = int(np.ceil(_ZEROS / cut))
    offset = np.arange(1 - reach, reach + 1)[None, :] - np.arange(up)[:, None] / up
    window = 0.5 + 0.5 * np.cos(np.pi * np.clip(offset / reach, -1, 1))
    weights = np.sinc(cut * offset) * window
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32), reach
