"""The Kalman filter of many tracks at once: constant velocity, any mix of measurements, each at its own instant.

State (x, y, z, vx, vy) in the odom frame, m and m/s, always at the reference instant. A detection made ``ahead``
seconds later (mostly a negative number) measures the state carried there: its H is H F(ahead). So all detections of a
frame set enter in one step, as precisions summed with the prior's: the information form, in which order means nothing.
What a detection did not measure is a row of zeros in H with unit variance in R, which adds no information.

Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation (2001): 6.2.2 for the process
noise, 7.2 for the information filter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fusion.measurements import BoolArray, FloatArray, IntArray, Measurements

STATE = 5
_EYE = np.eye(STATE)
_ALWAYS = np.array([True, True, True, False, False, False])  # a position, even where there is no detection at all
_LEAST_COMMON = 1e-6  # m2
_LOG_2PI = float(np.log(2.0 * np.pi))


def predict(
    mean: FloatArray, cov: FloatArray, dt: float, accel_psd: FloatArray, climb_psd: float
) -> tuple[FloatArray, FloatArray]:
    """Carry N states forward by dt >= 0 seconds.

    mean (N, 5), cov (N, 5, 5), accel_psd (N,) = power density of the white acceleration, m2/s3; climb_psd = that of the
    white vertical speed, m2/s.
    """
    F = _EYE.copy()
    F[0, 3] = F[1, 4] = dt
    grown = F @ cov @ F.T
    for axis in (0, 1):
        grown[:, axis, axis] += accel_psd * dt**3 / 3.0
        grown[:, axis, axis + 3] += accel_psd * dt**2 / 2.0
        grown[:, axis + 3, axis] += accel_psd * dt**2 / 2.0
        grown[:, axis + 3, axis + 3] += accel_psd * dt
    grown[:, 2, 2] += climb_psd * dt
    return mean @ F.T, grown


class Innovation(NamedTuple):
    """What N detections say against N predicted states, in the m of the six columns that any of them measured."""

    residual: FloatArray  # (N, m)
    H: FloatArray  # (N, m, 5)
    R: FloatArray  # (N, m, m)
    S: FloatArray  # (N, m, m) = H P H' + R
    measured: IntArray  # (m,) which of the six
    present: BoolArray  # (N, m) what was measured

    def take(self, rows: IntArray | BoolArray) -> Innovation:
        return Innovation(
            self.residual[rows], self.H[rows], self.R[rows], self.S[rows], self.measured, self.present[rows]
        )

    def distance(self) -> FloatArray:
        """(N,) squared Mahalanobis distance."""
        return self.fit()[0]

    def fit(self) -> tuple[FloatArray, FloatArray]:
        """(N,) squared Mahalanobis distance, and (N,) log |2 pi S| of what was measured.

        With S = L L' and L y = residual the one is y'y, the other twice the sum of the logarithms of L's diagonal.
        """
        L = np.linalg.cholesky(self.S)
        white = np.empty_like(self.residual)
        for i in range(white.shape[1]):  # forward substitution, all N at once
            white[:, i] = (self.residual[:, i] - (L[:, i, :i] * white[:, :i]).sum(axis=1)) / L[:, i, i]
        diagonal = np.diagonal(L, axis1=1, axis2=2)
        log_norm = 2.0 * np.log(diagonal).sum(axis=1) + _LOG_2PI * self.present.sum(axis=1)
        return np.asarray((white * white).sum(axis=1)), np.asarray(log_norm)


def innovate(
    mean: FloatArray, cov: FloatArray, ahead: FloatArray, accel_psd: FloatArray, z: Measurements, resolve_sigmas: float
) -> Innovation:
    """Compare row i of ``z``, measured ``ahead[i]`` seconds after state i, with that state.

    The motion between the two instants that no constant velocity explains is added to R.

    Radial speed is the velocity along the line of sight and is known modulo ``z.ambiguity``: the interval nearest to
    the prediction is taken, but only where ``resolve_sigmas`` standard deviations fit into half of it; otherwise the
    radial speed is not used.
    """
    measured = np.flatnonzero(z.present.any(axis=0) | _ALWAYS)
    has_velocity, has_radial = 3 in measured, 5 in measured
    present, value = z.present[:, measured], z.value[:, measured]
    R = z.R[:, measured[:, None], measured]
    wander = accel_psd * np.abs(ahead) ** 3 / 3.0
    R[:, 0, 0] += wander
    R[:, 1, 1] += wander
    H = np.zeros((len(mean), len(measured), STATE))
    H[:, [0, 1, 2], [0, 1, 2]] = 1.0
    H[:, 0, 3] = H[:, 1, 4] = ahead
    if has_velocity:
        H[:, 3, 3] = H[:, 4, 4] = present[:, 3]
    if has_radial:
        present[:, -1] &= _resolved(cov, z, resolve_sigmas)
        R[:, -1, -1] = np.where(present[:, -1], R[:, -1, -1], 1.0)
        H[:, -1, 3:] = z.sight * present[:, -1, None]
    residual = (value - (H @ mean[..., None])[..., 0]) * present
    if has_radial:
        width = np.where(z.ambiguity > 0.0, z.ambiguity, np.inf)
        residual[:, -1] -= np.where(z.ambiguity > 0.0, z.ambiguity, 0.0) * np.round(residual[:, -1] / width)
    return Innovation(residual, H, R, H @ cov @ np.swapaxes(H, 1, 2) + R, measured, present)


def _resolved(cov: FloatArray, z: Measurements, resolve_sigmas: float) -> BoolArray:
    """(N,) whether the prediction tells which interval a radial speed lies in."""
    variance = np.einsum("ni,nij,nj->n", z.sight, cov[:, 3:, 3:], z.sight) + z.R[:, 5, 5]
    return np.asarray((z.ambiguity == 0.0) | (resolve_sigmas * np.sqrt(variance) < 0.5 * z.ambiguity))


class Groups:
    """Sums of the rows of arrays by the track they belong to, in the order they stand in.

    row (N,): the track of row i; tracks: how many there are.
    """

    def __init__(self, row: IntArray, tracks: int) -> None:
        self.row, self.tracks = row, tracks
        self._order = np.argsort(row, kind="stable")
        ordered = row[self._order]
        self._starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        self._present = ordered[self._starts]

    def sum(self, values: FloatArray) -> FloatArray:
        """(tracks, ...) from values (N, ...)."""
        out = np.zeros((self.tracks, *values.shape[1:]))
        if len(self.row):
            out[self._present] = np.add.reduceat(values[self._order], self._starts, axis=0)
        return out


def fuse(
    mean: FloatArray, cov: FloatArray, seen: Innovation, trust: FloatArray, groups: Groups
) -> tuple[FloatArray, FloatArray]:
    """Take N innovations into M states, any number into each: P+ = (P^-1 + sum H' R^-1 H)^-1.

    With P = L L' that is L (I + L' J L)^-1 L', which stays symmetric and positive whatever the numbers.
    trust (N,): factor on each innovation's precision R^-1. groups: the state that each belongs to.
    """
    HtW = np.swapaxes(np.linalg.solve(seen.R, seen.H), 1, 2) * trust[:, None, None]  # (N, 5, m)
    J = groups.sum(HtW @ seen.H)
    pull = groups.sum((HtW @ seen.residual[..., None])[..., 0])
    Lt = np.swapaxes(np.linalg.cholesky(cov), 1, 2)
    inner = _EYE + Lt @ (0.5 * (J + np.swapaxes(J, 1, 2))) @ np.swapaxes(Lt, 1, 2)
    half = np.linalg.solve(np.linalg.cholesky(inner), Lt)
    fused = np.swapaxes(half, 1, 2) @ half
    return mean + (fused @ pull[..., None])[..., 0], np.asarray(fused)


def shared_bias(bias: FloatArray, common: FloatArray, gain: FloatArray, groups: Groups) -> None:
    """Carry the errors that detections have in common from one to the next: written into ``bias`` (M, 2, 2).

    The state moves by ``gain`` (M,) of the way to the detections, and takes as much of their common error, whose
    covariance is ``common`` (N, 2, 2); that of several sensors averages out.
    """
    precision = groups.sum(np.asarray(np.linalg.inv(common + _LEAST_COMMON * _EYE[:2, :2])))
    seen = np.bincount(groups.row, minlength=groups.tracks) > 0
    share = gain[seen, None, None]
    bias[seen] += share * (np.linalg.inv(precision[seen]) - bias[seen])
