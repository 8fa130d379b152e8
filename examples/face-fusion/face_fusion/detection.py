"""Finding faces with BlazeFace (short range, 128 x 128), the detector of MediaPipe.

The anchor layout, the box decoding and the order of the six key points are facts of the model, as its model card and
the graph `face_detection_short_range` of MediaPipe (Apache-2.0) state them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

_SIZE = 128
_WORKING_SIDE = 1024  # faces are looked for in a copy no larger than this
_SURE = 0.5
_SAME_FACE = 0.3  # overlap from which two boxes are one face
# A face of a fifth of the side is about the smallest that the network sees, so smaller ones are looked for in tiles:
# (side of a tile as a share of the longer side, tiles along it). Whoever asks for the next round wants one more row.
_ROUNDS = (((1.0, 1), (0.6, 2)), ((0.35, 4),), ((0.18, 8),))


@dataclass(frozen=True, slots=True)
class Face:
    """A face as the detector sees it: centre, side and eyes in pixels of the picture; `score` from 0 to 1."""

    x: float
    y: float
    side: float
    right_eye: tuple[float, float]
    left_eye: tuple[float, float]
    score: float

    @property
    def angle(self) -> float:
        """Slope of the line between the eyes, in radians; 0 for an upright face."""
        (x0, y0), (x1, y1) = self.right_eye, self.left_eye
        return float(np.arctan2(y1 - y0, x1 - x0))


class Detector:
    """The detector network. Not for use by two threads at once: each thread has its own."""

    def __init__(self, model: Path) -> None:
        self._net = cv2.dnn.readNetFromTFLite(str(model))
        self._anchors = _anchors()

    def find(self, picture: np.ndarray) -> Iterator[list[Face]]:
        """What may be faces, surest first, in rounds: each one looks for smaller faces and takes longer."""
        height, width = picture.shape[:2]
        scale = min(1.0, _WORKING_SIDE / max(height, width))
        small = picture
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        for shares in _ROUNDS:
            tiles = [tile for share, count in shares for tile in _tiles(small.shape, share, count)]
            found = [face for tile in tiles for face in self._in_tile(small, *tile)]
            yield [_scaled(face, 1 / scale) for face in _without_repeats(found)]

    def _in_tile(self, picture: np.ndarray, left: int, top: int, side: int) -> list[Face]:
        tile = picture[max(0, top) : top + side, max(0, left) : left + side]
        border = (
            max(0, -top),
            max(0, top + side - picture.shape[0]),
            max(0, -left),
            max(0, left + side - picture.shape[1]),
        )
        if any(border):
            tile = cv2.copyMakeBorder(tile, *border, cv2.BORDER_CONSTANT)
        method = cv2.INTER_AREA if side > _SIZE else cv2.INTER_LINEAR
        tile = cv2.resize(tile, (_SIZE, _SIZE), interpolation=method)
        self._net.setInput(cv2.dnn.blobFromImage(tile, 1 / 127.5, mean=(127.5, 127.5, 127.5), swapRB=True))
        logits, raw = self._net.forward(["classificators", "regressors"])
        scores = 1 / (1 + np.exp(-np.clip(logits.reshape(-1), -80, 80)))
        return [
            self._face(raw[0, i], self._anchors[i], float(scores[i]), (left, top), side)
            for i in np.flatnonzero(scores >= _SURE)
        ]

    @staticmethod
    def _face(raw: np.ndarray, anchor: np.ndarray, score: float, at: tuple[int, int], side: int) -> Face:
        """One decoded row: centre, size, then six key points, all relative to the anchor in model pixels."""
        points = raw.reshape(8, 2).astype(float) / _SIZE
        size = points[1]
        places = (points + anchor) * side + at
        return Face(*places[0], float(size.max()) * side, tuple(places[2]), tuple(places[3]), score)


def _anchors() -> np.ndarray:
    """Centres of the 896 anchors, 0 to 1: two for each cell of 16 x 16, then six for each of 8 x 8."""
    rows = [
        ((x + 0.5) / cells, (y + 0.5) / cells)
        for cells, count in ((16, 2), (8, 6))
        for y in range(cells)
        for x in range(cells)
        for _ in range(count)
    ]
    return np.array(rows)


def _tiles(shape: tuple[int, ...], share: float, count: int) -> list[tuple[int, int, int]]:
    """Squares (left, top, side) that cover the picture; one square centred on it for a share of 1."""
    height, width = shape[:2]
    longest = max(height, width)
    side = max(16, round(longest * share))

    def starts(length: int) -> list[int]:
        if length <= side:
            return [(length - side) // 2]
        steps = max(2, round(count * length / longest))
        return sorted({round(k * (length - side) / (steps - 1)) for k in range(steps)})

    return [(left, top, side) for top in starts(height) for left in starts(width)]


def _without_repeats(faces: list[Face]) -> list[Face]:
    """The surest box of each face: non-maximum suppression, where a box inside another one counts as the same."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -f.score):
        if all(_overlap(face, other) < _SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _overlap(a: Face, b: Face) -> float:
    """Shared area of two boxes as a part of the smaller one."""
    reach = (a.side + b.side) / 2
    least = min(a.side, b.side)
    wide = min(reach - abs(a.x - b.x), least)
    high = min(reach - abs(a.y - b.y), least)
    return max(0.0, wide) * max(0.0, high) / (least * least or 1.0)


def _scaled(face: Face, by: float) -> Face:
    eyes = ((face.right_eye[0] * by, face.right_eye[1] * by), (face.left_eye[0] * by, face.left_eye[1] * by))
    return Face(face.x * by, face.y * by, face.side * by, *eyes, face.score)
