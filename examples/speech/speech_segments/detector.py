"""How likely it is, for every 32 ms, that somebody speaks: Silero VAD (MIT) on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from speech_segments.resample import RATE

WINDOW = 512  # samples the network takes at a time
_CONTEXT = 64  # and of the window before, which it wants to see again
_MODEL = Path(__file__).parent / "models" / "silero_vad_16k_op15.onnx"


class Detector:
    """The network. Holds no state between recordings; each thread has its own."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        # The runtime would take all cores of the host, quota or not, and spin while it waits.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(_MODEL), options, providers=["CPUExecutionProvider"])

    def probabilities(self, blocks: Iterable[np.ndarray]) -> Iterator[float]:
        """One number from 0 to 1 for each window of 16 kHz sound; the last one is filled up with silence."""
        state = np.zeros((2, 1, 128), np.float32)
        rate = np.array(RATE, np.int64)
        context = np.zeros(_CONTEXT, np.float32)
        for window in _windows(blocks):
            given = np.concatenate([context, window])[None]
            chance, state = self._session.run(None, {"input": given, "state": state, "sr": rate})
            context = window[-_CONTEXT:]
            yield float(chance.item())


def _windows(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    rest = np.zeros(0, np.float32)
    for block in blocks:
        sound = np.concatenate([rest, block])
        whole = len(sound) // WINDOW * WINDOW
        yield from sound[:whole].reshape(-1, WINDOW)
        rest = sound[whole:]
    if len(rest):
        yield np.pad(rest, (0, WINDOW - len(rest)))
