"""The radar's own velocity from the Doppler of what stands still, with range rates known modulo the ambiguity.

A static target in direction d, seen from a radar that moves with v, has range rate -d.v: one sinusoid over azimuth for
the whole static world (Kellner et al., Instantaneous ego-motion estimation using Doppler radar, ITSC 2013). Here rates
wrap, so the consensus is sought on the circle: the velocity at which the phasors exp(2 pi i (rate + d.v) / ambiguity)
add up longest, over a grid of velocities, which separates into two matrices and needs no random samples. Least squares
over the inliers, unwrapped around that velocity, then gives the estimate and its covariance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.settings import Settings

Array = npt.NDArray[np.float64]

_UNAMBIGUOUS_PERIOD = 12.0  # m/s: width of the consensus kernel for a radar whose rates do not wrap


class DopplerSettings(Settings, frozen=True):
    """forward_mps, sideways_mps: searched velocities of the radar along its x and y axes. step_mps: grid.

    inlier_mps: a target whose rate is off by less stands still. min_inliers, min_share: with fewer nothing is claimed.
    samples: targets used in the grid search, evenly picked.
    """

    forward_mps: tuple[float, float] = (-8.0, 45.0)
    sideways_mps: tuple[float, float] = (-5.0, 5.0)
    step_mps: float = 0.5
    inlier_mps: float = 0.4
    min_inliers: int = 15
    min_share: float = 0.25
    samples: int = 800


class OwnVelocity(NamedTuple):
    """velocity: (2,) m/s along radar x and y. cov: (2, 2). share: of the targets that agree with it."""

    velocity: Array
    cov: Array
    share: float


def own_velocity(
    direction: Array, range_rate: Array, ambiguity: float, settings: DopplerSettings
) -> OwnVelocity | None:
    """Velocity of the radar over ground, or None where too few targets agree on one.

    Args:
        direction: (N, 3) unit vectors to the targets, radar frame.
        range_rate: (N,) m/s as measured, positive = receding; finite.
        ambiguity: width of the unambiguous interval, m/s; 0 = rates do not wrap.
    """
    if len(range_rate) < settings.min_inliers:
        return None
    horizontal = direction[:, :2]
    velocity = _consensus(horizontal, range_rate, ambiguity or _UNAMBIGUOUS_PERIOD, settings)
    for _ in range(4):
        residual = wrap(range_rate + horizontal @ velocity, ambiguity)
        inlier = np.abs(residual) < settings.inlier_mps
        basis = horizontal[inlier]
        if inlier.sum() < settings.min_inliers or np.linalg.cond(basis.T @ basis) > 1e6:
            return None
        information = basis.T @ basis
        velocity -= np.linalg.solve(information, basis.T @ residual[inlier])
    share = float(inlier.mean())
    if share < settings.min_share:
        return None
    variance = max(float(np.var(residual[inlier])), 0.02**2)
    return OwnVelocity(velocity, np.asarray(variance * np.linalg.inv(information)), share)


def wrap(rate: Array, ambiguity: float) -> Array:
    """To the representative nearest to 0; unchanged where ``ambiguity`` is 0."""
    return rate - ambiguity * np.round(rate / ambiguity) if ambiguity else rate


def _consensus(horizontal: Array, range_rate: Array, period: float, settings: DopplerSettings) -> Array:
    """(2,) grid velocity that most targets agree on."""
    pick = np.linspace(0, len(range_rate) - 1, min(len(range_rate), settings.samples)).astype(np.int64)
    turn = 2j * np.pi / period
    forward = np.arange(*settings.forward_mps, settings.step_mps)
    sideways = np.arange(*settings.sideways_mps, settings.step_mps)
    along = np.exp(turn * np.outer(forward, horizontal[pick, 0]))
    across = np.exp(turn * (range_rate[pick, None] + np.outer(horizontal[pick, 1], sideways)))
    agreement = (along @ across).real
    best = np.unravel_index(int(agreement.argmax()), agreement.shape)
    return np.array([forward[best[0]], sideways[best[1]]])
