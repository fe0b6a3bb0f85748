"""The Kalman filter of many tracks at once: constant velocity, any mix of measurements, each at its own instant.

State (x, y, z, vx, vy) in the odom frame, m and m/s. N tracks are filtered in one go; what a detection did not measure
is a row of zeros in H with unit variance in R, which changes nothing.

Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation (2001): section 6.2.2 for the
process noise, 5.2 for the update, in Joseph's form, which keeps the covariance symmetric and positive.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.measurements import Measurements

FloatArray = npt.NDArray[np.float64]

STATE = 5
MEASURED = 6  # position x, y, z; velocity x, y; radial speed
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
    F = _transition(dt)
    moved = mean.copy()
    moved[:, :2] += dt[:, None] * mean[:, 3:]
    grown = F @ cov @ np.swapaxes(F, 1, 2)
    for position, velocity in ((0, 3), (1, 4)):
        grown[:, position, position] += accel_psd * dt**3 / 3.0
        grown[:, position, velocity] += accel_psd * dt**2 / 2.0
        grown[:, velocity, position] += accel_psd * dt**2 / 2.0
        grown[:, velocity, velocity] += accel_psd * dt
    grown[:, 2, 2] += climb_psd * dt
    return moved, grown


def _transition(dt: FloatArray) -> FloatArray:
    F = np.tile(_EYE, (len(dt), 1, 1))
    F[:, 0, 3] = F[:, 1, 4] = dt
    return F


class Innovation(NamedTuple):
    """What N detections say against N predicted states. present (N, 6) marks what was measured."""

    residual: FloatArray  # (N, 6)
    H: FloatArray  # (N, 6, 5)
    R: FloatArray  # (N, 6, 6)
    S: FloatArray  # (N, 6, 6) = H P H' + R
    present: npt.NDArray[np.bool_]  # (N, 6)

    def whitened(self) -> tuple[FloatArray, FloatArray]:
        """Squared Mahalanobis distance (N,) and log normaliser log|2 pi S| of what was measured (N,)."""
        L = np.linalg.cholesky(self.S)
        white = np.linalg.solve(L, self.residual[..., None])[..., 0]
        log_det = 2.0 * np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
        return np.einsum("ni,ni->n", white, white), log_det + _LOG_2PI * self.present.sum(axis=1)


def innovate(mean: FloatArray, cov: FloatArray, back: FloatArray, z: Measurements, resolve_sigmas: float) -> Innovation:
    """Compare row i of ``z`` with state i.

    back (N,) <= 0, seconds: how much older than its state a detection is, so that a late one meets the state carried
    back to its instant (process noise over that short time is left out).

    Radial speed is the velocity along the line of sight and is known modulo ``z.ambiguity``: the interval nearest to
    the prediction is taken, but only where ``resolve_sigmas`` standard deviations fit into half of it; otherwise the
    radial speed is not used.
    """
    n = len(mean)
    H = np.zeros((n, MEASURED, STATE))
    R = np.zeros((n, MEASURED, MEASURED))
    residual = np.zeros((n, MEASURED))

    H[:, :3, :3] = np.eye(3)
    H[:, 0, 3] = H[:, 1, 4] = back
    R[:, :3, :3] = z.position_cov
    residual[:, :3] = z.position - mean[:, :3]
    residual[:, :2] -= back[:, None] * mean[:, 3:]

    has_velocity = z.has_velocity
    H[:, 3, 3] = H[:, 4, 4] = has_velocity
    R[:, 3:5, 3:5] = np.where(has_velocity[:, None, None], z.velocity_cov, np.eye(2))
    residual[:, 3:5] = np.where(has_velocity[:, None], z.velocity - mean[:, 3:], 0.0)

    sight = z.line_of_sight
    radial_variance = np.einsum("ni,nij,nj->n", sight, cov[:, 3:, 3:], sight) + z.radial_sigma**2
    aliased = z.ambiguity > 0.0
    resolved = ~aliased | (resolve_sigmas * np.sqrt(radial_variance) < 0.5 * z.ambiguity)
    has_radial = z.has_radial & resolved
    difference = np.where(has_radial, z.radial_speed - np.einsum("ni,ni->n", sight, mean[:, 3:]), 0.0)
    width = np.where(aliased, z.ambiguity, 1.0)
    difference = np.where(aliased, difference - width * np.round(difference / width), difference)
    H[:, 5, 3:] = np.where(has_radial[:, None], sight, 0.0)
    R[:, 5, 5] = np.where(has_radial, z.radial_sigma**2, 1.0)
    residual[:, 5] = difference

    present = np.ones((n, MEASURED), dtype=bool)
    present[:, 3:5] = has_velocity[:, None]
    present[:, 5] = has_radial
    return Innovation(residual, H, R, H @ cov @ np.swapaxes(H, 1, 2) + R, present)


def update(mean: FloatArray, cov: FloatArray, seen: Innovation) -> tuple[FloatArray, FloatArray]:
    """Take N innovations into N states."""
    K = np.swapaxes(np.linalg.solve(seen.S, seen.H @ cov), 1, 2)  # (N, 5, 6): S and P are symmetric
    kept = _EYE - K @ seen.H
    joseph = kept @ cov @ np.swapaxes(kept, 1, 2) + K @ seen.R @ np.swapaxes(K, 1, 2)
    return mean + np.einsum("nij,nj->ni", K, seen.residual), 0.5 * (joseph + np.swapaxes(joseph, 1, 2))


def update_scalar(
    value: FloatArray, variance: FloatArray, difference: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The filter in one dimension, elementwise: for sizes and yaw, whose noise is independent of the position's."""
    gain = variance / (variance + noise)
    return value + gain * difference, (1.0 - gain) * variance
