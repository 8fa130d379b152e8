"""Putting a face into a picture without a seam. Three ways, from the cheapest to the dearest."""

from __future__ import annotations

import cv2
import numpy as np

METHODS = ("feather", "pyramid", "poisson")


def mask_of(outline: np.ndarray, shape: tuple[int, ...], inset: float) -> np.ndarray:
    """255 inside of the outline moved inwards by `inset` pixels, else 0; never set on the border."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 255, shift=4)
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    if inset < 1:
        return mask
    return np.where(cv2.distanceTransform(mask, cv2.DIST_L2, 3) > inset, 255, 0).astype(np.uint8)


def blend(face: np.ndarray, base: np.ndarray, mask: np.ndarray, method: str) -> np.ndarray:
    """`base` with `face` where the mask is set, all of one size. Pixels far from the mask are those of `base`."""
    if not mask.any():
        return base
    return {"feather": _feather, "pyramid": _pyramid, "poisson": _poisson}[method](face, base, mask)


def _soft(mask: np.ndarray, share: float) -> np.ndarray:
    """The mask as weights 0 to 1 that fall off over `share` of its size, inside of the mask only."""
    reach = max(2.0, share * float(np.sqrt(np.count_nonzero(mask))))
    t = np.minimum(cv2.distanceTransform(mask, cv2.DIST_L2, 3) / reach, 1)
    return t * t * (3 - 2 * t)


def _feather(face: np.ndarray, base: np.ndarray, mask: np.ndarray) -> np.ndarray:
    weight = _soft(mask, 0.12)[..., None]
    return np.rint(base + weight * (face.astype(np.float32) - base)).astype(np.uint8)


def _pyramid(face: np.ndarray, base: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Each band of detail mixed over a width that suits it (Burt and Adelson 1983)."""
    levels = max(1, int(np.log2(max(8, np.sqrt(np.count_nonzero(mask))))) - 3)
    weight = _soft(mask, 0.04)[..., None]
    bands = []
    # The face and the base share one pyramid: that of their difference is linear in both.
    difference = (face.astype(np.float32) - base.astype(np.float32)) * (mask[..., None] > 0)
    for _ in range(levels):
        below = cv2.pyrDown(difference)
        bands.append((difference - cv2.pyrUp(below, dstsize=difference.shape[1::-1]), weight))
        weight = cv2.pyrDown(weight)[..., None]
        difference = below
    mixed = difference * weight
    for band, share in reversed(bands):
        mixed = cv2.pyrUp(mixed, dstsize=band.shape[1::-1]) + band * share
    return np.clip(np.rint(base + mixed), 0, 255).astype(np.uint8)


def _poisson(face: np.ndarray, base: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The face's gradients with the base's colours at the edge (Perez, Gangnet and Blake 2003, by OpenCV)."""
    left, top, width, height = cv2.boundingRect(mask)
    centre = left + width // 2, top + height // 2
    pasted = cv2.seamlessClone(face, base, mask.copy(), centre, cv2.NORMAL_CLONE)  # it writes into its mask
    # Gradients alone can drift far from any real skin: most of the clone, some of the colour-matched face.
    weight = (0.35 * _soft(mask, 0.25))[..., None]
    mixed = pasted + weight * (face.astype(np.float32) - pasted)
    # OpenCV solves for the whole box, and what should come back as it was comes back rounded.
    return np.where(mask[..., None] > 0, np.rint(mixed).astype(np.uint8), base)
