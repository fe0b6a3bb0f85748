"""The Kalman filter of many tracks at once: constant velocity, any mix of measurements, each at its own instant.

State (x, y, z, vx, vy) in the odom frame, m and m/s. N tracks are filtered in one go; what a detection did not measure
is a row of zeros in H with unit variance in R, which changes nothing.

Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation (2001): section 6.2.2 for the
process noise, 5.2 for the update, in Joseph's form, which keeps the covariance symmetric and positive.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fusion.measurements import MEASURED, BoolArray, FloatArray, Measurements

STATE = 5
_EYE = np.eye(STATE)
_LOG_2PI = float(np.log(2.0 * np.pi))


def predict(
    mean: FloatArray, cov: FloatArray, dt: FloatArray, accel_psd: FloatArray, climb_psd: float
) -> tuple[FloatArray, FloatArray]:
    """Carry N states forward by dt seconds each (a negative dt counts as 0).

    mean (N, 5), cov (N, 5, 5), dt (N,) s, accel_psd (N,) = power density of the white acceleration, m2/s3;
    climb_psd = that of the white vertical speed, m2/s.
    """
    dt = np.maximum(dt, 0.0)
    F = np.zeros((len(dt), STATE, STATE))
    F[:] = _EYE
    F[:, 0, 3] = F[:, 1, 4] = dt
    moved = mean.copy()
    moved[:, :2] += dt[:, None] * mean[:, 3:]
    grown = F @ cov @ np.swapaxes(F, 1, 2)
    velocity_gain = accel_psd * dt
    cross = 0.5 * velocity_gain * dt
    position_gain = 2.0 / 3.0 * cross * dt
    for axis in (0, 1):
        grown[:, axis, axis] += position_gain
        grown[:, axis, axis + 3] += cross
        grown[:, axis + 3, axis] += cross
        grown[:, axis + 3, axis + 3] += velocity_gain
    grown[:, 2, 2] += climb_psd * dt
    return moved, grown


class Innovation(NamedTuple):
    """What N detections say against N predicted states; m = 3 where only positions were measured, else 6."""

    residual: FloatArray  # (N, m)
    H: FloatArray  # (N, m, 5)
    R: FloatArray  # (N, m, m)
    S: FloatArray  # (N, m, m) = H P H' + R
    present: BoolArray  # (N, m) what was measured

    def distance(self) -> FloatArray:
        """(N,) squared Mahalanobis distance."""
        white = np.linalg.solve(self.S, self.residual[..., None])[..., 0]
        return np.asarray(np.einsum("ni,ni->n", self.residual, white))

    def log_norm(self) -> FloatArray:
        """(N,) log |2 pi S| of what was measured."""
        return np.asarray(np.log(np.linalg.det(self.S)) + _LOG_2PI * self.present.sum(axis=1))


def innovate(mean: FloatArray, cov: FloatArray, back: FloatArray, z: Measurements, resolve_sigmas: float) -> Innovation:
    """Compare row i of ``z`` with state i.

    back (N,) <= 0, seconds: how much older than its state a detection is, so that a late one meets the state carried
    back to its instant (process noise over that short time is left out).

    Radial speed is the velocity along the line of sight and is known modulo ``z.ambiguity``: the interval nearest to
    the prediction is taken, but only where ``resolve_sigmas`` standard deviations fit into half of it; otherwise the
    radial speed is not used.
    """
    m = MEASURED if z.present[:, 3:].any() else 3
    H = np.zeros((len(mean), m, STATE))
    H[:, [0, 1, 2], [0, 1, 2]] = 1.0
    H[:, 0, 3] = H[:, 1, 4] = back
    R, present = z.R[:, :m, :m], z.present[:, :m]
    if m == MEASURED:
        resolved = _resolved(cov, z, resolve_sigmas)
        if not resolved.all():
            R, present = R.copy(), present.copy()
            present[:, 5] &= resolved
            R[:, 5, 5] = np.where(present[:, 5], R[:, 5, 5], 1.0)
        H[:, 3, 3] = H[:, 4, 4] = present[:, 3]
        H[:, 5, 3:] = z.sight * present[:, 5, None]
    residual = np.where(present, z.value[:, :m] - np.einsum("nij,nj->ni", H, mean), 0.0)
    if m == MEASURED:
        width = np.where(z.ambiguity > 0.0, z.ambiguity, np.inf)
        residual[:, 5] -= np.where(z.ambiguity > 0.0, z.ambiguity, 0.0) * np.round(residual[:, 5] / width)
    return Innovation(residual, H, R, H @ cov @ np.swapaxes(H, 1, 2) + R, present)


def _resolved(cov: FloatArray, z: Measurements, resolve_sigmas: float) -> BoolArray:
    """(N,) whether the prediction tells which interval a radial speed lies in."""
    variance = np.einsum("ni,nij,nj->n", z.sight, cov[:, 3:, 3:], z.sight) + z.R[:, 5, 5]
    return np.asarray((z.ambiguity == 0.0) | (resolve_sigmas * np.sqrt(variance) < 0.5 * z.ambiguity))


def update(mean: FloatArray, cov: FloatArray, seen: Innovation) -> tuple[FloatArray, FloatArray]:
    """Take N innovations into N states."""
    K = np.swapaxes(np.linalg.solve(seen.S, seen.H @ cov), 1, 2)  # (N, 5, m), since S and P are symmetric
    kept = _EYE - K @ seen.H
    joseph = kept @ cov @ np.swapaxes(kept, 1, 2) + K @ seen.R @ np.swapaxes(K, 1, 2)
    return mean + np.einsum("nij,nj->ni", K, seen.residual), 0.5 * (joseph + np.swapaxes(joseph, 1, 2))


def update_scalar(
    value: FloatArray, variance: FloatArray, difference: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The filter in one dimension, elementwise: for sizes and yaw, whose noise is independent of the position's."""
    gain = variance / (variance + noise)
    return value + gain * difference, (1.0 - gain) * variance
