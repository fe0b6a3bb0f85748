"""All detections of a frame set as one table in the odom frame, so that the tracker works on all sensors at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.core.messages import C, Detections, FrameSet

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Rows = IntArray | BoolArray
T = TypeVar("T")

_SCORE_BOUND = 0.01  # no detector is surer than 99 %
_MAX_OFFSET_S = 1.0
_FLOOR = 1e-4  # (1 cm)^2, (1 cm/s)^2: no detector is surer than that, and a covariance must not be singular


@dataclasses.dataclass(frozen=True)
class Measurements:
    """N detections, odom frame, float64, m, rad, s and m/s; those of one sensor stand together in a canonical order.

    line_of_sight: horizontal part of the unit vector from the sensor to the object. class_prob: rows sum to 1.
    """

    sensor: IntArray  # (N,) index of the frame set's slot
    time_ns: IntArray  # (N,) instant at which the object was measured
    position: FloatArray  # (N, 3)
    position_cov: FloatArray  # (N, 3, 3)
    velocity: FloatArray  # (N, 2), 0 where not measured
    velocity_cov: FloatArray  # (N, 2, 2)
    has_velocity: BoolArray  # (N,)
    radial_speed: FloatArray  # (N,)
    radial_sigma: FloatArray  # (N,)
    has_radial: BoolArray  # (N,)
    ambiguity: FloatArray  # (N,) width of the interval that the radial speed is known modulo, 0 = unambiguous
    line_of_sight: FloatArray  # (N, 2)
    size: FloatArray  # (N, 3), NaN where not measured
    size_sigma: FloatArray  # (N, 3)
    yaw: FloatArray  # (N,), NaN where not measured
    yaw_sigma: FloatArray  # (N,)
    class_prob: FloatArray  # (N, C)
    score: FloatArray  # (N,)

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: Rows) -> Measurements:
        return take(self, rows)


def take(table: T, rows: Rows) -> T:
    """The rows of a dataclass whose fields are all arrays with one row per thing."""
    columns = {field.name: getattr(table, field.name)[rows] for field in dataclasses.fields(table)}  # type: ignore[arg-type]
    return dataclasses.replace(table, **columns)  # type: ignore[type-var]


def join(tables: list[T]) -> T:
    """Dataclasses of arrays, one below the other."""
    names = [field.name for field in dataclasses.fields(tables[0])]  # type: ignore[arg-type]
    columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
    return dataclasses.replace(tables[0], **columns)  # type: ignore[type-var]


def measurements(frames: FrameSet, time_ns: int, modalities: Collection[str]) -> Measurements:
    """The frame set's usable detections of these modalities.

    A detection without a finite position and covariance, or measured more than a second from the reference instant,
    cannot be filtered and is left out. The order within a sensor is by score, then position, so that the order in which
    a detector lists its objects means nothing.
    """
    rotation = frames.odom_SE3_ego.rotation
    origin = np.asarray(frames.position)
    tables = [
        _of_sensor(index, slot.detections, rotation, origin, time_ns)
        for index, slot in enumerate(frames.slots)
        if slot.detections is not None and slot.modality in modalities
    ]
    return join(tables) if tables else _empty()


def _of_sensor(index: int, seen: Detections, rotation: FloatArray, origin: FloatArray, time_ns: int) -> Measurements:
    position = seen.position.astype(np.float64) @ rotation.T + origin
    position_cov = rotation @ seen.position_cov.astype(np.float64) @ rotation.T + _FLOOR * np.eye(3)
    flat = rotation[:2, :2]  # roll and pitch of the ego frame matter little to a horizontal speed
    velocity = seen.velocity.astype(np.float64) @ flat.T
    velocity_cov = flat @ seen.velocity_cov.astype(np.float64) @ flat.T + _FLOOR * np.eye(2)
    sight = position - (rotation @ np.asarray(seen.origin) + origin)
    sight /= np.maximum(np.linalg.norm(sight, axis=1), 1e-9)[:, None]
    radial_speed, radial_sigma = seen.radial_speed.astype(np.float64), np.abs(seen.radial_sigma.astype(np.float64))
    has_velocity = finite_rows(velocity) & finite_rows(velocity_cov)
    has_radial = np.isfinite(radial_speed) & np.isfinite(radial_sigma)
    table = Measurements(
        sensor=np.full(len(seen), index, dtype=np.int64),
        time_ns=time_ns + seen.time_offset_ns.astype(np.int64),
        position=position,
        position_cov=0.5 * (position_cov + np.swapaxes(position_cov, 1, 2)),
        velocity=np.where(has_velocity[:, None], velocity, 0.0),
        velocity_cov=np.where(has_velocity[:, None, None], velocity_cov, np.eye(2)),
        has_velocity=has_velocity,
        radial_speed=np.where(has_radial, radial_speed, 0.0),
        radial_sigma=np.where(has_radial, np.maximum(radial_sigma, 0.01), 1.0),
        has_radial=has_radial,
        ambiguity=np.full(len(seen), seen.radial_ambiguity, dtype=np.float64),
        line_of_sight=sight[:, :2],
        size=seen.size.astype(np.float64),
        size_sigma=seen.size_sigma.astype(np.float64),
        yaw=seen.yaw.astype(np.float64) + float(np.arctan2(rotation[1, 0], rotation[0, 0])),
        yaw_sigma=seen.yaw_sigma.astype(np.float64),
        class_prob=_probabilities(seen.class_score.astype(np.float64)),
        score=np.clip(np.nan_to_num(seen.score.astype(np.float64)), _SCORE_BOUND, 1.0 - _SCORE_BOUND),
    )
    usable = finite_rows(position) & _positive(table.position_cov)
    usable &= np.abs(seen.time_offset_ns.astype(np.int64)) <= int(_MAX_OFFSET_S * 1e9)
    order = np.lexsort((position[:, 2], position[:, 1], position[:, 0], -table.score))
    return table.take(order[usable[order]])


def _probabilities(class_score: FloatArray) -> FloatArray:
    """Class scores sum to at most 1; what is missing is spread over all classes."""
    known = np.clip(np.nan_to_num(class_score), 0.0, 1.0)
    known /= np.maximum(known.sum(axis=1, keepdims=True), 1.0)
    return np.asarray(known + (1.0 - known.sum(axis=1, keepdims=True)) / C)


def seconds(nanoseconds: IntArray) -> FloatArray:
    return np.asarray(nanoseconds * 1e-9, dtype=np.float64)


def finite_rows(array: FloatArray) -> BoolArray:
    """(N,) whether all of row i is finite."""
    return np.asarray(np.isfinite(array).all(axis=tuple(range(1, array.ndim))))


def _positive(cov: FloatArray) -> BoolArray:
    """(N,) whether each (3, 3) matrix is a covariance, by Sylvester's criterion."""
    finite = finite_rows(cov)
    safe = np.where(finite[:, None, None], cov, np.eye(3))
    minor = safe[:, 0, 0] * safe[:, 1, 1] - safe[:, 0, 1] ** 2
    return np.asarray(finite & (safe[:, 0, 0] > 0.0) & (minor > 0.0) & (np.linalg.det(safe) > 0.0))


def _empty() -> Measurements:
    whole, real, flag = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool)
    return Measurements(
        whole, whole, np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, 2)), np.zeros((0, 2, 2)), flag, real, real,
        flag, real, np.zeros((0, 2)), np.zeros((0, 3)), np.zeros((0, 3)), real, real, np.zeros((0, C)), real,
    )  # fmt: skip
