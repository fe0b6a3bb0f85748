"""Where a board is in a LiDAR's sweep: isolated planar patches of its size."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from calibration.se3 import FloatArray

_CANDIDATES = 12  # of one sweep


class BoardShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """width, height: of the plate, metres, along board x and y. centre: (x, y) of the plate in the board's frame."""

    width: float
    height: float
    centre: tuple[float, float]

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.height > 0 and np.isfinite([*self.centre, self.width, self.height]).all()):
            raise ValueError(f"plate: expected width and height above 0, got {self.width} x {self.height}")

    @property
    def reach(self) -> float:
        """Half the diagonal, metres."""
        return 0.5 * float(np.hypot(self.width, self.height))

    def outside(self, on_board: FloatArray) -> FloatArray:
        """(N,) metres by which points (N, 3), board frame, are outside the plate's border; negative inside."""
        x = np.abs(on_board[:, 0] - self.centre[0]) - 0.5 * self.width
        y = np.abs(on_board[:, 1] - self.centre[1]) - 0.5 * self.height
        return np.asarray(np.hypot(np.maximum(x, 0), np.maximum(y, 0)) + np.minimum(np.maximum(x, y), 0))


class LidarBoardSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """range_m: the board is nearer than this. plane_m: a point of a plane is within this of it. noise_m: of a range.

    border_m: of where a scan line's end lies against the border. min_points: of the board in a sweep.
    """

    range_m: float = 6.0
    plane_m: float = 0.06
    noise_m: float = 0.017
    border_m: float = 0.015
    min_points: int = 60


class Patch(NamedTuple):
    """An isolated planar patch. rows: (K,) its points in the sweep. centre, normal: (3,), towards the LiDAR."""

    rows: npt.NDArray[np.int64]
    centre: FloatArray
    normal: FloatArray


def find_patches(xyz: FloatArray, shape: BoardShape, settings: LidarBoardSettings) -> list[Patch]:
    """Planar patches of the board's size with nothing of their plane around them, the fullest first."""
    near = np.flatnonzero(np.isfinite(xyz).all(axis=1) & (np.linalg.norm(xyz, axis=1) < settings.range_m))
    if len(near) < settings.min_points:
        return []
    points = xyz[near]
    tree = cKDTree(points)
    patches: list[tuple[int, Patch]] = []
    cells = np.unique(np.floor(points / (0.5 * shape.reach)).astype(np.int64), axis=0, return_index=True)[1]
    for centre in points[cells]:
        if any(np.linalg.norm(centre - p.centre) < 0.3 * shape.reach for _, p in patches):
            continue
        inside: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        for _ in range(5):
            around = np.array(tree.query_ball_point(centre, 1.6 * shape.reach))
            distance = np.linalg.norm(points[around] - centre, axis=1)
            ball = around[distance < shape.reach]
            if len(ball) < settings.min_points:
                break
            middle, normal = plane_of(points[ball], settings.plane_m)
            in_plane = np.abs((points[around] - middle) @ normal) < settings.plane_m
            inside = around[in_plane & (distance < 1.05 * shape.reach)]
            shell = int((in_plane & (distance > 1.15 * shape.reach)).sum())
            if len(inside) < settings.min_points:
                break
            centre = points[inside].mean(axis=0)
        else:
            if shell < 0.15 * len(inside) and not any(np.linalg.norm(centre - p.centre) < 0.2 for _, p in patches):
                normal = -normal if normal @ centre > 0 else normal
                patches.append((len(inside), Patch(near[inside], centre, normal)))
    return [patch for _, patch in sorted(patches, key=lambda p: -p[0])[:_CANDIDATES]]


def plane_of(points: FloatArray, inlier_m: float) -> tuple[FloatArray, FloatArray]:
    """Centre and normal of the plane that most points lie near: a few random triples, then least squares."""
    triples = points[np.random.default_rng(len(points)).integers(0, len(points), (40, 3))]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    few = points[:: max(1, len(points) // 200)]
    offset = np.einsum("ij,ij->i", triples[:, 0], normals)
    best = int((np.abs(few @ normals.T - offset) < inlier_m).sum(axis=0).argmax())
    near = points[np.abs(points @ normals[best] - offset[best]) < inlier_m]
    centre = near.mean(axis=0)
    return centre, np.linalg.eigh(np.cov((near - centre).T))[1][:, 0]
