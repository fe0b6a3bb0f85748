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
_FLOOR = 1e-4  # (1 cm)^2, (1 cm/s)^2: no detector is surer than that, and a covariance must not be singular


@dataclasses.dataclass(frozen=True)
class Measurements:
    """N detections, odom frame, float64, m, rad, s and m/s; those of one sensor stand together in a canonical order.

    What a detection did not measure: in ``value`` 0 and in ``R`` a row of the identity, with ``present`` False; size
    and yaw 0 with infinite variance.
    """

    sensor: IntArray  # (N,) index of the frame set's slot
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

    A detection without a finite position and covariance, or measured more than a second from the reference instant,
    cannot be filtered and is left out. The order within a sensor is by score, then position, so that the order in which
    a detector lists its objects means nothing.
    """
    slots = [
        (index, slot.detections)
        for index, slot in enumerate(frames.slots)
        if slot.detections is not None and slot.modality in modalities
    ]
    rotation = frames.odom_SE3_ego.rotation
    flat = rotation[:2, :2]  # roll and pitch of the ego frame matter little to a horizontal speed
    counts = [len(seen) for _, seen in slots]
    per_slot = np.repeat(np.arange(len(slots)), counts)
    all_seen = [seen for _, seen in slots]

    position = _stacked(all_seen, "position", (3,)) @ rotation.T
    origins = np.array([seen.origin for seen in all_seen]).reshape(-1, 3) @ rotation.T
    sight = position - origins[per_slot]
    sight /= np.maximum(np.sqrt((sight**2).sum(axis=1)), 1e-9)[:, None]
    velocity = _stacked(all_seen, "velocity", (2,)) @ flat.T
    velocity_cov = flat @ _stacked(all_seen, "velocity_cov", (2, 2)) @ flat.T
    radial, radial_sigma = _stacked(all_seen, "radial_speed"), _stacked(all_seen, "radial_sigma")
    score = _stacked(all_seen, "score")
    offset = _stacked(all_seen, "time_offset_ns").astype(np.int64)
    size, size_sigma = _stacked(all_seen, "size", (3,)), _stacked(all_seen, "size_sigma", (3,))
    yaw, yaw_sigma = _stacked(all_seen, "yaw"), _stacked(all_seen, "yaw_sigma")

    n = len(score)
    value, R, present = np.zeros((n, MEASURED)), np.zeros((n, MEASURED, MEASURED)), np.ones((n, MEASURED), dtype=bool)
    present[:, 3:5] = (_finite(velocity) & _finite(velocity_cov))[:, None]
    present[:, 5] = np.isfinite(radial) & np.isfinite(radial_sigma)
    value[:, :3] = position + np.asarray(frames.position)
    value[:, 3:5], value[:, 5] = velocity, radial
    value[:, 3:][~present[:, 3:]] = 0.0
    R[:, :3, :3] = rotation @ _stacked(all_seen, "position_cov", (3, 3)) @ rotation.T + _FLOOR * np.eye(3)
    R[:, 3:5, 3:5] = np.where(present[:, 3, None, None], velocity_cov + _FLOOR * np.eye(2), np.eye(2))
    R[:, 5, 5] = np.where(present[:, 5], radial_sigma**2 + _FLOOR, 1.0)
    has_size = np.isfinite(size) & np.isfinite(size_sigma)
    has_yaw = np.isfinite(yaw) & (yaw_sigma < np.pi)
    trusted = np.clip(np.nan_to_num(score), _SCORE_BOUND, 1.0 - _SCORE_BOUND)
    table = Measurements(
        sensor=np.array([index for index, _ in slots], dtype=np.int64)[per_slot],
        time_ns=time_ns + offset,
        value=value,
        R=0.5 * (R + np.swapaxes(R, 1, 2)),
        present=present,
        ambiguity=np.array([seen.radial_ambiguity for seen in all_seen], dtype=np.float64)[per_slot],
        sight=sight[:, :2],
        size=np.where(has_size, size, 0.0),
        size_var=np.where(has_size, size_sigma**2 + _FLOOR, np.inf),
        yaw=np.where(has_yaw, yaw + float(np.arctan2(rotation[1, 0], rotation[0, 0])), 0.0),
        yaw_var=np.where(has_yaw, yaw_sigma**2 + _FLOOR, np.inf),
        class_prob=_probabilities(_stacked(all_seen, "class_score", (C,))),
        odds=np.log(trusted / (1.0 - trusted)),
    )
    usable = _finite(table.value) & _positive(table.R) & (np.abs(offset) <= _MAX_OFFSET_NS)
    order = np.lexsort((value[:, 2], value[:, 1], value[:, 0], -table.odds, table.sensor))
    return table.take(order[usable[order]])


def _stacked(all_seen: list[Detections], name: str, shape: tuple[int, ...] = ()) -> FloatArray:
    """One field of all detections, float64."""
    rows = [getattr(seen, name) for seen in all_seen]
    return np.concatenate([np.zeros((0, *shape)), *rows], dtype=np.float64)


def _probabilities(class_score: FloatArray) -> FloatArray:
    """Class scores sum to at most 1; what is missing is spread over all classes, and no class is ruled out."""
    known = np.clip(np.nan_to_num(class_score), 0.0, 1.0)
    known /= np.maximum(known.sum(axis=1, keepdims=True), 1.0)
    whole = np.maximum(known + (1.0 - known.sum(axis=1, keepdims=True)) / C, _LEAST_PROBABLE)
    return np.asarray(whole / whole.sum(axis=1, keepdims=True))


def _finite(array: FloatArray) -> BoolArray:
    """(N,) whether all of row i is finite."""
    return np.asarray(np.isfinite(array).all(axis=tuple(range(1, array.ndim))))


def _positive(cov: FloatArray) -> BoolArray:
    """(N,) whether each covariance's blocks are positive definite, by Sylvester's criterion."""
    finite = _finite(cov)
    c = np.where(finite[:, None, None], cov, np.eye(MEASURED))
    plane = c[:, 0, 0] * c[:, 1, 1] - c[:, 0, 1] ** 2
    moving = c[:, 3, 3] * c[:, 4, 4] - c[:, 3, 4] ** 2
    good = finite & (c[:, 0, 0] > 0.0) & (plane > 0.0) & (c[:, 3, 3] > 0.0) & (moving > 0.0) & (c[:, 5, 5] > 0.0)
    return np.asarray(good & (np.linalg.det(c[:, :3, :3]) > 0.0))
