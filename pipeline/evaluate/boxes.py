"""Boxes of one instant in the odom frame: truth, fused tracks or one sensor's detections, all in the same form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from pipeline.core.messages import CLASSES, Detections, Scene
from pipeline.core.truth import TruthObjects

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Boxes:
    """N boxes, odom frame.

    position: (N, 3) centre, m. size: (N, 3) length, width, height, m. yaw: (N,) rad. velocity: (N, 2) m/s, NaN unknown.
    class_id: (N,) index into CLASSES or -1. existence: (N,) probability that something is there. score: (N,) that it is
    there and of this class. identity: (N,) track or object id, -1 = none.
    """

    position: FloatArray
    size: FloatArray
    yaw: FloatArray
    velocity: FloatArray
    class_id: IntArray
    existence: FloatArray
    score: FloatArray
    identity: IntArray

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, rows: BoolArray | IntArray | slice | list[int]) -> Boxes:
        return Boxes(*(getattr(self, field)[rows] for field in _FIELDS))

    @staticmethod
    def empty() -> Boxes:
        return Boxes(*(np.zeros((0, *shape), dtype) for shape, dtype in _LAYOUT))

    @staticmethod
    def join(parts: Sequence[Boxes]) -> Boxes:
        """All rows of all parts, in order."""
        if not parts:
            return Boxes.empty()
        return Boxes(*(np.concatenate([getattr(part, field) for part in parts]) for field in _FIELDS))

    @staticmethod
    def where(which: BoolArray, then: Boxes, otherwise: Boxes) -> Boxes:
        """Row by row one or the other; all (N,)."""
        rows = np.flatnonzero(which)
        fields = {field: getattr(otherwise, field).copy() for field in _FIELDS}
        for field, values in fields.items():
            values[rows] = getattr(then, field)[rows]
        return Boxes(**fields)

    @staticmethod
    def of_truth(truth: TruthObjects) -> Boxes:
        """Existence and score 1 for every object."""
        return Boxes(
            truth.position.astype(np.float64),
            truth.size.astype(np.float64),
            truth.yaw.astype(np.float64),
            truth.velocity.astype(np.float64),
            truth.class_id.astype(np.int64),
            np.ones(len(truth.object_id)),
            np.ones(len(truth.object_id)),
            truth.object_id.astype(np.int64),
        )

    @staticmethod
    def of_scene(scene: Scene) -> Boxes:
        """Fused tracks, each as its most likely class."""
        class_id, probability = _most_likely(scene.class_score)
        existence = scene.existence.astype(np.float64)
        return Boxes(
            scene.track_position.astype(np.float64),
            scene.track_size.astype(np.float64),
            scene.track_yaw.astype(np.float64),
            scene.track_velocity.astype(np.float64),
            class_id,
            existence,
            existence * probability,
            scene.track_id.astype(np.int64),
        )

    @staticmethod
    def of_detections(detections: Detections, odom_SE3_ego: SE3) -> Boxes:
        """One detector's output, brought from the ego frame to odom; identity -1."""
        class_id, probability = _most_likely(detections.class_score)
        existence = detections.score.astype(np.float64)
        heading = float(odom_SE3_ego.yaw)
        turn = np.array([[np.cos(heading), -np.sin(heading)], [np.sin(heading), np.cos(heading)]])
        return Boxes(
            odom_SE3_ego @ detections.position.astype(np.float64),
            detections.size.astype(np.float64),
            detections.yaw.astype(np.float64) + heading,
            detections.velocity.astype(np.float64) @ turn.T,
            class_id,
            existence,
            existence * probability,
            np.full(len(detections), -1, dtype=np.int64),
        )

    def replaced(self, **fields: npt.NDArray[Any]) -> Boxes:
        """The same boxes with some fields exchanged."""
        return replace(self, **fields)

    def moved(self, seconds: float | FloatArray) -> Boxes:
        """At constant velocity for ``seconds`` (scalar or (N,)); boxes of unknown velocity stay."""
        step = np.nan_to_num(self.velocity) * np.reshape(np.asarray(seconds, dtype=np.float64), (-1, 1))
        position = self.position.copy()
        position[:, :2] += step
        return self.replaced(position=position)

    def contains(self, xy: FloatArray) -> BoolArray:
        """(P,) whether each ground point (P, 2) lies in the footprint of any of these boxes."""
        delta = xy[:, None, :] - self.position[None, :, :2]
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        along = np.abs(delta[..., 0] * cos + delta[..., 1] * sin)
        across = np.abs(-delta[..., 0] * sin + delta[..., 1] * cos)
        inside = (along <= self.size[:, 0] / 2) & (across <= self.size[:, 1] / 2)
        return np.asarray(inside.any(axis=1))


_FIELDS = ("position", "size", "yaw", "velocity", "class_id", "existence", "score", "identity")
_LAYOUT: tuple[tuple[tuple[int, ...], type], ...] = (
    ((3,), np.float64),
    ((3,), np.float64),
    ((), np.float64),
    ((2,), np.float64),
    ((), np.int64),
    ((), np.float64),
    ((), np.float64),
    ((), np.int64),
)


def centre_distance(a: Boxes, b: Boxes) -> FloatArray:
    """(len(a), len(b)) distance of the centres in the ground plane, m: the match criterion of nuScenes."""
    delta = a.position[:, None, :2] - b.position[None, :, :2]
    return np.asarray(np.hypot(delta[..., 0], delta[..., 1]))


def wrapped(angle: FloatArray, period: float = 2 * np.pi) -> FloatArray:
    """Angle in [-period/2, period/2), rad."""
    return np.asarray((angle + period / 2) % period - period / 2)


def _most_likely(class_score: npt.NDArray[np.float32]) -> tuple[IntArray, FloatArray]:
    if len(class_score) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    best = class_score.argmax(axis=1)
    return best.astype(np.int64), class_score[np.arange(len(best)), best].astype(np.float64)


def class_name(class_id: int) -> str:
    return CLASSES[class_id] if 0 <= class_id < len(CLASSES) else "ignored"
