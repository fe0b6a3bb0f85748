"""What never moves and hides what lies behind it: the static mesh, cut at the height of the sensors, as a grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nodes.simulator.world.mesh import Mesh

FloatArray = npt.NDArray[np.float64]

_CUT_M = 1.3
_CELL_M = 0.5
_STEPS = 40
_REACH_M = 120.0  # of the grid, beyond the vehicle's path


class Walls:
    """Lines of sight from the vehicle are looked at on three rays per object: its middle and near its two ends.

    Args:
        path: (T, 2) m, odom frame, of the vehicle; walls far from it are left out.
    """

    def __init__(self, static: Mesh, path: FloatArray) -> None:
        self._low = path.min(axis=0) - _REACH_M
        shape = np.ceil((path.max(axis=0) + _REACH_M - self._low) / _CELL_M).astype(np.int64) + 1
        self._grid = np.zeros(tuple(shape), bool)
        cells = ((_cut(static) - self._low) / _CELL_M).astype(np.int64)
        inside = ((cells >= 0) & (cells < shape)).all(axis=1)
        self._grid[cells[inside, 0], cells[inside, 1]] = True
        self.any = bool(inside.any())

    def open(self, origin: FloatArray, centre: FloatArray, half_width: FloatArray) -> FloatArray:
        """(N,) share of the rays that reach the object, for origins (N, 2), centres (N, 2), half widths (N,), m."""
        if not self.any or not len(centre):
            return np.ones(len(centre))
        start = ((origin - self._low) / _CELL_M).astype(np.float32)
        away = ((centre - origin) / _CELL_M).astype(np.float32)
        wide = (half_width / _CELL_M).astype(np.float32)
        distance = np.maximum(np.hypot(away[:, 0], away[:, 1]), np.float32(0.1))
        side = wide / distance
        last = np.clip(1.0 - (wide + 1.0) / distance, 0.0, 1.0)  # a wall beside it does not hide it
        share = np.linspace(0.02, 1.0, _STEPS, dtype=np.float32)[:, None] * last
        flat, columns = self._grid.reshape(-1), self._grid.shape[1]
        total: FloatArray = np.zeros(len(centre))
        for end in (np.float32(-0.7), np.float32(0.0), np.float32(0.7)):
            x = start[:, 0] + share * (away[:, 0] - end * side * away[:, 1])
            y = start[:, 1] + share * (away[:, 1] + end * side * away[:, 0])
            np.clip(x, 0, self._grid.shape[0] - 1, out=x)
            np.clip(y, 0, columns - 1, out=y)
            total += ~flat.take(x.astype(np.int32) * columns + y.astype(np.int32)).any(axis=0)
        return total / 3.0


def _cut(mesh: Mesh) -> FloatArray:
    """(P, 2) points, closer than a cell, on the lines where the triangles cross the height of the cut."""
    z = mesh.vertices[:, 2][mesh.triangles] - _CUT_M
    crossing = (z.min(axis=1) < 0) & (z.max(axis=1) > 0)
    corners, z = mesh.vertices[mesh.triangles[crossing]][..., :2].astype(np.float64), z[crossing]
    if not len(z):
        return np.zeros((0, 2))
    ends = np.full((len(z), 3, 2), np.nan)
    for edge, (a, b) in enumerate(((0, 1), (1, 2), (2, 0))):
        apart = z[:, a] * z[:, b] < 0
        share = z[apart, a] / (z[apart, a] - z[apart, b])
        ends[apart, edge] = corners[apart, a] + share[:, None] * (corners[apart, b] - corners[apart, a])
    valid = ~np.isnan(ends[..., 0])
    two = valid.sum(axis=1) == 2
    pair = ends[two][valid[two]].reshape(-1, 2, 2)
    length = np.linalg.norm(pair[:, 1] - pair[:, 0], axis=1)
    count = np.ceil(length / (0.6 * _CELL_M)).astype(np.int64) + 1
    row = np.repeat(np.arange(len(pair)), count)
    share = (np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)) / np.repeat(
        np.maximum(count - 1, 1), count
    )
    return np.asarray(pair[row, 0] + share[:, None] * (pair[row, 1] - pair[row, 0]))
