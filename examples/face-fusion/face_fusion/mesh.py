"""468 points of a face with FaceMesh (192 x 192) of MediaPipe (Apache-2.0), and which of them mean what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from face_fusion.crop import Square, cut
from face_fusion.detection import Face

_SIZE = 192
_MARGIN = 1.5  # the network was trained on squares 1.5 times as wide as the face
_MOST_FITS = 4
_AT_REST = 0.015  # mean move of the points, as a share of the distance between the eyes
RIGHT_EYE, LEFT_EYE = 33, 263  # outer corners; right and left of the person
RIGHT_CHEEK, LEFT_CHEEK = 234, 454
FOREHEAD, CHIN = 10, 152
# The outline of the face, clockwise from the top of the forehead.
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The points of one face: 468 x 3, x and y in pixels of the picture, z in the same unit, smaller is nearer."""

    points: np.ndarray
    logit: float

    @property
    def presence(self) -> float:
        """The network's own probability that it looks at a face."""
        return float(1 / (1 + np.exp(-self.logit)))

    @property
    def flat(self) -> np.ndarray:
        """x and y only."""
        return self.points[:, :2]

    @property
    def eye_distance(self) -> float:
        """Between the outer corners of the eyes, in pixels."""
        return float(np.linalg.norm(self.flat[LEFT_EYE] - self.flat[RIGHT_EYE]))

    @property
    def yaw(self) -> float:
        """How far the head is turned: about 0 from the front, towards -1 or 1 from a side. Sine of the angle."""
        return float(self.axes()[0, 2])

    def axes(self) -> np.ndarray:
        """The head's own right, down and forward directions as rows of unit vectors."""
        across = self.points[LEFT_CHEEK] - self.points[RIGHT_CHEEK]
        down = self.points[CHIN] - self.points[FOREHEAD]
        across = across / np.linalg.norm(across)
        down = down - across * (down @ across)
        down = down / np.linalg.norm(down)
        return np.stack([across, down, np.cross(across, down)])

    def frontal(self) -> np.ndarray:
        """The points as seen from straight ahead of the face, x and y in pixels."""
        return (self.points - self.points.mean(axis=0)) @ self.axes()[:2].T


class Mesher:
    """The landmark network. Not for use by two threads at once: each thread has its own."""

    def __init__(self, model: Path) -> None:
        self._net = cv2.dnn.readNetFromTFLite(str(model))

    def measure(self, picture: np.ndarray, face: Face) -> Landmarks:
        """The points of a detected face, also when it stands on its head.

        The detector takes an upside-down face for an upright one (mouth for eyes), so both ways up are measured and the
        one in which the network is surer that it sees a face is kept: the logits differ by 10 and more. It is measured
        again in a square fitted to its points, until they rest: once as a rule, more often after a poor detection.
        """
        square = Square(face.x, face.y, face.side * _MARGIN, face.angle)
        seen = max((self._once(picture, square.turned(by)) for by in (0.0, np.pi)), key=lambda seen: seen.logit)
        for _ in range(_MOST_FITS):
            before, seen = seen, self._once(picture, _fitted(seen))
            if np.abs(seen.flat - before.flat).mean() < _AT_REST * seen.eye_distance:
                break
        return seen

    def _once(self, picture: np.ndarray, square: Square) -> Landmarks:
        blob = cv2.dnn.blobFromImage(cut(picture, square, _SIZE), 1 / 255, swapRB=True)
        self._net.setInput(blob)
        raw, logit = self._net.forward(["conv2d_21", "conv2d_31"])
        points = raw.reshape(-1, 3).astype(float)
        matrix = square.to_picture(_SIZE)
        places = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        depth = points[:, 2:] * (square.side / _SIZE)
        return Landmarks(np.hstack([places, depth]), logit.item())


def _fitted(seen: Landmarks) -> Square:
    """The square around the points, turned with the eyes."""
    across = seen.flat[LEFT_EYE] - seen.flat[RIGHT_EYE]
    angle = float(np.arctan2(across[1], across[0]))
    c, s = np.cos(angle), np.sin(angle)
    turned = seen.flat @ np.array([[c, -s], [s, c]])
    low, high = turned.min(axis=0), turned.max(axis=0)
    x, y = np.array([[c, -s], [s, c]]) @ ((low + high) / 2)
    return Square(float(x), float(y), float((high - low).max()) * _MARGIN, angle)
