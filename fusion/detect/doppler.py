"""The radar's own velocity from the Doppler of what stands still, with range rates known modulo the ambiguity.

A static target in direction d, seen from a radar that moves with v, has range rate -d.v: one sinusoid over azimuth for
the whole static world (Kellner et al., Instantaneous ego-motion estimation using Doppler radar, ITSC 2013). Here rates
wrap, so the consensus is sought on the circle: the velocity at which the phasors exp(2 pi i (rate + d.v) / ambiguity)
add up longest, over a grid of velocities, which separates into two matrices and needs no random samples. Least squares
over the inliers, unwrapped around that velocity, then gives the estimate and its covariance.

Straight ahead, velocities that differ by the ambiguity look the same; only targets to the side tell them apart. Where
they do not, the former velocity must (`around`); without one nothing is claimed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.messages import RadarScan
from pipeline.core.settings import Settings

Array = npt.NDArray[np.float64]

NEAREST_M = 0.5
"""A return from nearer is the radar's own housing."""
_UNAMBIGUOUS_PERIOD = 12.0  # m/s: width of the consensus kernel for a radar whose rates do not wrap


class DopplerSettings(Settings, frozen=True):
    """forward_mps, sideways_mps: searched velocities of the radar along its x and y axes. step_mps: grid.

    inlier_mps: a target whose rate is off by less stands still. min_inliers, min_share: with fewer nothing is claimed.
    samples: targets used in the grid search, evenly picked.
    rival_share: a velocity one ambiguity off must have at most this share of the targets that agree with the best.
    """

    forward_mps: tuple[float, float] = (-8.0, 45.0)
    sideways_mps: tuple[float, float] = (-5.0, 5.0)
    step_mps: float = 0.5
    inlier_mps: float = 0.4
    min_inliers: int = 15
    min_share: float = 0.25
    samples: int = 800
    rival_share: float = 0.8


class OwnVelocity(NamedTuple):
    """velocity: (2,) m/s along radar x and y. cov: (2, 2). share: of the targets that agree with it."""

    velocity: Array
    cov: Array
    share: float


class Expected(NamedTuple):
    """velocity: (2,) m/s along radar x and y, within ``reach`` m/s of which the true one lies."""

    velocity: Array
    reach: float


def own_velocity(
    direction: Array,
    range_rate: Array,
    ambiguity: float,
    settings: DopplerSettings,
    around: Expected | None = None,
) -> OwnVelocity | None:
    """Velocity of the radar over ground, or None where too few targets agree on one, or as many on another.

    Args:
        direction: (N, 3) unit vectors to the targets, radar frame.
        range_rate: (N,) m/s as measured, positive = receding; finite.
        ambiguity: width of the unambiguous interval, m/s; 0 = rates do not wrap.
        around: where to search, if that is known.
    """
    if len(range_rate) < settings.min_inliers:
        return None
    horizontal = direction[:, :2]
    first = _consensus(horizontal, range_rate, ambiguity or _UNAMBIGUOUS_PERIOD, settings, around)
    best = _refined(first, horizontal, range_rate, ambiguity, settings)
    if best is None or best.share < settings.min_share:
        return None
    if ambiguity and (around is None or around.reach > 0.5 * ambiguity):
        for branch in (-ambiguity, ambiguity):
            rival = _refined(best.velocity + np.array([branch, 0.0]), horizontal, range_rate, ambiguity, settings)
            if rival is not None and rival.share > settings.rival_share * best.share:
                apart = float(np.hypot(*(rival.velocity - best.velocity)))
                if apart > 0.5 * ambiguity:
                    return None
    return best


def velocity_from_scan(
    scan: RadarScan, settings: DopplerSettings, around: Expected | None = None
) -> OwnVelocity | None:
    """`own_velocity` from the returns of one radar cycle whose position and rate are known."""
    xyz = scan.xyz.astype(np.float64)
    distance = np.linalg.norm(xyz, axis=1)
    rate = scan.points["range_rate"].astype(np.float64)
    used = np.isfinite(distance) & (distance > NEAREST_M) & np.isfinite(rate)
    return own_velocity(xyz[used] / distance[used, None], rate[used], scan.ambiguity_mps, settings, around)


def _refined(
    velocity: Array, horizontal: Array, range_rate: Array, ambiguity: float, settings: DopplerSettings
) -> OwnVelocity | None:
    """Least squares over the targets that agree, from a first guess on."""
    for _ in range(4):
        residual = wrap(range_rate + horizontal @ velocity, ambiguity)
        inlier = np.abs(residual) < settings.inlier_mps
        basis = horizontal[inlier]
        if inlier.sum() < settings.min_inliers or np.linalg.cond(basis.T @ basis) > 1e6:
            return None
        information = basis.T @ basis
        velocity = velocity - np.linalg.solve(information, basis.T @ residual[inlier])
    variance = max(float(np.var(residual[inlier])), 0.02**2)
    return OwnVelocity(velocity, np.asarray(variance * np.linalg.inv(information)), float(inlier.mean()))


def wrap(rate: Array, ambiguity: float) -> Array:
    """To the representative nearest to 0; unchanged where ``ambiguity`` is 0."""
    return rate - ambiguity * np.round(rate / ambiguity) if ambiguity else rate


def _consensus(
    horizontal: Array, range_rate: Array, period: float, settings: DopplerSettings, around: Expected | None
) -> Array:
    """(2,) grid velocity that most targets agree on."""
    pick = np.linspace(0, len(range_rate) - 1, min(len(range_rate), settings.samples)).astype(np.int64)
    turn = 2j * np.pi / period
    forward, sideways = (
        np.arange(*_searched(bounds, around, axis), settings.step_mps)
        for axis, bounds in enumerate((settings.forward_mps, settings.sideways_mps))
    )
    along = np.exp(turn * np.outer(forward, horizontal[pick, 0]))
    across = np.exp(turn * (range_rate[pick, None] + np.outer(horizontal[pick, 1], sideways)))
    agreement = (along @ across).real
    best = np.unravel_index(int(agreement.argmax()), agreement.shape)
    return np.array([forward[best[0]], sideways[best[1]]])


def _searched(bounds: tuple[float, float], around: Expected | None, axis: int) -> tuple[float, float]:
    """What of the bounds of one axis is searched; around a velocity beyond them, just there."""
    if around is None:
        return bounds
    low, high = around.velocity[axis] - around.reach, around.velocity[axis] + around.reach
    return (max(low, bounds[0]), min(high, bounds[1])) if low < bounds[1] and high > bounds[0] else (low, high)
