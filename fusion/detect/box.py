"""Oriented boxes around clusters of points seen from above, and what can be said of the sides that were not seen.

Fit: search over headings for the rectangle whose edges lie closest to the points (Zhang, Xu, Dong and Dolan, Efficient
L-shape fitting for vehicle detection using laser scanners, IV 2017, closeness criterion), all clusters at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.settings import Settings

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_COARSE = np.deg2rad(np.arange(0.0, 90.0, 6.0))
_FINE = np.deg2rad(np.array([-4.0, -2.0, 2.0, 4.0]))
_NEAREST_M = 0.05  # distances to an edge below this count the same: range noise, not shape
_FIT_POINTS = 200  # of one cluster at most; more only cost time


class Boxes(NamedTuple):
    """K visible boxes. yaw: of the longer side, in [0, pi). low, high: (K, 2) of the box along its own axes, metres."""

    yaw: Array
    low: Array
    high: Array
    closeness: Array  # (K,) mean of 1 / distance to the nearest edge, 1/m: high for crisp edges

    @property
    def centre(self) -> Array:
        """(K, 2) middle of the boxes, in the frame of the points."""
        return _turned(self.yaw, (self.low + self.high) / 2)

    @property
    def corners(self) -> Array:
        """(K, 4, 2) corners in the frame of the points."""
        ends = np.stack([self.low, self.high])
        return np.stack(
            [_turned(self.yaw, np.stack([ends[i, :, 0], ends[j, :, 1]], 1)) for i in (0, 1) for j in (0, 1)], 1
        )


def fit_boxes(xy: npt.NDArray[np.float32], start: IntArray) -> Boxes:
    """Fit one box to each cluster.

    Args:
        xy: (N, 2) float32, metres, points sorted by cluster.
        start: (K,) int64, index of each cluster's first point, increasing, first 0; no cluster is empty.
    """
    size = np.diff(np.append(start, len(xy)))
    if not len(size):
        return Boxes(np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))
    stride = np.maximum(1, -(-size // _FIT_POINTS))
    rank = np.arange(len(xy)) - np.repeat(start, size)
    picked = rank % np.repeat(stride, size) == 0
    thin = xy[picked]
    thin_size = -(-size // stride)
    thin_start = np.cumsum(thin_size) - thin_size
    point_cluster = np.repeat(np.arange(len(size)), thin_size)

    def closeness(yaw: Array) -> Array:
        """(K,) criterion at one heading per cluster."""
        cos, sin = np.cos(yaw).astype(np.float32), np.sin(yaw).astype(np.float32)
        cos, sin = cos[point_cluster], sin[point_cluster]
        along, across = thin[:, 0] * cos + thin[:, 1] * sin, thin[:, 1] * cos - thin[:, 0] * sin
        nearest = np.minimum(
            _edge_distance(along, thin_start, thin_size), _edge_distance(across, thin_start, thin_size)
        )
        total = np.add.reduceat(1.0 / np.maximum(nearest, _NEAREST_M), thin_start)
        return np.asarray(total / thin_size, dtype=np.float64)

    best = np.zeros(len(size))
    best_score = np.full(len(size), -np.inf)
    for angle in _COARSE:
        score = closeness(np.full(len(size), angle))
        best = np.where(score > best_score, angle, best)
        best_score = np.maximum(score, best_score)
    coarse = best
    for step in _FINE:
        score = closeness(coarse + step)
        best = np.where(score > best_score, coarse + step, best)
        best_score = np.maximum(score, best_score)

    low, high = extents(xy, start, best)
    return _longer_side_first(Boxes(best, low, high, best_score))


def extents(xy: npt.NDArray[np.float32], start: IntArray, yaw: Array) -> tuple[Array, Array]:
    """(K, 2) lowest and highest coordinate of each cluster along and across its own heading ``yaw`` (K,)."""
    size = np.diff(np.append(start, len(xy)))
    cos, sin = (np.repeat(f(yaw), size).astype(np.float32) for f in (np.cos, np.sin))
    own = xy[:, 0] * cos + xy[:, 1] * sin, xy[:, 1] * cos - xy[:, 0] * sin
    low, high = (np.stack([f.reduceat(c, start) for c in own], axis=1) for f in (np.minimum, np.maximum))
    return low.astype(np.float64), high.astype(np.float64)


def quarter_turn(boxes: Boxes, turn: npt.NDArray[np.bool_]) -> Boxes:
    """The same rectangles with length and width exchanged where ``turn`` is True: x' = y, y' = -x."""
    low = np.where(turn[:, None], np.stack([boxes.low[:, 1], -boxes.high[:, 0]], axis=1), boxes.low)
    high = np.where(turn[:, None], np.stack([boxes.high[:, 1], -boxes.low[:, 0]], axis=1), boxes.high)
    return boxes._replace(yaw=np.mod(boxes.yaw + turn * (np.pi / 2), 2 * np.pi), low=low, high=high)


def _longer_side_first(boxes: Boxes) -> Boxes:
    extent = boxes.high - boxes.low
    return quarter_turn(boxes, extent[:, 1] > extent[:, 0])


def _turned(yaw: Array, xy: Array) -> Array:
    """(K, 2) box coordinates to the frame of the points."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.stack([xy[:, 0] * cos - xy[:, 1] * sin, xy[:, 0] * sin + xy[:, 1] * cos], axis=1)


def _edge_distance(coordinate: npt.NDArray[np.float32], start: IntArray, size: IntArray) -> npt.NDArray[np.float32]:
    low = np.repeat(np.minimum.reduceat(coordinate, start), size)
    high = np.repeat(np.maximum.reduceat(coordinate, start), size)
    return np.asarray(np.minimum(coordinate - low, high - coordinate))


class Completed(NamedTuple):
    """K full boxes: centre (K, 2) in the ego frame, size (K, 2), and 1-sigma of both along the box's own axes."""

    centre: Array
    size: Array
    centre_sigma: Array
    size_sigma: Array


class CompletionSettings(Settings, frozen=True):
    """face_noise_m: 1-sigma of a face that was seen. margin_m: returns lie this far inside the outermost surface.

    near_share: of what is added to a box of which next to nothing was seen, this share lies on the near side, because
    something in front may hide the near end as well. unseen_sigma: 1-sigma of the centre per metre added.
    """

    face_noise_m: float = 0.15
    margin_m: float = 0.07
    near_share: float = 0.4
    unseen_sigma: float = 0.3


def complete(boxes: Boxes, origin_xy: Array, mean: Array, sigma: Array, settings: CompletionSettings) -> Completed:
    """Extend the visible boxes to what their class is expected to measure.

    Along each axis the box grows away from the sensor, for the near end is more often seen than the far one. Where the
    sensor looks at the middle of a side, it grows both ways.

    Args:
        origin_xy: (2,) sensor position, ego frame.
        mean, sigma: (K, 2) expected length and width and their spread, metres.
    """
    visible = boxes.high - boxes.low + 2 * settings.margin_m
    size = np.maximum(visible, mean)
    added = size - visible
    cos, sin = np.cos(boxes.yaw), np.sin(boxes.yaw)
    eye = np.stack([origin_xy[0] * cos + origin_xy[1] * sin, origin_xy[1] * cos - origin_xy[0] * sin], axis=1)
    middle = (boxes.low + boxes.high) / 2
    away = np.clip((middle - eye) / np.maximum(visible / 2, 0.25), -1.0, 1.0)  # -1, 1: beyond an end; between: beside
    unseen = added / size
    near = settings.near_share * unseen * unseen[:, ::-1]  # a face seen from edge to edge is where the object ends
    middle = middle + away * (1 - 2 * near) * added / 2
    return Completed(
        centre=_turned(boxes.yaw, middle),
        size=size,
        centre_sigma=np.hypot(settings.face_noise_m, settings.unseen_sigma * added),
        size_sigma=np.where(added > 0, np.minimum(sigma, 0.3 * size), 1.5 * settings.face_noise_m),
    )
