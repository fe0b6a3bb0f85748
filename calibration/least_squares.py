"""Robust least squares with the covariance of what it found. Every calibration here ends in `fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from calibration.se3 import FloatArray

Residuals = Callable[[FloatArray], FloatArray]


class Fit(NamedTuple):
    """x: (P,) solution. cov: (P, P), infinite on the diagonal where a parameter is not determined at all.

    residuals: (M,) at the solution, in the unit of ``scale``. sigma: their spread, outliers weighed down.
    jacobian: (M, P), influence and slope: (M,) psi and psi' of the residuals.
    """

    x: FloatArray
    cov: FloatArray
    residuals: FloatArray
    sigma: float
    jacobian: FloatArray
    influence: FloatArray
    slope: FloatArray

    def without(self, rows: npt.NDArray[np.bool_]) -> FloatArray:
        """(P,) the solution with residuals ``rows`` (M,) bool left out, by one Newton step from this one."""
        J = self.jacobian[~rows]
        H = (J * self.slope[~rows, None]).T @ J
        return self.x - np.linalg.lstsq(H, J.T @ self.influence[~rows], rcond=1e-14)[0]

    def widened(self, group: npt.NDArray[np.int64]) -> FloatArray:
        """(P, P) covariance whose spreads are at least those of the solution as one group of residuals is left out.

        Residuals of one group (M,) err together, which ``cov`` does not know. Efron, The Jackknife (1982), eq. 3.13;
        correlations stay those of ``cov``.
        """
        names = np.unique(group)
        answers = np.array([self.without(group == name) for name in names])
        spread = np.sqrt((len(names) - 1) * np.var(answers, axis=0))
        wider = np.maximum(1.0, spread / self.sd)
        return np.asarray(self.cov * np.outer(wider, wider))

    @property
    def sd(self) -> FloatArray:
        """(P,) standard deviations."""
        return np.sqrt(np.diag(self.cov))


def fit(
    residuals: Residuals, start: FloatArray, scale: float, jacobian: Residuals | None = None, steps: int = 60
) -> Fit:
    """Minimise the soft-L1 cost ``sum 2 (sqrt(1 + (r / scale)^2) - 1)`` from ``start``.

    The covariance is that of an M-estimator: with psi(r) = r / sqrt(1 + (r / scale)^2) and H the approximate Hessian
    ``J^T diag(psi') J``, it is ``sum psi^2 / (M - P) / mean psi' * H^-1`` (Huber, Robust Statistics, 1981, eq. 7.6.6).
    It counts every residual as independent; a caller whose residuals err together must widen it.

    Args:
        residuals: (P,) -> (M,), finite.
        scale: residual beyond which influence levels off, about twice the noise.
        jacobian: (P,) -> (M, P); by finite differences if not given.

    Raises:
        ValueError: fewer residuals than parameters.
    """
    solution = least_squares(
        residuals,
        start,
        jac=jacobian or "2-point",
        x_scale="jac",
        loss="soft_l1",
        f_scale=scale,
        max_nfev=steps,
        xtol=1e-8,
        ftol=1e-9,
    )
    r = np.asarray(residuals(solution.x))
    M, P = len(r), len(solution.x)
    if M <= P:
        raise ValueError(f"a fit of {P} parameters needs more residuals than that, got {M}")
    J = np.asarray(jacobian(solution.x)) if jacobian else _differences(residuals, solution.x, r)
    shrink = 1.0 + (r / scale) ** 2
    influence, slope = r / np.sqrt(shrink), shrink**-1.5
    H = (J * slope[:, None]).T @ J
    variance = float((influence**2).sum() / (M - P) / slope.mean())
    sigma = float(np.sqrt((influence**2).sum() / (M - P)) / slope.mean())
    return Fit(solution.x, variance * _inverse(H), r, sigma, J, influence, slope)


def rms(residuals: FloatArray) -> float:
    """Root mean square of lengths (M, D), or of numbers (M,)."""
    r = np.asarray(residuals, dtype=np.float64)
    return float(np.sqrt((r * r).sum() / max(len(r), 1)))


def _differences(residuals: Residuals, x: FloatArray, at_x: FloatArray) -> FloatArray:
    J = np.empty((len(at_x), len(x)))
    for i in range(len(x)):
        step = np.zeros(len(x))
        step[i] = 1e-6 * max(1.0, abs(x[i]))
        J[:, i] = (residuals(x + step) - residuals(x - step)) / (2 * step[i])
    return J


def _inverse(H: FloatArray) -> FloatArray:
    """Of a positive semidefinite matrix; a parameter that a null direction moves has infinite variance."""
    size = np.sqrt(np.diag(H))
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(H / np.outer(size, size))
    known = values > 1e-12
    inverse = (vectors[:, known] / values[known]) @ vectors[:, known].T / np.outer(size, size)
    lost = (vectors[:, ~known] ** 2).sum(axis=1) > 1e-6
    inverse[lost, lost] = np.inf
    return np.asarray(0.5 * (inverse + inverse.T))
