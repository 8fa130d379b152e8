"""Making one face's skin look as if it stood in the light of another."""

from __future__ import annotations

import cv2
import numpy as np

_SMALL = 96  # light is smooth: it is measured on a copy this large


def match(face: np.ndarray, like: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`face` with the mean and spread of colour that `like` has where the mask (0 to 255) is set (Reinhard 2001).

    In Lab, one table of 256 values per channel: exact, and as fast as a copy. The spread is changed by at most a
    half, so a picture that is nearly flat does not turn into noise.
    """
    source, goal = cv2.cvtColor(face, cv2.COLOR_BGR2LAB), cv2.cvtColor(like, cv2.COLOR_BGR2LAB)
    mean, spread = (v.ravel() for v in cv2.meanStdDev(source, mask=mask))
    wanted_mean, wanted_spread = (v.ravel() for v in cv2.meanStdDev(goal, mask=mask))
    gain = np.clip(wanted_spread / np.maximum(spread, 1.0), 0.67, 1.5)
    steps = np.arange(256)[:, None]
    table = np.clip(np.rint((steps - mean) * gain + wanted_mean), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.LUT(source, table.reshape(1, 256, 3)), cv2.COLOR_LAB2BGR)


def relight(face: np.ndarray, like: np.ndarray, mask: np.ndarray, amount: float) -> np.ndarray:
    """`face` with part of the broad light and shade of `like`: the template's lamp, the user's features."""
    size = (_SMALL, _SMALL)
    weight = cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255 + 1e-3
    change = _broad(like, weight, size) - _broad(face, weight, size)
    change = cv2.resize(change * amount, face.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(np.rint(face + change), 0, 255).astype(np.uint8)


def _broad(picture: np.ndarray, weight: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture blurred over about a sixth of its width, from what lies under the weight only."""
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    sigma = _SMALL / 6
    top = cv2.GaussianBlur(small * weight, (0, 0), sigma)
    return top / cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
