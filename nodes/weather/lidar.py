"""Fog, rain and snow in a LiDAR sweep: returns that are too weak to be seen, and returns from the air itself.

The hard target's return loses exp(-2 a R). It is still seen where it is as strong as that of a 10 % target at the
LiDAR's greatest range in clear air, by the 1/R^2 law. Fog gives a soft return of its own: Hahner et al., "Fog
Simulation on Real LiDAR Point Clouds for 3D Object Detection in Adverse Weather", ICCV 2021, whose calibration of the
target is kept. Single drops and flakes near the sensor give returns at random, as in Kilic et al., LISA, 2021.
"""

from __future__ import annotations

import functools
import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nodes.simulator.world.environment import Weather
from nodes.weather.air import extinction

Points: TypeAlias = np.ndarray  # of POINT
Floats: TypeAlias = npt.NDArray[np.float64]

REFERENCE_REFLECTIVITY = 0.1  # makers state the greatest range for it
_LIGHT_SPEED = 299_792_458.0
_HALF_PULSE_S = 20e-9  # half-power pulse width
_OVERLAP_FROM, _OVERLAP_FULL = 0.9, 1.0  # where the receiver begins to see the beam, and sees all of it, m
_TARGET = 1e-6 / math.pi  # differential reflectivity of the hard target, 1/sr
_BACKSCATTER = 0.046  # 1/sr of fog, over its visibility in m; Rasshofer et al. 2011
_SPECKLE_DB = 2.0
_MARGIN_DB = 5.0
_RAIN_RETURNS = 4e-4  # per beam and mm/h
_SNOW_RETURNS = 0.03  # per beam and mm/h of water
_RAIN_NOISE_M = 0.03  # in heavy rain; Filgueira et al. 2017 measured centimetres
_AIR_INTENSITY = 0.02


def weathered_sweep(points: Points, weather: Weather, max_range_m: float, rng: np.random.Generator) -> Points:
    """The sweep as the LiDAR would see the scene in this weather.

    Args:
        points: (N,) of POINT, lidar frame, in clear air. Beams that came back from nothing are not among them, so that
            what the air would have sent back on those is missing.
        max_range_m: at which the LiDAR still sees a target of 10 % reflectivity in clear air.

    Returns:
        (M,) of POINT, M <= N, in their order. A point that the air sent back is nearer on its beam.
    """
    per_metre = extinction(weather)
    if per_metre == 0.0 or len(points) == 0:
        return points
    out = points.copy()
    distance = np.sqrt(points["x"] ** 2 + points["y"] ** 2 + points["z"] ** 2)
    distance = np.maximum(distance, np.float32(0.1)).astype(np.float64)
    weakest = REFERENCE_REFLECTIVITY / max_range_m**2
    # What was seen in clear air was at least as strong as the weakest that can be seen; by how much is not known where
    # the intensity says less, as rounded ones of dark surfaces do.
    clear = points["intensity"] / distance**2
    unknown = clear < weakest
    clear[unknown] = weakest * 10 ** (rng.exponential(_MARGIN_DB, int(unknown.sum())) / 10)
    hard = clear * np.exp(-2.0 * per_metre * distance)
    seen = hard >= weakest
    intensity = hard * distance**2
    scale = np.ones(len(points))

    if np.isfinite(weather.visibility_m):
        peak_m, strength = fog_return(weather.visibility_m, distance)
        speckle = np.exp(rng.standard_normal(len(points), dtype=np.float32) * (_SPECKLE_DB * math.log(10.0) / 10.0))
        soft = clear * strength * speckle
        air = (soft > hard) & (peak_m < distance)
        at_m = np.minimum(peak_m[air] * 2.0 ** rng.uniform(-1.0, 1.0, int(air.sum())), distance[air])
        scale[air], intensity[air] = at_m / distance[air], soft[air] * at_m**2
        seen = np.where(air, soft >= weakest, seen)
    if weather.rain_mm_h > 0:
        noise = _RAIN_NOISE_M * (1.0 - math.exp(-weather.rain_mm_h / 25.0))
        scale *= 1.0 + noise * rng.standard_normal(len(points), dtype=np.float32) / distance
    for rate, mm_h, depth_m in ((_RAIN_RETURNS, weather.rain_mm_h, 2.0), (_SNOW_RETURNS, weather.snow_mm_h, 3.0)):
        if mm_h > 0:
            hit = np.flatnonzero(rng.random(len(points), dtype=np.float32) < 1.0 - math.exp(-rate * mm_h))
            at_m = 1.0 + rng.gamma(2.0, depth_m, len(hit))
            hit, at_m = hit[at_m < distance[hit]], at_m[at_m < distance[hit]]
            scale[hit], intensity[hit], seen[hit] = at_m / distance[hit], _AIR_INTENSITY, True
    for name in ("x", "y", "z"):
        out[name] *= scale
    out["intensity"] = np.clip(intensity, 0.0, 1.0)
    return np.asarray(out[seen])


def fog_return(visibility_m: float, distance: Floats) -> tuple[Floats, Floats]:
    """The soft return of fog in front of targets at distances (N,), m.

    Returns:
        (N,) where on the beam it is strongest, m; (N,) its strength over that of the target in clear air.
    """
    grid, peak, integral = _soft_integral(round(visibility_m, 1))
    backscatter = _BACKSCATTER / visibility_m
    strength = distance**2 * backscatter / _TARGET * np.interp(distance, grid, integral)
    return np.interp(distance, grid, peak), strength


@functools.lru_cache(maxsize=32)
def _soft_integral(visibility_m: float) -> tuple[Floats, Floats, Floats]:
    """For targets on a grid of distances: where max over R of the integral lies, and its value, s/m2.

    Over the pulse, t = 0 .. 2 tau: sin2(pi t / 2 tau) exp(-2 a r) overlap(r) / r^2 at r = R - c t / 2, as far as the
    target. Beyond some 15 m the target no longer matters, for the fog near the sensor outshines all behind it.
    """
    a, pulse_m = 3.0 / visibility_m, _LIGHT_SPEED * _HALF_PULSE_S
    grid = np.arange(0.5, 20.01, 0.5)
    reached = np.arange(0.5, 20.01, 0.1)
    into = np.linspace(0.0, 1.0, 241)  # of the pulse
    r = np.maximum(reached[:, None] - pulse_m * into, 1e-3)
    overlap = np.clip((r - _OVERLAP_FROM) / (_OVERLAP_FULL - _OVERLAP_FROM), 0.0, 1.0)
    response = np.sin(math.pi * into) ** 2 * np.exp(-2.0 * a * r) * overlap / r**2
    peak, integral = np.empty(len(grid)), np.empty(len(grid))
    for i, target in enumerate(grid):
        value = np.where(r < target, response, 0.0).mean(axis=1) * 2.0 * _HALF_PULSE_S
        peak[i], integral[i] = reached[value.argmax()], value.max()
    return grid, peak, integral
