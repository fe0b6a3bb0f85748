"""A pose as a function of time, interpolated between samples and never guessed far beyond them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3, FloatArray, hat, interpolate

Rows: TypeAlias = npt.NDArray[Any]  # (3, n), float32 or float64

_CHUNK = 32768  # points worked on at a time: their intermediate rows stay in the processor's cache


class Trajectory:
    """Poses ``parent_SE3_child`` at increasing times.

    Between two samples the rotation turns at constant speed (SLERP) and the origin moves on a straight line.

    Args:
        times_ns: (K,) int64, strictly increasing, vehicle clock.
        poses: batch of K transforms.
        max_extrapolation_ns: how far beyond the first and last sample a query may lie (constant velocity).

    Raises:
        ValueError: no sample, times not strictly increasing, or sizes differ.
    """

    def __init__(self, times_ns: npt.ArrayLike, poses: SE3, max_extrapolation_ns: int = 0) -> None:
        self.times_ns = np.asarray(times_ns, dtype=np.int64)
        self.poses = poses
        self.max_extrapolation_ns = max_extrapolation_ns
        if self.times_ns.ndim != 1 or len(self.times_ns) == 0 or poses.shape != self.times_ns.shape:
            raise ValueError(f"a trajectory needs K >= 1 times and K poses, got {self.times_ns.shape}, {poses.shape}")
        if (self.times_ns[1:] <= self.times_ns[:-1]).any():
            raise ValueError("trajectory times must increase strictly")

    def covers(self, times_ns: npt.ArrayLike) -> bool:
        """Whether `at` answers for all of these times; true for no times."""
        times = np.asarray(times_ns, dtype=np.int64)
        slack = self.max_extrapolation_ns
        return times.size == 0 or bool(
            times.min() >= self.times_ns[0] - slack and times.max() <= self.times_ns[-1] + slack
        )

    def at(self, times_ns: npt.ArrayLike) -> SE3:
        """Pose at each time; shape of the batch = shape of ``times_ns``.

        Raises:
            ValueError: a time lies further outside the samples than ``max_extrapolation_ns``.
        """
        times = self._checked(times_ns)
        left = self._interval(times)
        right = self._next(left)
        span = np.maximum(self.times_ns[right] - self.times_ns[left], 1)
        return interpolate(self.poses[left], self.poses[right], (times - self.times_ns[left]) / span)

    def velocity(self, time_ns: int) -> tuple[FloatArray, FloatArray]:
        """Linear (3,) m/s and angular (3,) rad/s velocity of the child at one time, both in the child's axes.

        Those of the interval the time lies in (at a sample: the one that follows it); zero for a single sample.

        Raises:
            ValueError: as in `at`.
        """
        here = self.at(time_ns)
        left = int(self._interval(np.asarray(time_ns)))
        seconds = self._span(left) * 1e-9
        return here.inverse().rotate(self._shifts[left]) / seconds, self._turns[left] / seconds

    def relative_to(self, time_ns: int) -> Trajectory:
        """The same motion, ``now_SE3_child``, seen from where the child is at ``time_ns``: numbers that fit float32.

        Raises:
            ValueError: as in `at`.
        """
        return Trajectory(self.times_ns, self.at(time_ns).inverse() @ self.poses, self.max_extrapolation_ns)

    def apply(self, times_ns: npt.NDArray[np.int64], points: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Points (N, 3) in the child frame, each at its own time (N,), to the parent frame.

        Equal to ``self.at(times_ns) @ points`` and many times faster: within an interval the rotation is
        ``exp(a phi) = I + sin(a |phi|) K + (1 - cos(a |phi|)) K^2`` (Rodrigues), so that after one product with
        constant matrices only two scalars differ from point to point. float32 points are worked on in float32.

        Raises:
            ValueError: as in `at`.
        """
        return self._move(times_ns, points, self._to_parent)

    def apply_inverse(self, times_ns: npt.NDArray[np.int64], points: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Points (N, 3) in the parent frame to the child frame, each at its own time (N,): inverse of `apply`.

        Raises:
            ValueError: as in `at`.
        """
        return self._move(times_ns, points, self._to_child)

    def _checked(self, times_ns: npt.ArrayLike) -> npt.NDArray[np.int64]:
        times = np.asarray(times_ns, dtype=np.int64)
        if not self.covers(times):
            raise ValueError(
                f"time {int(times.min())}..{int(times.max())} ns outside trajectory "
                f"{int(self.times_ns[0])}..{int(self.times_ns[-1])} ns (+- {self.max_extrapolation_ns})"
            )
        return times

    def _interval(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Index of the sample before each time, such that another one follows (0 for a single sample)."""
        return np.asarray(np.searchsorted(self.times_ns[1:-1], times, side="right"))

    def _next(self, left: Any) -> Any:
        """Index of the sample after, or of the same one where it is the only one."""
        return np.minimum(left + 1, len(self.times_ns) - 1)

    def _span(self, left: int) -> int:
        return max(int(self.times_ns[self._next(left)] - self.times_ns[left]), 1)

    # What changes over each interval; a last row of rest lets a single sample stand for a trajectory.

    @cached_property
    def _shifts(self) -> FloatArray:
        """(K, 3) translation, parent axes."""
        return np.diff(self.poses.translation, axis=0, append=self.poses.translation[-1:])

    @cached_property
    def _turns(self) -> FloatArray:
        """(K, 3) rotation vector, child axes."""
        return np.append((self.poses[:-1].inverse() @ self.poses[1:]).rotation_vector, np.zeros((1, 3)), axis=0)

    @cached_property
    def _angles(self) -> FloatArray:
        """(K,) by how much it turns."""
        return np.asarray(np.linalg.norm(self._turns, axis=-1))

    @cached_property
    def _rodrigues(self) -> FloatArray:
        """(K, 3, 3, 3): I, K and K^2, with K the cross product with the axis it turns about."""
        cross = hat(self._turns / np.maximum(self._angles, np.finfo(float).tiny)[:, None])
        return np.stack([np.broadcast_to(np.eye(3), cross.shape), cross, cross @ cross], axis=1)

    def _to_parent(self, left: int, p: Rows, fraction: Rows) -> Rows:
        start = self.poses[left]
        moved = _turned(start.rotation @ self._rodrigues[left], p, float(self._angles[left]) * fraction)
        moved += _column(self._shifts[left], p) * fraction
        moved += _column(start.translation, p)
        return moved

    def _to_child(self, left: int, p: Rows, fraction: Rows) -> Rows:
        start = self.poses[left]
        from_origin = p - _column(start.translation, p)
        from_origin -= _column(self._shifts[left], p) * fraction
        return _turned(self._rodrigues[left] @ start.rotation.T, from_origin, -float(self._angles[left]) * fraction)

    def _move(self, times_ns: npt.ArrayLike, points: Rows, kernel: Callable[[int, Rows, Rows], Rows]) -> Rows:
        """Hand the points (N, 3) to ``kernel`` in pieces of one interval each, as rows (3, n) with their fractions."""
        times = self._checked(times_ns)
        dtype = points.dtype if points.dtype == np.float32 else np.dtype(np.float64)
        out = np.empty(points.shape, dtype)
        for first in range(0, len(times), _CHUNK):
            chunk = slice(first, first + _CHUNK)
            rows = np.array(points[chunk].T, dtype=dtype, order="C")  # a copy
            out[chunk] = self._move_chunk(times[chunk], rows, kernel).T
        return out

    def _move_chunk(self, times: npt.NDArray[np.int64], p: Rows, kernel: Callable[[int, Rows, Rows], Rows]) -> Rows:
        interval = self._interval(times)
        order = None
        if (interval[1:] < interval[:-1]).any():
            narrow = np.min_scalar_type(len(self.times_ns))  # small integers are sorted by radix: O(n)
            order = np.argsort(interval.astype(narrow), kind="stable")
            times, p = times[order], np.take(p, order, axis=1, mode="clip")  # clip: not buffered
        stop = 0
        for left, count in enumerate(np.bincount(interval).tolist()):
            start, stop = stop, stop + count
            if count:
                piece = slice(start, stop)
                fraction = ((times[piece] - self.times_ns[left]) / self._span(left)).astype(p.dtype)
                p[:, piece] = kernel(left, p[:, piece], fraction)
        if order is not None:
            for row in p:
                row[order] = row.copy()
        return p


def _column(vector: FloatArray, like: Rows) -> Rows:
    return vector.astype(like.dtype)[:, None]


def _turned(blocks: FloatArray, p: Rows, angle: Rows) -> Rows:
    """(3, n): ``(A + sin(angle) B + (1 - cos(angle)) C) p`` for blocks A, B, C and one angle per point."""
    a, b, c = np.split(blocks.reshape(9, 3).astype(p.dtype) @ p, 3)
    half = np.sin(0.5 * angle)  # 1 - cos(x) = 2 sin^2(x / 2) loses no digits where x is small
    b *= np.sin(angle)
    c *= 2.0 * half * half
    a += b
    a += c
    return np.asarray(a)
