"""Which way a radar faces, from its own velocity by Doppler against the same motion as another sensor has it.

Both directions of travel are in the axes of the radar as its rig believes it to stand: the angle between them is how
far it is turned about its own z axis. The other two axes are not seen: Doppler is blind to roll along the line of
sight, and what returns lie above or below the radar's plane say little of pitch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from calibration.cannot import CannotCalibrate
from calibration.least_squares import fit
from calibration.se3 import FloatArray

_RECORD = "half a minute of driving faster than 3 m/s past parked cars, poles and walls, straight on and through turns"


_TWO_SIGMA = 0.97725  # share of a normal distribution below two standard deviations


class RadarYawSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """min_pairs: of sweeps. min_speed: below it a direction means nothing, m/s. max_sd_deg: known worse is refused.

    max_misfit: of the pairs' angles about the answer against what they state, as a ratio of standard deviations.
    """

    min_pairs: int = 10
    min_speed: float = 2.0
    max_sd_deg: float = 0.5
    max_misfit: float = 3.0


class Pair(NamedTuple):
    """Mean velocity between two sweeps, radar axes as believed, (2,) m/s and (2, 2): by Doppler, and by the other.

    stretch: number of the stretch of driving; what lies in one errs together. turn_rate: rad/s.
    """

    time_ns: int
    stretch: int
    doppler: FloatArray
    doppler_cov: FloatArray
    other: FloatArray
    other_cov: FloatArray
    turn_rate: float


class RadarYaw(NamedTuple):
    """yaw, sd: rad, by which the radar is turned about its z axis against its rig. angles, sigmas: (N,) of the pairs.

    misfit: standard deviation of (angle - yaw) / sigma. stretches: (S,) their own mean angles.
    """

    yaw: float
    sd: float
    angles: FloatArray
    sigmas: FloatArray
    pairs: tuple[Pair, ...]
    misfit: float
    stretches: FloatArray


def calibrate(pairs: Sequence[Pair], settings: RadarYawSettings | None = None) -> RadarYaw:
    """The radar's yaw.

    Raises:
        CannotCalibrate: too few pairs at speed, they contradict each other, or do not tell well enough.
    """
    settings = settings or RadarYawSettings()
    moving = tuple(p for p in pairs if min(np.hypot(*p.doppler), np.hypot(*p.other)) > settings.min_speed)
    if len(moving) < settings.min_pairs:
        raise CannotCalibrate(
            f"{len(moving)} of {len(pairs)} pairs of sweeps are faster than {settings.min_speed:g} m/s and agree on a "
            f"motion, at least {settings.min_pairs} are needed",
            _RECORD,
        )
    angles = np.array([_angle(p.doppler) - _angle(p.other) for p in moving])
    angles = np.arctan2(np.sin(angles), np.cos(angles))
    sigmas = np.array([np.hypot(_sigma(p.doppler, p.doppler_cov), _sigma(p.other, p.other_cov)) for p in moving])
    group = np.array([p.stretch for p in moving])

    def residuals(x: FloatArray) -> FloatArray:
        return np.asarray((angles - x[0]) / sigmas)

    found = fit(residuals, np.array([np.median(angles)]), 2.0)
    yaw = float(found.x[0])
    # What the pairs state is the least; the fit's own spread and that of the stretches may be more.
    stated = float((sigmas**-2).sum() ** -0.5)
    groups = len(np.unique(group))
    spread = float(found.sd[0])
    if groups > 1:  # from so few, two of them must hold 95 %: Student's t
        spread = float(np.sqrt(found.widened(group)[0, 0]) * student.ppf(_TWO_SIGMA, groups - 1) / 2.0)
    sd = max(stated, spread)
    misfit = float(np.sqrt(np.mean(found.residuals**2)))
    if misfit > settings.max_misfit:
        raise CannotCalibrate(
            f"the pairs do not agree: their angles scatter {misfit:.1f} times as much as they should, about "
            f"{np.degrees(yaw):.1f} degrees",
            _RECORD + "; nothing but parked things in view, and stamps of both sensors on one clock",
        )
    if np.degrees(sd) > settings.max_sd_deg:
        raise CannotCalibrate(f"the yaw is known only to {np.degrees(sd):.2f} degrees", _RECORD)
    return RadarYaw(yaw, sd, angles, sigmas, moving, misfit, _means(angles, sigmas, group))


def _angle(velocity: FloatArray) -> float:
    return float(np.arctan2(velocity[1], velocity[0]))


def _sigma(velocity: FloatArray, cov: FloatArray) -> float:
    """1-sigma of its direction, rad."""
    speed = float(np.hypot(*velocity))
    across = np.array([-velocity[1], velocity[0]]) / speed
    return float(np.sqrt(across @ cov @ across)) / speed


def _means(angles: FloatArray, sigmas: FloatArray, group: npt.NDArray[np.int64]) -> FloatArray:
    weight = sigmas**-2
    return np.array([(weight * angles)[group == g].sum() / weight[group == g].sum() for g in np.unique(group)])
