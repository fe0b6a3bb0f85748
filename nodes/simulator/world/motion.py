"""`Motion`: where a body is at any time, smooth enough for a radar's Doppler and an IMU's acceleration. `Motions`: many
bodies at once.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    samples: (K, 6) position, yaw without jumps, pitch, roll. stands: it never moves.
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
        self.stands = bool((self.samples == self.samples[0]).all())  # most bodies in a street are parked
        self._path = CubicSpline(self.times, self.samples)  # raises where times do not increase
        self._speed = self._path.derivative()
        self._change = self._speed.derivative()

    @staticmethod
    def standing(position: npt.ArrayLike, yaw: float, until: float = 1.0) -> Motion:
        """A body that does not move."""
        return Motion([0.0, until], np.tile(np.asarray(position, dtype=np.float64), (2, 1)), [yaw, yaw])

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
        return np.asarray(np.interp(np.asarray(t, dtype=np.float64), *self.lengths), dtype=np.float64)

    def acceleration(self, t: npt.ArrayLike) -> FloatArray:
        """(..., 3) float64 m/s2 over ground, odom axes; zero outside the samples."""
        time = np.asarray(t, dtype=np.float64)
        inside = (time >= self.times[0]) & (time <= self.times[-1])
        out: FloatArray = self._change(time)[..., :3] * inside[..., None]
        return out

    @property
    def pieces(self) -> FloatArray:
        """(K - 1, 4, 6) coefficients of the cubic that begins at each sample but the last, highest power first."""
        return np.asarray(self._path.c.transpose(1, 0, 2))

    @cached_property
    def lengths(self) -> tuple[FloatArray, FloatArray]:
        """(F,) s, finer than the samples, and (F,) metres of path from the first of them to each."""
        fine = np.linspace(self.times[0], self.times[-1], 8 * len(self.times))
        steps = np.linalg.norm(np.diff(self.position(fine), axis=0), axis=-1)
        return fine, np.concatenate([[0.0], np.cumsum(steps)])

    def _at(self, t: npt.ArrayLike) -> FloatArray:
        time = np.asarray(t, dtype=np.float64)
        if self.stands:
            return np.broadcast_to(self.samples[0], (*time.shape, 6))
        held = np.clip(time, self.times[0], self.times[-1])
        out: FloatArray = self._path(held) + self._speed(held) * (time - held)[..., None]
        return out

    def _rate(self, t: npt.ArrayLike) -> FloatArray:
        time = np.asarray(t, dtype=np.float64)
        if self.stands:
            return np.zeros((*time.shape, 6))
        out: FloatArray = self._speed(np.clip(time, self.times[0], self.times[-1]))
        return out


class Motions:
    """M bodies at once: to rounding what their `Motion`s say one by one, in the time of a few of them.

    Times ``t`` (...) are the same for all bodies; results have shape (M, ..., what one body gives).
    """

    def __init__(self, motions: Sequence[Motion]) -> None:
        self._count = len(motions)
        self._pieces = np.concatenate([np.zeros((0, 4, 6)), *(motion.pieces for motion in motions)])
        self._begins = np.concatenate([np.zeros(0), *(motion.times[:-1] for motion in motions)])
        self._first = np.array([motion.times[0] for motion in motions])
        self._last = np.array([motion.times[-1] for motion in motions])
        ends = np.cumsum([0, *(len(motion.times) - 1 for motion in motions)])
        self._low, self._high = ends[:-1], ends[1:] - 1  # pieces of each body
        # one search for all: the bodies' times follow each other on one line
        self._apart = np.arange(self._count) * float(np.ptp([*self._first, *self._last, 0.0]) + 1.0)
        self._line = self._begins + np.repeat(self._apart, np.diff(ends))

    def __len__(self) -> int:
        return self._count

    def pose(self, t: npt.ArrayLike) -> SE3:
        """``odom_SE3_body``, batch of shape (M, ...)."""
        time = np.asarray(t, dtype=np.float64)
        c, h, beyond = self._found(time)
        x = ((c[..., 0, :] * h + c[..., 1, :]) * h + c[..., 2, :]) * h + c[..., 3, :]
        if beyond.any():
            x = x + ((3.0 * c[..., 0, :] * h + 2.0 * c[..., 1, :]) * h + c[..., 2, :]) * beyond
        return trusted(_rotation(x[..., 3], x[..., 4], x[..., 5]), x[..., :3])

    def velocity(self, t: npt.ArrayLike) -> FloatArray:
        """(M, ..., 3) float64 m/s over ground, odom axes."""
        return self._rate(t)[..., :3]

    def yaw_rate(self, t: npt.ArrayLike) -> FloatArray:
        """(M, ...) float64 rad/s."""
        return self._rate(t)[..., 3]

    def acceleration(self, t: npt.ArrayLike) -> FloatArray:
        """(M, ..., 3) float64 m/s2 over ground, odom axes; zero outside the samples."""
        c, h, beyond = self._found(np.asarray(t, dtype=np.float64))
        return np.asarray((6.0 * c[..., 0, :] * h + 2.0 * c[..., 1, :])[..., :3] * (beyond == 0.0))

    def _rate(self, t: npt.ArrayLike) -> FloatArray:
        c, h, _ = self._found(np.asarray(t, dtype=np.float64))
        return np.asarray((3.0 * c[..., 0, :] * h + 2.0 * c[..., 1, :]) * h + c[..., 2, :])

    def _found(self, time: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(M, ..., 4, 6) the piece of each body at each time, (M, ..., 1) s into it and s beyond its samples."""
        shape = (self._count, *(1,) * time.ndim)
        held = np.clip(time, self._first.reshape(shape), self._last.reshape(shape))
        piece = np.searchsorted(self._line, held + self._apart.reshape(shape), side="right") - 1
        piece = np.clip(piece, self._low.reshape(shape), self._high.reshape(shape))
        return self._pieces[piece], (held - self._begins[piece])[..., None], (time - held)[..., None]


def _rotation(yaw: FloatArray, pitch: FloatArray, roll: FloatArray) -> FloatArray:
    """(..., 3, 3) float64: Rz(yaw) Ry(pitch) Rx(roll)."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    out = np.empty((*yaw.shape, 3, 3))
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr
    out[..., 1, 0], out[..., 1, 1], out[..., 1, 2] = sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr
    out[..., 2, 0], out[..., 2, 1], out[..., 2, 2] = -sp, cp * sr, cp * cr
    return out
