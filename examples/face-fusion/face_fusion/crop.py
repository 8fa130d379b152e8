"""Cutting a turned square out of a picture at a size a network wants."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, slots=True)
class Square:
    """A square of a picture: centre and side in pixels, `angle` in radians (clockwise on the screen)."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def turned(self, by: float) -> Square:
        return Square(self.x, self.y, self.side, self.angle + by)

    def to_picture(self, size: int) -> np.ndarray:
        """The 2x3 matrix from pixels of the cut-out (`size` wide) to pixels of the picture."""
        scale = self.side / size
        c, s = np.cos(self.angle) * scale, np.sin(self.angle) * scale
        half = size / 2
        return np.array([[c, -s, self.x - half * (c - s)], [s, c, self.y - half * (s + c)]])


def cut(picture: np.ndarray, square: Square, size: int) -> np.ndarray:
    """The square, `size` x `size`; what lies outside of the picture is black.

    A large square is shrunk by averaging first: sampling an 8K face at 192 points would see noise.
    """
    matrix = square.to_picture(size)
    shrink = int(square.side / size)
    if shrink >= 2:
        picture, offset = _around(picture, square)
        small = cv2.resize(picture, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        factor = np.array([[small.shape[1] / picture.shape[1]], [small.shape[0] / picture.shape[0]]])
        matrix = matrix - np.array([[0, 0, offset[0]], [0, 0, offset[1]]])
        picture, matrix = small, matrix * factor
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def _around(picture: np.ndarray, square: Square) -> tuple[np.ndarray, tuple[int, int]]:
    """The upright part of the picture that holds the square, and where that part begins."""
    height, width = picture.shape[:2]
    reach = square.side / 2 * (abs(np.cos(square.angle)) + abs(np.sin(square.angle))) + 2
    left, right = (int(np.clip(square.x + d, 0, width)) for d in (-reach, reach))
    top, bottom = (int(np.clip(square.y + d, 0, height)) for d in (-reach, reach))
    if right - left < 2 or bottom - top < 2:
        return picture, (0, 0)
    return picture[top:bottom, left:right], (left, top)
