"""Which detection belongs to which labelled object: by place for LiDAR and radar, in the image for cameras.

Classes are not looked at, for a wrong class is one of the errors that are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor
from calibration.se3 import SE3
from nodes.simulator.detections.image import box_in_image
from pipeline.core.messages import Detections
from pipeline.core.truth import TruthObjects

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Boxes(NamedTuple):
    """K labelled boxes in the ego frame of a message, m, rad."""

    centre: FloatArray
    yaw: FloatArray
    size: FloatArray
    class_id: IntArray
    identity: IntArray

    @staticmethod
    def of_labels(labels: TruthObjects, identity: IntArray, odom_SE3_ego: SE3, late_s: float) -> Boxes:
        """At ``late_s`` after their own instant, at their labelled velocity."""
        centre = labels.position.copy()
        centre[:, :2] += np.nan_to_num(labels.velocity.astype(np.float64)) * late_s
        return Boxes(
            np.asarray(odom_SE3_ego.inverse() @ centre),
            labels.yaw - float(odom_SE3_ego.yaw),
            labels.size.astype(np.float64),
            labels.class_id.astype(np.int64),
            identity,
        )

    def box2d(self, camera: CameraSensor | None) -> FloatArray:
        """(K, 4) px, NaN where it is not in the image."""
        if camera is None:
            return np.full((len(self.yaw), 4), np.nan)
        return box_in_image(self.centre, self.yaw, self.size, camera)

    def depth_inside(self, points: FloatArray) -> FloatArray:
        """(P, K) horizontal distance of points (P, 3) from each footprint, m; 0 inside."""
        away = points[:, None, :2] - self.centre[None, :, :2]
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        along = np.abs(away[..., 0] * cos + away[..., 1] * sin) - self.size[:, 0] / 2
        across = np.abs(away[..., 1] * cos - away[..., 0] * sin) - self.size[:, 1] / 2
        return np.asarray(np.hypot(np.maximum(along, 0.0), np.maximum(across, 0.0)))


class Matched(NamedTuple):
    """detection: (K,) row of each label's detection, -1 = missed. role: (N,) of each detection: 0 the first on its
    object, 1 a further one, 2 false, 3 on a label that is of none of our classes. owner: (N,) label row or -1."""

    detection: IntArray
    role: IntArray
    owner: IntArray
    box2d: FloatArray | None = None


def by_place(boxes: Boxes, found: Detections, sensor: object, visible: FloatArray) -> Matched:
    """A detection may lie outside the footprint by a little; a radar's lies on any part, or at a mirror image of it."""
    slack = 2.0 if found.modality == "radar" else 1.0
    place = found.position.astype(np.float64)
    outside = boxes.depth_inside(place)
    centre = np.linalg.norm(place[:, None, :2] - boxes.centre[None, :, :2], axis=2)
    cost = np.where(outside < slack, centre + 2.0 * outside - 0.5 * found.score[:, None], np.inf)
    return _greedy(cost, outside < slack, boxes)


def in_image(boxes: Boxes, found: Detections, sensor: object, visible: FloatArray) -> Matched:
    """By overlap of the label's box in the image and the detection's; of two alike the one that can be seen."""
    assert isinstance(sensor, CameraSensor)
    label = boxes.box2d(sensor)
    shared, smaller, both = _overlap(found.box2d.astype(np.float64), np.nan_to_num(label, nan=-1e6))
    iou = shared / both
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.linalg.norm(found.position[:, None, :2], axis=2) / np.linalg.norm(boxes.centre[None, :, :2], axis=2)
    near = np.abs(np.log(np.maximum(ratio, 1e-3)))
    cost = np.where(iou > 0.3, 1.0 - iou + 0.2 * near + 0.3 * (1.0 - visible), np.inf)
    matched = _greedy(cost, (shared / smaller > 0.6) & (iou > 0.1), boxes)
    return matched._replace(box2d=label)


MATCHERS: dict[str, Callable[[Boxes, Detections, object, FloatArray], Matched]] = {
    "camera": in_image,
    "lidar": by_place,
    "radar": by_place,
}


def _greedy(cost: FloatArray, touches: npt.NDArray[np.bool_], boxes: Boxes) -> Matched:
    n, k = cost.shape
    detection, owner = np.full(k, -1), np.full(n, -1)
    role = np.full(n, 2)
    order = np.argsort(cost, axis=None, kind="stable")
    for flat in order[: int(np.isfinite(cost).sum())]:
        row, column = divmod(int(flat), k)
        if owner[row] < 0 and detection[column] < 0:
            detection[column], owner[row], role[row] = row, column, 0
    rest = np.flatnonzero((owner < 0) & touches.any(axis=1)) if k else np.zeros(0, np.int64)
    for row in rest:
        owner[row] = int(np.where(touches[row], cost[row], np.inf).argmin()) if np.isfinite(cost[row]).any() else int(
            touches[row].argmax()
        )  # fmt: skip
        role[row] = 1
    unknown = np.append(boxes.class_id < 0, False)[owner]
    role[unknown] = 3
    return Matched(detection, role, owner)


def _overlap(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(N, K) shared area, area of the smaller, area of both together, px2."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    area_a, area_b = ((np.prod(np.maximum(c[:, 2:] - c[:, :2], 1e-3), axis=1)) for c in (a, b))
    smaller = np.minimum(area_a[:, None], area_b[None])
    return shared, smaller, area_a[:, None] + area_b[None] - shared
