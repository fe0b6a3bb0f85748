"""Fog, rain and snow in a 77 GHz radar scan: attenuation both ways, and the echo of the rain itself."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nodes.simulator.world.environment import Weather
from nodes.weather.air import fog_water

Points: TypeAlias = np.ndarray  # of RADAR_POINT

_RAIN_K, _RAIN_ALPHA = 1.131, 0.719  # ITU-R P.838-3, horizontal polarisation, 77 GHz
_FOG_DB_PER_KM = 4.0  # per g/m3 of water at 10 degrees C and 77 GHz; ITU-R P.840
_SNOW_SHARE = 0.1  # dry snow attenuates about a tenth of what rain of the same water does
_ECHO_AT_20_M_DB = -10.0  # rain echo over noise of 1 mm/h; grows with R, falls with r^2 as the beam fills
_MARGIN_DB = 10.0  # mean excess over the threshold, where a radar states no SNR


def attenuation_db_per_m(weather: Weather) -> float:
    """One way, at 77 GHz."""
    rain = _RAIN_K * weather.rain_mm_h**_RAIN_ALPHA
    snow = _SNOW_SHARE * _RAIN_K * weather.snow_mm_h**_RAIN_ALPHA
    return float(1e-3 * (rain + snow + _FOG_DB_PER_KM * fog_water(weather.visibility_m)))


def snr_loss_db(weather: Weather, distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N,) dB by which the signal falls and the floor rises at distances (N,), m."""
    lost = 2.0 * attenuation_db_per_m(weather) * distance
    echo = weather.rain_mm_h * 10 ** (_ECHO_AT_20_M_DB / 10) * (20.0 / np.maximum(distance, 1.0)) ** 2
    return np.asarray(lost + 10.0 * np.log10(1.0 + echo))


def weathered_scan(
    points: Points, weather: Weather, rng: np.random.Generator, threshold_db: float = math.nan
) -> Points:
    """The scan as the radar would see the scene in this weather.

    Args:
        points: (N,) of RADAR_POINT, radar frame, in clear air.
        threshold_db: SNR below which the radar reports nothing; NaN = the least in this scan.

    Returns:
        (M,) of RADAR_POINT, M <= N, in their order, SNR lowered. Where a radar states none, a return has an exponential
        margin of 10 dB on average.
    """
    if len(points) == 0:
        return points
    distance = np.sqrt(sum(points[axis].astype(np.float64) ** 2 for axis in ("x", "y", "z")))
    return weakened(points, snr_loss_db(weather, distance), rng, threshold_db)


def weakened(
    points: Points, loss_db: npt.NDArray[np.float64], rng: np.random.Generator, threshold_db: float = math.nan
) -> Points:
    """Returns that are still above the threshold after losing ``loss_db`` (N,) of their SNR."""
    snr = points["snr"].astype(np.float64)
    unknown = np.isnan(snr)
    if math.isnan(threshold_db):
        threshold_db = float(np.nanmin(snr)) if not unknown.all() else 0.0
    margin = np.where(unknown, rng.exponential(_MARGIN_DB, len(points)), snr - threshold_db)
    out = points.copy()
    out["snr"] -= loss_db.astype(np.float32)
    return np.asarray(out[margin >= loss_db])
