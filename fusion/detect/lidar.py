"""LiDAR points to detections without a network. Read this file first of the six.

points -> height above ground (`ground`) -> clusters of obstacle cells (`cluster`) -> visible boxes (`box`)
       -> what they are (`cluster_class`) -> full boxes with the covariance of what was not seen (`box.complete`)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from calibration.se3 import FloatArray
from fusion.detect.box import Boxes, complete, fit_boxes, quarter_turn
from fusion.detect.cluster import ClusterSettings, Grid, cluster
from fusion.detect.cluster_class import classify, load_model
from fusion.detect.ground import GroundSettings, ground_grid
from fusion.detect.size_prior import SIZE_MEAN, SIZE_SIGMA
from pipeline.core.messages import CLASSES, Detections
from pipeline.core.settings import Settings

Points = npt.NDArray[np.float32]

_VEHICLES = [CLASSES.index(name) for name in ("car", "truck", "bus", "trailer", "construction_vehicle")]


class LidarSettings(Settings, frozen=True):
    """range_m: half the side of the square around the vehicle that is searched.

    own_body: x from, x to, y from, y to of the vehicle itself in the ego frame, metres; its returns are dropped.
    max_height_m: returns higher above ground belong to nothing on the road.
    min_score: detections below are not given out. face_noise_m: 1-sigma of a box face that was seen.
    yaw_sigma: of a heading that the points show. It is known modulo pi only: front and back look alike.
    """

    range_m: float = 100.0
    own_body: tuple[float, float, float, float] = (-1.5, 4.2, -1.1, 1.1)
    max_height_m: float = 4.5
    min_score: float = 0.05
    face_noise_m: float = 0.1
    yaw_sigma: float = 0.12
    ground: GroundSettings = GroundSettings()
    cluster: ClusterSettings = ClusterSettings()


def detect(
    xyz: Points, t_ns: npt.NDArray[np.int32], origin: FloatArray, settings: LidarSettings, sensor: str
) -> Detections:
    """Objects in one sweep.

    Args:
        xyz: (N, 3) float32, metres, ego frame at one instant (deskewed); NaN and points out of range are skipped.
        t_ns: (N,) int32, when each point was measured, relative to that instant.
        origin: (3,) sensor position, ego frame.
    """
    found = find_clusters(xyz, t_ns, origin, settings)
    scores = classify(found.features, load_model())
    likely = np.flatnonzero(scores.exists >= settings.min_score)
    found = found.pick(likely)
    exists, class_score = scores.exists[likely], scores.class_score[likely]

    best = class_score.argmax(axis=1)
    mean, sigma = SIZE_MEAN[best], SIZE_SIGMA[best]
    vehicle = np.isin(best, _VEHICLES)
    # a side no longer than a vehicle is wide is its front or back, seen end on
    end_on = vehicle & (found.features["length"] < mean[:, 1] + 2 * sigma[:, 1])
    boxes = quarter_turn(found.boxes, end_on)
    full = complete(boxes, origin[:2], mean[:, :2], sigma[:, :2], settings.face_noise_m)

    top = np.maximum(found.top_z, found.floor_z + 0.3)
    height = np.where(vehicle, top - found.floor_z, np.maximum(top - found.floor_z, mean[:, 2] - sigma[:, 2]))
    n = len(best)
    position = np.column_stack([full.centre, found.floor_z + height / 2])
    cos, sin = np.cos(boxes.yaw), np.sin(boxes.yaw)
    turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    cov = np.zeros((n, 3, 3))
    cov[:, :2, :2] = np.einsum("kij,kj,klj->kil", turn, full.centre_sigma**2, turn)
    cov[:, 2, 2] = 0.15**2
    elongated = vehicle | (full.size[:, 0] > 1.5 * full.size[:, 1])
    unknown = np.full((n, 2), np.nan, np.float32)
    return Detections(
        sensor=sensor,
        modality="lidar",
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        position=position.astype(np.float32),
        position_cov=cov.astype(np.float32),
        size=np.column_stack([full.size, height]).astype(np.float32),
        size_sigma=np.column_stack([full.size_sigma, np.full(n, 0.2)]).astype(np.float32),
        yaw=_wrapped(boxes.yaw).astype(np.float32),
        yaw_sigma=np.where(elongated, settings.yaw_sigma, np.pi).astype(np.float32),
        velocity=unknown,
        velocity_cov=np.full((n, 2, 2), np.nan, np.float32),
        radial_speed=unknown[:, 0],
        radial_sigma=unknown[:, 0],
        class_score=class_score.astype(np.float32),
        score=exists.astype(np.float32),
        box2d=np.full((n, 4), np.nan, np.float32),
        time_offset_ns=found.time_ns.astype(np.int32),
        points=found.points.astype(np.int32),
        embedding=np.zeros((n, 0), np.float32),
    )


class Clusters(NamedTuple):
    """K clusters of one sweep. source and start: input points sorted by cluster, and where each cluster begins."""

    boxes: Boxes
    features: dict[str, FloatArray]  # (K,) each, those of `cluster_class.FEATURES`
    floor_z: FloatArray  # (K,) ground under the middle, metres, ego frame
    top_z: FloatArray  # (K,) highest return
    points: npt.NDArray[np.int64]
    time_ns: FloatArray  # (K,) mean time of the returns
    source: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]

    def pick(self, which: npt.NDArray[np.int64]) -> Clusters:
        """Some of the clusters, `source` and `start` left behind."""
        none = np.zeros(0, np.int64)
        return Clusters(
            boxes=Boxes(*(part[which] for part in self.boxes)),
            features={name: value[which] for name, value in self.features.items()},
            floor_z=self.floor_z[which],
            top_z=self.top_z[which],
            points=self.points[which],
            time_ns=self.time_ns[which],
            source=none,
            start=none,
        )


def find_clusters(xyz: Points, t_ns: npt.NDArray[np.int32], origin: FloatArray, settings: LidarSettings) -> Clusters:
    """Clusters of everything that stands above the ground, with visible boxes and features. Arguments as `detect`."""
    index = _in_range(xyz, settings)
    xyz = xyz[index]
    cells = round(2 * settings.range_m / settings.cluster.cell_m)
    grid = Grid(settings.range_m, settings.cluster.cell_m, cells)
    floor = cv2.resize(ground_grid(xyz, settings.range_m, settings.ground), (cells, cells)).reshape(-1)
    cell = grid.cells_of(xyz[:, :2])
    height = xyz[:, 2] - floor[cell]

    obstacle = np.flatnonzero((height > settings.cluster.min_height_m) & (height < settings.max_height_m))
    tall = np.zeros(cells * cells, np.float32)
    tall[cell[height > settings.cluster.structure_height_m]] = 1.0
    label = cluster(cell[obstacle], height[obstacle], grid, settings.cluster)
    order = np.argsort(label, kind="stable")
    order = order[np.searchsorted(label[order], 0) :]
    label, obstacle = label[order], obstacle[order]
    index, xyz, height, cell = index[obstacle], xyz[obstacle], height[obstacle], cell[obstacle]
    count = np.bincount(label)
    start = np.cumsum(count) - count

    boxes = fit_boxes(xyz[:, :2], start)
    middle = boxes.centre
    distinct = np.unique(label * cells**2 + cell) // cells**2
    around = cv2.blur(tall.reshape(cells, cells), (9, 9)).reshape(-1)
    extent = boxes.high - boxes.low
    features = {
        "length": extent[:, 0],
        "width": extent[:, 1],
        "top": _each(np.maximum, height, start),
        "bottom": _each(np.minimum, height, start),
        "mean_height": _each(np.add, height, start) / count,
        "log_points": np.log(count),
        "log_range": np.log(np.maximum(np.hypot(*(middle - origin[:2]).T), 1.0)),
        "fill": np.bincount(distinct, minlength=len(start)) * grid.cell_m**2 / (extent + grid.cell_m).prod(axis=1),
        "closeness": boxes.closeness,
        "overhang": _each(np.add, (height > settings.cluster.max_height_m).astype(np.float32), start) / count,
        "tall_around": _each(np.add, around[cell], start) / count,
    }
    return Clusters(
        boxes=boxes,
        features=features,
        floor_z=floor[grid.cells_of(middle.astype(np.float32))].astype(np.float64),
        top_z=_each(np.maximum, xyz[:, 2], start),
        points=count,
        time_ns=_each(np.add, t_ns[index].astype(np.float64), start) / count,
        source=index,
        start=start,
    )


def _in_range(xyz: Points, settings: LidarSettings) -> npt.NDArray[np.int64]:
    """Indices of the finite points in the searched square that are not on the vehicle itself."""
    x, y, (left, right, low, high) = xyz[:, 0], xyz[:, 1], settings.own_body
    own = (x > left) & (x < right) & (y > low) & (y < high)
    near = np.abs(xyz[:, :2]).max(axis=1, initial=0.0) < settings.range_m
    return np.flatnonzero(near & ~own & np.isfinite(xyz[:, 2]))


def _each(ufunc: np.ufunc, values: npt.NDArray[Any], start: npt.NDArray[np.int64]) -> FloatArray:
    """(K,) float64: ``ufunc`` reduced over each cluster's run of values."""
    if not len(start):
        return np.zeros(0)
    return np.asarray(ufunc.reduceat(values, start), dtype=np.float64)


def _wrapped(angle: FloatArray) -> FloatArray:
    """To [-pi/2, pi/2): of the two headings that fit, the one along the vehicle's own."""
    return np.asarray(np.mod(angle + np.pi / 2, np.pi) - np.pi / 2)
