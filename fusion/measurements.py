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
T = TypeVar("T")

MEASURED = 6  # position x, y, z; velocity x, y; radial speed
_SCORE_BOUND = 0.01  # no detector is surer than 99 %
_LEAST_PROBABLE = 1e-3  # of a class
_MAX_OFFSET_NS = 1_000_000_000
_FLOOR = 1e-4  # (1 cm)^2, (1 cm/s)^2: no detector is surer than that
_FAR, _VAGUE, _FAST, _LARGE = 1e4, 300.0, 300.0, 100.0  # m, m 1-sigma, m/s, m or rad: beyond, a number is a mistake


@dataclasses.dataclass(frozen=True)
class Measurements:
    """N detections, odom frame, float64, m, rad, s and m/s; those of one sensor stand together in a canonical order.

    What a detection did not measure: in ``value`` 0 and in ``R`` a row of the identity, with ``present`` False; size
    and yaw 0 with infinite variance.
    """

    sensor: IntArray  # (N,) index of the frame set's slot
    detection: IntArray  # (N,) row in that slot's detections
    time_ns: IntArray  # (N,) instant at which the object was measured
    value: FloatArray  # (N, 6) position x, y, z; velocity x, y; radial speed
    R: FloatArray  # (N, 6, 6)
    present: BoolArray  # (N, 6)
    ambiguity: FloatArray  # (N,) width of the interval that the radial speed is known modulo, 0 = unambiguous
    sight: FloatArray  # (N, 2) horizontal part of the unit vector from the sensor to the object
    size: FloatArray  # (N, 3)
    size_var: FloatArray  # (N, 3)
    yaw: FloatArray  # (N,)
    yaw_var: FloatArray  # (N,)
    class_prob: FloatArray  # (N, C), rows sum to 1
    odds: FloatArray  # (N,) log-odds that it exists, from the detector's score

    def __len__(self) -> int:
        return len(self.sensor)

    def take(self, rows: IntArray | BoolArray) -> Measurements:
        return take(self, rows)


def take(table: T, rows: IntArray | BoolArray) -> T:
    """The rows of a dataclass whose fields are all arrays with one row per thing."""
    return type(table)(*[column[rows] for column in vars(table).values()])


def join(first: T, second: T) -> T:
    """Two dataclasses of arrays, one below the other."""
    both = zip(vars(first).values(), vars(second).values(), strict=True)
    return type(first)(*[np.concatenate(columns) for columns in both])


def seconds(nanoseconds: IntArray) -> FloatArray:
    return np.asarray(nanoseconds * 1e-9, dtype=np.float64)


def measurements(frames: FrameSet, time_ns: int, modalities: Collection[str]) -> Measurements:
    """The frame set's usable detections of these modalities.

    A detection without a position and covariance of reasonable numbers, or measured more than a second from the
    reference instant, cannot be filtered and is left out. The order within a sensor is by score, then position, so that
    the order in which a detector lists its objects means nothing.
    """
    slots = [
        (index, slot.detections)
        for index, slot in enumerate(frames.slots)
        if slot.detections is not None and slot.modality in modalities
    ]
    column = _Columns([seen for _, seen in slots])
    ego_position, ego_cov = column("position", 3), column("position_cov", 3, 3)
    offset, score = column("time_offset_ns"), column("score")
    usable = _within(ego_position, _FAR) & _within(ego_cov, _VAGUE**2) & (np.abs(offset) <= _MAX_OFFSET_NS)
    ego_cov = _conditioned(np.where(usable[:, None, None], ego_cov, 0.0))
    usable &= _positive(ego_cov)
    odds = np.log(_trusted(score) / (1.0 - _trusted(score)))
    count = np.array([len(seen) for _, seen in slots], dtype=np.int64)
    slot_of = np.repeat(np.arange(len(slots)), count)
    order = np.lexsort((ego_position[:, 2], ego_position[:, 1], ego_position[:, 0], -odds, slot_of))
    rows = order[usable[order]]
    column.rows, slot_of = rows, slot_of[rows]

    odom_SE3_ego = frames.odom_SE3_ego
    rotation = odom_SE3_ego.rotation
    flat = rotation[:2, :2]  # roll and pitch of the ego frame matter little to a horizontal speed
    sight = ego_position[rows] - np.array([seen.origin for _, seen in slots]).reshape(-1, 3)[slot_of]
    sight /= np.maximum(np.sqrt((sight**2).sum(axis=1)), 1e-9)[:, None]
    velocity, velocity_cov = column("velocity", 2), column("velocity_cov", 2, 2)
    radial, radial_sigma = column("radial_speed"), column("radial_sigma")
    has_velocity = _within(velocity, _FAST) & _within(velocity_cov, _FAST**2)
    has_radial = (np.abs(radial) <= _FAST) & (np.abs(radial_sigma) <= _FAST)
    velocity_cov = _conditioned(np.where(has_velocity[:, None, None], velocity_cov, 0.0))
    has_velocity &= _positive(velocity_cov)
    size, size_sigma = column("size", 3), column("size_sigma", 3)
    has_size = (size > 0.0) & (size <= _LARGE) & (np.abs(size_sigma) <= _LARGE)
    yaw, yaw_sigma = column("yaw"), column("yaw_sigma")
    has_yaw = (np.abs(yaw) <= _LARGE) & (np.abs(yaw_sigma) < np.pi)

    n = len(rows)
    value, R = np.zeros((n, MEASURED)), np.zeros((n, MEASURED, MEASURED))
    value[:, :3] = odom_SE3_ego @ ego_position[rows]
    value[has_velocity, 3:5] = velocity[has_velocity] @ flat.T
    value[has_radial, 5] = radial[has_radial]
    R[:, :3, :3] = rotation @ ego_cov[rows] @ rotation.T
    R[:, 3:5, 3:5] = np.where(has_velocity[:, None, None], flat @ velocity_cov @ flat.T, np.eye(2))
    R[:, 5, 5] = np.where(has_radial, np.where(has_radial, radial_sigma, 0.0) ** 2 + _FLOOR, 1.0)
    present = np.ones((n, MEASURED), dtype=bool)
    present[:, 3:5], present[:, 5] = has_velocity[:, None], has_radial
    heading = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
    return Measurements(
        sensor=np.array([index for index, _ in slots], dtype=np.int64)[slot_of],
        detection=rows - (np.cumsum(count) - count)[slot_of],
        time_ns=time_ns + offset[rows].astype(np.int64),
        value=value,
        R=R,
        present=present,
        ambiguity=np.array([seen.radial_ambiguity for _, seen in slots], dtype=np.float64)[slot_of],
        sight=sight[:, :2] @ flat.T + sight[:, 2:] * rotation[:2, 2],
        size=np.where(has_size, size, 0.0),
        size_var=np.where(has_size, np.where(has_size, size_sigma, 0.0) ** 2 + _FLOOR, np.inf),
        yaw=np.where(has_yaw, yaw + heading, 0.0),
        yaw_var=np.where(has_yaw, np.where(has_yaw, yaw_sigma, 0.0) ** 2 + _FLOOR, np.inf),
        class_prob=_probabilities(column("class_score", C)),
        odds=odds[rows],
    )


def unusable(z: Measurements, frames: FrameSet, modalities: Collection[str]) -> IntArray:
    """(S,) detections of each slot that are not among its `measurements`, because they cannot be filtered."""
    used = [slot.detections is not None and slot.modality in modalities for slot in frames.slots]
    said = [len(slot.detections) if slot.detections is not None else 0 for slot in frames.slots]
    left = np.bincount(z.sensor, minlength=len(frames.slots))
    return np.where(used, np.array(said, dtype=np.int64) - left, 0)


class _Columns:
    """Fields of several sensors' detections, one below the other, float64; once ``rows`` is set, only those."""

    def __init__(self, all_seen: list[Detections]) -> None:
        self._all_seen = all_seen
        self.rows: IntArray | None = None

    def __call__(self, name: str, *shape: int) -> FloatArray:
        parts = [np.zeros((0, *shape)), *[getattr(seen, name) for seen in self._all_seen]]
        whole = np.concatenate(parts, dtype=np.float64)
        return whole if self.rows is None else whole[self.rows]


def _trusted(score: FloatArray) -> FloatArray:
    known = np.where(np.isfinite(score), score, 0.0)
    return np.clip(known, _SCORE_BOUND, 1.0 - _SCORE_BOUND)


def _probabilities(class_score: FloatArray) -> FloatArray:
    """Class scores sum to at most 1; what is missing is spread over all classes, and no class is ruled out."""
    known = np.clip(np.where(np.isfinite(class_score), class_score, 0.0), 0.0, 1.0)
    known /= np.maximum(known.sum(axis=1, keepdims=True), 1.0)
    whole = np.maximum(known + (1.0 - known.sum(axis=1, keepdims=True)) / C, _LEAST_PROBABLE)
    return np.asarray(whole / whole.sum(axis=1, keepdims=True))


def _conditioned(cov: FloatArray) -> FloatArray:
    """Covariances (N, k, k) made symmetric and far from singular."""
    floor = _FLOOR + 1e-6 * np.trace(cov, axis1=1, axis2=2)
    return np.asarray(0.5 * (cov + np.swapaxes(cov, 1, 2)) + floor[:, None, None] * np.eye(cov.shape[1]))


def _within(array: FloatArray, bound: float) -> BoolArray:
    """(N,) whether all of row i is a number of at most this magnitude."""
    return np.asarray((np.abs(array) <= bound).all(axis=tuple(range(1, array.ndim))))


def _positive(cov: FloatArray) -> BoolArray:
    """(N,) whether each (2, 2) or (3, 3) matrix is positive definite, by Sylvester's criterion."""
    minor = cov[:, 0, 0] * cov[:, 1, 1] - cov[:, 0, 1] * cov[:, 1, 0]
    positive = (cov[:, 0, 0] > 0.0) & (minor > 0.0)
    return np.asarray(positive & (np.linalg.det(cov) > 0.0) if cov.shape[1] == 3 else positive)
