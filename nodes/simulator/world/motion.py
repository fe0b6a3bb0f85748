"""`Motion`: where a body is at any time, smooth enough for a radar's Doppler and an IMU's acceleration."""

from __future__ import annotations

from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from calibration.se3 import SE3, trusted

FloatArray: TypeAlias = npt.NDArray[np.float64]


class Motion:
    """``odom_SE3_body`` as a function of time: a cubic spline through samples, level on the ground unless tilted.

    Position is twice differentiable, so that velocity and acceleration, which sensors measure, belong to the same path.
    Outside its samples a body keeps the velocity it had at the end.

    Args:
        times: (K,) float64 strictly increasing, seconds since the start of the scenario; K >= 2.
        position: (K, 3) float64 metres, odom frame, of the body's origin.
        yaw: (K,) float64 rad, heading about z; may run beyond +-pi.
        pitch, roll: (K,) float64 rad, or None for none; rotations about the body's y and x axes, yaw applied last.

    Raises:
        ValueError: sizes differ, fewer than two samples, or times that do not increase.

    samples: (K, 6) position, yaw without jumps, pitch, roll.
    """

    def __init__(
        self,
        times: npt.ArrayLike,
        position: npt.ArrayLike,
        yaw: npt.ArrayLike,
        pitch: npt.ArrayLike | None = None,
        roll: npt.ArrayLike | None = None,
    ) -> None:
        self.times: FloatArray = np.asarray(times, dtype=np.float64)
        k = len(self.times)
        angles = np.zeros((k, 3)) if k else np.zeros((0, 3))
        given = (yaw, pitch, roll)
        if k < 2 or np.shape(position) != (k, 3) or any(a is not None and np.shape(a) != (k,) for a in given):
            raise ValueError(f"a motion needs K >= 2 times, K positions and K angles, got {k}, {np.shape(position)}")
        for column, angle in enumerate(given):
            if angle is not None:
                angles[:, column] = np.unwrap(np.asarray(angle, dtype=np.float64)) if column == 0 else angle
        self.samples: FloatArray = np.concatenate([np.asarray(position, dtype=np.float64), angles], axis=1)
        self._still = (
            self.samples[0] if (self.samples == self.samples[0]).all() else None
        )  # most bodies in a street are parked
        self._path = CubicSpline(self.times, self.samples)  # raises where times do not increase
        self._speed = self._path.derivative()
        self._change = self._speed.derivative()

    @staticmethod
    def standing(position: npt.ArrayLike, yaw: float, until: float = 1.0) -> Motion:
        """A body that does not move."""
        return Motion([0.0, until], np.tile(np.asarray(position, dtype=np.float64), (2, 1)), [yaw, yaw])

    @property
    def stands(self) -> bool:
        """Whether it never moves."""
        return self._still is not None

    def pose(self, t: npt.ArrayLike) -> SE3:
        """``odom_SE3_body`` at times ``t`` (...), s."""
        x = self._at(t)
        return trusted(_rotation(x[..., 3], x[..., 4], x[..., 5]), x[..., :3])

    def position(self, t: npt.ArrayLike) -> FloatArray:
        """(..., 3) float64 metres, odom frame."""
        return self._at(t)[..., :3]

    def yaw(self, t: npt.ArrayLike) -> FloatArray:
        """(...) float64 rad."""
        return self._at(t)[..., 3]

    def velocity(self, t: npt.ArrayLike) -> FloatArray:
        """(..., 3) float64 m/s over ground, odom axes."""
        return self._rate(t)[..., :3]

    def yaw_rate(self, t: npt.ArrayLike) -> FloatArray:
        """(...) float64 rad/s."""
        return self._rate(t)[..., 3]

    def travelled(self, t: npt.ArrayLike) -> FloatArray:
        """(...) float64 metres of path since the first sample."""
        return np.asarray(np.interp(np.asarray(t, dtype=np.float64), *self._way), dtype=np.float64)

    @cached_property
    def _way(self) -> tuple[FloatArray, FloatArray]:
        """Times, and metres of path until each."""
        fine = np.linspace(self.times[0], self.times[-1], 8 * len(self.times))
        steps = np.linalg.norm(np.diff(self.position(fine), axis=0), axis=-1)
        return fine, np.concatenate([[0.0], np.cumsum(steps)])

    def acceleration(self, t: npt.ArrayLike) -> FloatArray:
        """(..., 3) float64 m/s2 over ground, odom axes; zero outside the samples."""
        time = np.asarray(t, dtype=np.float64)
        inside = (time >= self.times[0]) & (time <= self.times[-1])
        out: FloatArray = self._change(time)[..., :3] * inside[..., None]
        return out

    def _at(self, t: npt.ArrayLike) -> FloatArray:
        time = np.asarray(t, dtype=np.float64)
        if self._still is not None:
            return np.broadcast_to(self._still, (*time.shape, 6))
        held = np.clip(time, self.times[0], self.times[-1])
        out: FloatArray = self._path(held) + self._speed(held) * (time - held)[..., None]
        return out

    def _rate(self, t: npt.ArrayLike) -> FloatArray:
        time = np.asarray(t, dtype=np.float64)
        if self._still is not None:
            return np.zeros((*time.shape, 6))
        out: FloatArray = self._speed(np.clip(time, self.times[0], self.times[-1]))
        return out


def _rotation(yaw: FloatArray, pitch: FloatArray, roll: FloatArray) -> FloatArray:
    """(..., 3, 3) float64: Rz(yaw) Ry(pitch) Rx(roll)."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    out = np.empty((*yaw.shape, 3, 3))
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr
    out[..., 1, 0], out[..., 1, 1], out[..., 1, 2] = sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr
    out[..., 2, 0], out[..., 2, 1], out[..., 2, 2] = -sp, cp * sr, cp * cr
    return out
