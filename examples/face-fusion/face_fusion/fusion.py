"""One fusion from bytes to bytes, with the time that each step took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import cv2
import numpy as np

from face_fusion import blend, colour, pictures, warp
from face_fusion.faces import FaceFinder
from face_fusion.mesh import OVAL, Landmarks

_LIGHT = 0.6  # how much of the template's broad light and shade the user's face takes
_TURNED = 0.3  # difference of yaw from which a result is likely to look wrong


@dataclass(frozen=True, slots=True)
class Options:
    """How to fuse. Names and ranges are those of the HTTP API."""

    blend: str = "pyramid"
    shape: float = 0.6
    strength: float = 1.0
    faces: str = "one"
    denoise: bool = False
    media_type: str = "image/jpeg"
    quality: int = 92


@dataclass(frozen=True, slots=True)
class Fused:
    """The result; `steps_ms` in the order in which they were done, `warnings` as stable words."""

    data: bytes
    media_type: str
    width: int
    height: int
    steps_ms: dict[str, float]
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Watch:
    steps_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.steps_ms[name] = self.steps_ms.get(name, 0.0) + (time.perf_counter() - start) * 1000


class Fuser:
    """Fuses pictures. Holds the networks, so each thread has its own."""

    def __init__(self, max_pixels: int) -> None:
        self._finder = FaceFinder()
        self._max_pixels = max_pixels

    def fuse(self, template: bytes, user: bytes, options: Options) -> Fused:
        """The template with the user's face; Refused (errors.py) when the pictures do not allow it."""
        watch = _Watch()
        with watch.step("decode"):
            base = pictures.decode(template, max_pixels=self._max_pixels, field="template")
            own = pictures.decode(user, max_pixels=self._max_pixels, field="user")
        largest = options.faces == "largest"
        with watch.step("template_face"):
            place = self._finder.the_one(base, field="template", largest=largest)
        with watch.step("user_face"):
            face = self._finder.the_one(own, field="user", largest=largest)
        result = _fused(base, place, own, face, options, watch)
        with watch.step("encode"):
            data = pictures.encode(result, options.media_type, options.quality)
        height, width = result.shape[:2]
        turned = abs(place.yaw - face.yaw) > _TURNED
        return Fused(data, options.media_type, width, height, watch.steps_ms, ("pose_gap",) if turned else ())


def _fused(
    base: np.ndarray, place: Landmarks, own: np.ndarray, face: Landmarks, options: Options, watch: _Watch
) -> np.ndarray:
    """`base` with the face; everything outside of the box around the face is left as it is."""
    box = warp.box_around(place.flat, base.shape, 0.08)
    under = box.of(base)
    with watch.step("warp"):
        target = warp.targets(place, face, options.shape)
        warped = warp.warp(own, face.flat, target, place, box)
    if options.denoise:
        with watch.step("denoise"):
            warped = cv2.fastNlMeansDenoisingColored(warped, None, 4, 4, 7, 21)
    with watch.step("colour"):
        outline = target[list(OVAL)] - (box.left, box.top)
        mask = blend.mask_of(outline, under.shape, inset=0.06 * place.eye_distance)
        if mask.any():
            warped = colour.relight(colour.match(warped, under, mask), under, mask, _LIGHT)
    with watch.step("blend"):
        mixed = blend.blend(warped, under, mask, options.blend)
        if options.strength < 1:
            mixed = cv2.addWeighted(mixed, options.strength, under, 1 - options.strength, 0)
        under[:] = mixed  # `under` is a part of `base`, which belongs to this call
    return base
