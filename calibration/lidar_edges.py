"""Which LiDAR points lie where a picture is likely to have an edge: at jumps of depth, and at steps of reflectance.

Both are looked for along a scan line, to either side: up and down the lines are too far apart to say where an edge is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from calibration.se3 import FloatArray

_SIDE_DEG = 0.7  # a neighbour on the same line is nearer than this
_LINE_DEG = 0.12  # where no line is known: points this close in elevation are on one
_FEW_LINES = 4
_STEP_QUANTILE = 0.95
_LEAST_STEP = 0.05  # of the root of reflectance, 0..1


class SweepEdges(NamedTuple):
    """Rows of a sweep. jump: in front of something farther; height: by how many metres. step: of reflectance."""

    jump: npt.NDArray[np.int64]
    height: FloatArray
    step: npt.NDArray[np.int64]


def sweep_edges(xyz: FloatArray, intensity: FloatArray, ring: npt.NDArray[np.int64]) -> SweepEdges:
    """Edges of a sweep (N, 3) in the frame of the LiDAR. intensity: (N,) 0..1. ring: (N,), all alike where unknown."""
    range_m = np.linalg.norm(xyz, axis=1)
    azimuth = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0]))
    if len(np.unique(ring)) > _FEW_LINES:
        sides = _along_rings(azimuth, ring)
    else:
        elevation = np.degrees(np.arcsin(np.clip(xyz[:, 2] / np.maximum(range_m, 1e-9), -1, 1)))
        sides = _along_rows(azimuth, elevation)
    half = sides.shape[1] // 2
    beside = sides[:, [0, half]]
    beyond = np.where(beside >= 0, range_m[beside] - range_m[:, None], -np.inf).max(axis=1)
    jump = np.flatnonzero(beyond > np.maximum(0.4, 0.06 * range_m))
    bright = np.sqrt(np.clip(intensity, 0.0, 1.0))
    like = (sides >= 0) & (np.abs(range_m[sides] - range_m[:, None]) < 0.05 * range_m[:, None] + 0.1)
    left, right = (
        (like[:, s] * bright[sides[:, s]]).sum(axis=1) / np.maximum(like[:, s].sum(axis=1), 1)
        for s in (slice(None, half), slice(half, None))
    )
    both = like[:, :half].any(axis=1) & like[:, half:].any(axis=1)
    contrast = np.where(both, np.abs(left - right), 0.0)
    least = max(float(np.quantile(contrast, _STEP_QUANTILE)) if len(contrast) else 0.0, _LEAST_STEP)
    return SweepEdges(jump, np.minimum(beyond[jump], 3.0), np.flatnonzero(contrast > least))


def _along_rings(azimuth: FloatArray, ring: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(N, 4) the two points to the one side and the two to the other on the same ring, nearest first; -1: none near."""
    order = np.lexsort((azimuth, ring))
    sides = np.full((len(azimuth), 4), -1, dtype=np.int64)
    for column, shift in enumerate((1, 2, -1, -2)):
        beside = np.roll(order, shift)
        near = (ring[beside] == ring[order]) & (np.abs(azimuth[beside] - azimuth[order]) < _SIDE_DEG)
        sides[order, column] = np.where(near, beside, -1)
    return sides


def _along_rows(azimuth: FloatArray, elevation: FloatArray) -> npt.NDArray[np.int64]:
    """The same from directions alone."""
    scaled = np.stack([azimuth / (0.64 * _SIDE_DEG), elevation / _LINE_DEG], axis=1)
    distance, near = cKDTree(scaled).query(scaled, k=7, distance_upper_bound=1.0)
    there = np.isfinite(distance)
    near = np.where(there, near, 0)
    apart = azimuth[near] - azimuth[:, None]
    halves = []
    for right in (apart < 0, apart > 0):
        of_side = np.where(there & right, near, -1)
        by_distance = np.argsort(np.where(of_side >= 0, distance, np.inf), axis=1, kind="stable")[:, :2]
        halves.append(np.take_along_axis(of_side, by_distance, axis=1))
    return np.concatenate(halves, axis=1)
