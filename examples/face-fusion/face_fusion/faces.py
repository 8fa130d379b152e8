"""The one face of a picture: found, measured and, when there are several, chosen or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from face_fusion.detection import Detector
from face_fusion.errors import BadFace
from face_fusion.mesh import Landmarks, Mesher

_MODELS = Path(__file__).parent / "models"
_PRESENT = 0.5  # the landmark network's own probability that it looks at a face
_RIVAL = 0.6  # a second face counts when its eyes are at least this far apart, as a share of the largest face's
_CANDIDATES = 8  # of one round; measuring one takes as long as looking through three tiles


class FaceFinder:
    """Both networks. Not for use by two threads at once: each thread has its own."""

    def __init__(self) -> None:
        self._detector = Detector(_MODELS / "face_detection_short_range.tflite")
        self._mesher = Mesher(_MODELS / "face_landmark.tflite")

    def all(self, picture: np.ndarray) -> list[Landmarks]:
        """Every face that the search found at the first size that has any, largest first.

        The detector alone takes a knee for a face now and then; only what the landmark network confirms is kept.
        """
        for candidates in self._detector.find(picture):
            measured = (self._mesher.measure(picture, face) for face in candidates[:_CANDIDATES])
            faces = [face for face in measured if face.presence >= _PRESENT]
            if faces:
                return _distinct(sorted(faces, key=lambda face: -face.eye_distance))
        return []

    def the_one(self, picture: np.ndarray, *, field: str, largest: bool = False) -> Landmarks:
        """The face of a portrait; BadFace when there is none, or several of like size and not `largest`."""
        faces = self.all(picture)
        if not faces:
            raise BadFace("no_face", f"no face was found in {field}", field=field)
        rivals = [face for face in faces if face.eye_distance >= _RIVAL * faces[0].eye_distance]
        if len(rivals) > 1 and not largest:
            message = f"{field} shows {len(rivals)} faces; send one, or faces=largest to take the largest"
            raise BadFace("several_faces", message, field=field)
        return faces[0]


def _distinct(faces: list[Landmarks]) -> list[Landmarks]:
    """Without faces that stand on top of one another: two detections may be fitted to the same points."""
    kept: list[Landmarks] = []
    for face in faces:
        middle = face.flat.mean(axis=0)
        if all(np.linalg.norm(middle - other.flat.mean(axis=0)) > other.eye_distance / 2 for other in kept):
            kept.append(face)
    return kept
