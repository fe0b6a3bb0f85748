"""A LiDAR sweep to clusters of what stands above the ground, with their visible boxes and features."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from calibration.se3 import FloatArray
from fusion.detect.box import Boxes, fit_boxes
from fusion.detect.cluster import ClusterSettings, Grid, cluster, structure
from fusion.detect.ground import GroundSettings, ground_grid
from pipeline.core.settings import Settings

Points = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class SegmentSettings(Settings, frozen=True):
    """range_m: half the side of the square around the vehicle that is searched.

    own_body: x from, x to, y from, y to of the vehicle itself in the ego frame, metres; its returns are dropped.
    max_height_m: returns higher above ground belong to nothing on the road.
    coarse_cell_m: grid on which the ground is read and buildings are found.
    """

    range_m: float = 100.0
    own_body: tuple[float, float, float, float] = (-1.5, 4.2, -1.5, 1.5)
    max_height_m: float = 4.5
    coarse_cell_m: float = 0.4
    ground: GroundSettings = GroundSettings()
    cluster: ClusterSettings = ClusterSettings()


class Clusters(NamedTuple):
    """K clusters of one sweep. xy and source: its N clustered points in order of cluster; start: where each begins."""

    boxes: Boxes
    features: dict[str, FloatArray]  # (K,) each, those of `cluster_class.FEATURES`
    floor_z: FloatArray  # (K,) ground under the middle, metres, ego frame
    top_z: FloatArray  # (K,) highest return
    points: IntArray  # (K,)
    time_ns: FloatArray  # (K,) mean time of the returns
    xy: Points  # (N, 2)
    source: IntArray  # (N,) index among the points given
    start: IntArray  # (K,)


def find_clusters(xyz: Points, t_ns: npt.NDArray[np.int32], settings: SegmentSettings) -> Clusters:
    """Everything that stands above the ground.

    Args:
        xyz: (N, 3) float32, metres, ego frame at one instant; NaN and points out of range are skipped.
        t_ns: (N,) int32, when each point was measured.
    """
    x, y, z, source = _in_range(xyz, settings)
    coarse, fine = (Grid(settings.range_m, cell_m) for cell_m in (settings.coarse_cell_m, settings.cluster.cell_m))
    ground = ground_grid(x, y, z, settings.range_m, settings.ground)
    floor = cv2.resize(ground, (coarse.cells, coarse.cells)).reshape(-1)
    coarse_cell = coarse.cells_of(x, y)
    height = z - floor[coarse_cell]

    tall = structure(coarse_cell, height, coarse, settings.cluster)
    obstacle = np.flatnonzero(
        (height > settings.cluster.min_height_m) & (height < settings.max_height_m) & ~tall.building[coarse_cell]
    )
    x, y, z, height = x[obstacle], y[obstacle], z[obstacle], height[obstacle]
    coarse_cell, source, cell = coarse_cell[obstacle], source[obstacle], fine.cells_of(x, y)
    label = cluster(cell, height, fine, settings.cluster)

    order = np.argsort(label, kind="stable")
    order = order[np.searchsorted(label[order], 0) :]
    x, y, z, height = x[order], y[order], z[order], height[order]
    label, cell, coarse_cell, source = label[order], cell[order], coarse_cell[order], source[order]
    count = np.bincount(label)
    start = np.cumsum(count) - count

    xy = np.stack([x, y], axis=1)
    boxes = fit_boxes(xy, start)
    extent = boxes.high - boxes.low
    distinct = np.unique(label * fine.cells**2 + cell) // fine.cells**2
    features = {
        "length": extent[:, 0],
        "width": extent[:, 1],
        "top": _each(np.maximum, height, start),
        "mean_height": _each(np.add, height, start) / count,
        "fill": np.bincount(distinct, minlength=len(start)) * fine.cell_m**2 / (extent + fine.cell_m).prod(axis=1),
        "closeness": boxes.closeness,
        "tall_around": _each(np.add, tall.around[coarse_cell], start) / count,
    }
    middle = boxes.centre.astype(np.float32)
    return Clusters(
        boxes=boxes,
        features=features,
        floor_z=floor[coarse.cells_of(middle[:, 0], middle[:, 1])].astype(np.float64),
        top_z=_each(np.maximum, z, start),
        points=count,
        time_ns=_each(np.add, t_ns[source].astype(np.float64), start) / count,
        xy=xy,
        source=source,
        start=start,
    )


def _in_range(xyz: Points, settings: SegmentSettings) -> tuple[Points, Points, Points, IntArray]:
    """x, y, z and index of the finite points in the searched square that are not on the vehicle itself."""
    x, y, z = np.ascontiguousarray(xyz.T)
    left, right, low, high = settings.own_body
    own = (x > left) & (x < right) & (y > low) & (y < high)
    reach = settings.range_m
    inside = (np.abs(x) < reach) & (np.abs(y) < reach) & np.isfinite(z) & ~own
    source = np.flatnonzero(inside)
    return x[source], y[source], z[source], source


def _each(ufunc: np.ufunc, values: npt.NDArray[Any], start: IntArray) -> FloatArray:
    """(K,) float64: ``ufunc`` reduced over each cluster's run of values."""
    if not len(start):
        return np.zeros(0)
    return np.asarray(ufunc.reduceat(values, start), dtype=np.float64)
