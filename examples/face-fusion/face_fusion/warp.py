"""Bending the user's face into the place and pose of the template's.

Where the points go: the user's points are laid over the template's by the best rotation, scale and shift in three
dimensions, so the user's own proportions are seen in the template's pose; inner points then move part of the way
towards them. Points on the outline stay where the template has them, so that the result fits into what is around it.

How the pixels follow: the face is cut into triangles as seen from the front, each triangle is an affine map, and the
map of all of them is drawn once on a coarse grid, enlarged and used for a single resampling. Triangles that face away
in the template (the far cheek of a turned head) are not drawn, nearer ones are drawn over farther ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from face_fusion.mesh import OVAL, Landmarks

_GRID = 384  # cells along the longer side of the coarse map: finer than the triangles, whatever the picture's size
_FREE_FROM = 0.12  # share of the face's width from the outline at which a point may move as far as it likes


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a picture, in whole pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, picture: np.ndarray) -> np.ndarray:
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


def box_around(points: np.ndarray, shape: tuple[int, ...], margin: float) -> Box:
    """The points' box, wider by `margin` of its longer side, inside of a picture of that shape."""
    low, high = points.min(axis=0), points.max(axis=0)
    reach = float((high - low).max()) * margin
    left, top = (int(max(0, np.floor(v - reach))) for v in low)
    right = int(min(shape[1], np.ceil(high[0] + reach) + 1))
    bottom = int(min(shape[0], np.ceil(high[1] + reach) + 1))
    return Box(left, top, max(1, right - left), max(1, bottom - top))


def targets(template: Landmarks, user: Landmarks, shape: float) -> np.ndarray:
    """Where each point of the face goes, 468 x 2; `shape` 0 keeps the template's proportions, 1 takes the user's."""
    placed = _laid_over(user.points, template.points)[:, :2]
    return template.flat + (shape * _freedom(template))[:, None] * (placed - template.flat)


def warp(picture: np.ndarray, source: np.ndarray, target: np.ndarray, template: Landmarks, box: Box) -> np.ndarray:
    """The picture's face, its `source` points moved to `target`, cut to the box."""
    picture, source = _shrunk(picture, source, target)
    step = max(1.0, max(box.width, box.height) / _GRID)
    cols, rows = int(np.ceil(box.width / step)) + 1, int(np.ceil(box.height / step)) + 1
    grid = _coarse_map(source, (target - (box.left, box.top)) / step, _triangles(template), template, (rows, cols))
    if step > 1:
        # Corner to corner: cv2.resize would shift the map by half a cell.
        matrix = np.array([[1 / step, 0, 0], [0, 1 / step, 0]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        grid = cv2.warpAffine(grid, matrix, (box.width, box.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    else:
        grid = np.ascontiguousarray(grid[: box.height, : box.width])
    return cv2.remap(picture, grid, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _laid_over(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """`points` turned, scaled and shifted onto `onto` with the least squared distance (Umeyama 1991)."""
    a, b = points - points.mean(axis=0), onto - onto.mean(axis=0)
    u, stretch, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = float((stretch * sign).sum() / (a * a).sum())
    return scale * a @ (u * sign @ vt).T + onto.mean(axis=0)


def _freedom(template: Landmarks) -> np.ndarray:
    """For each point how far it may move: 0 on the outline, 1 well inside."""
    front = template.frontal().astype(np.float32)
    outline = front[list(OVAL)].reshape(-1, 1, 2)
    width = float(np.ptp(front[:, 0]))
    inside = np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in front])
    t = np.clip(inside / (_FREE_FROM * width), 0, 1)
    return t * t * (3 - 2 * t)


def _triangles(template: Landmarks) -> np.ndarray:
    """Triples of point numbers that tile the face as seen from the front (Delaunay)."""
    front = template.frontal()
    front = ((front - front.min(axis=0)) / np.ptp(front, axis=0).max() * 1000 + 10).astype(np.float32)
    division = cv2.Subdiv2D((0, 0, 1100, 1100))
    numbers = {}
    for number, (x, y) in enumerate(front):
        numbers.setdefault((float(x), float(y)), number)
        division.insert((float(x), float(y)))
    corners = division.getTriangleList().reshape(-1, 3, 2)
    found = [[numbers.get((float(x), float(y))) for x, y in triangle] for triangle in corners]
    return np.array([triangle for triangle in found if None not in triangle])


def _coarse_map(
    source: np.ndarray, target: np.ndarray, triangles: np.ndarray, template: Landmarks, shape: tuple[int, int]
) -> np.ndarray:
    """For every cell of the grid the place in the source picture, rows x cols x 2.

    Cells outside of all triangles follow the best affine map of the whole face, so nothing jumps at the edge.
    """
    whole = _affine(target[None], source[None])[0]
    corners = target[triangles]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    front = template.frontal()[triangles]
    fa, fb = front[:, 1] - front[:, 0], front[:, 2] - front[:, 0]
    facing = np.sign(fa[:, 0] * fb[:, 1] - fa[:, 1] * fb[:, 0]) * area > 1e-3
    seen = triangles[facing]
    seen = seen[np.argsort(-template.points[seen, 2].mean(axis=1), kind="stable")]
    owner = np.zeros(shape, np.int32)
    for number, polygon in enumerate(np.rint(target[seen] * 16).astype(np.int32), start=1):
        cv2.fillConvexPoly(owner, polygon, number, shift=4)
    maps = np.concatenate([whole[None], _affine(target[seen], source[seen])]).astype(np.float32)
    of_cell = maps[owner]
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return of_cell[..., 0] * x[..., None] + of_cell[..., 1] * y[..., None] + of_cell[..., 2]


def _affine(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Affine maps (n x 2 x 3) that take n sets of points (n x k x 2) onto others, by least squares."""
    ones = np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=2)
    return np.swapaxes(np.linalg.pinv(ones) @ onto, 1, 2)


def _shrunk(picture: np.ndarray, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The face cut out of its picture, and made smaller by averaging if the place it goes to is much smaller."""
    box = box_around(source, picture.shape, 0.35)
    picture, source = box.of(picture), source - (box.left, box.top)
    ratio = float(np.linalg.norm(np.ptp(target, axis=0)) / np.linalg.norm(np.ptp(source, axis=0)))
    if ratio > 0.6:
        return picture, source
    small = cv2.resize(picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    factor = np.array([small.shape[1] / picture.shape[1], small.shape[0] / picture.shape[0]])
    return small, (source + 0.5) * factor - 0.5
