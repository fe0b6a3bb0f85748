"""What fog, rain and snow are made of: extinction of light, drops and flakes by size and number."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nodes.simulator.world.environment import Weather

_DB_PER_KM = 1e-3 * math.log(10.0) / 10.0  # as 1/m
_NEAR_INFRARED_NM = 905.0


def extinction(weather: Weather) -> float:
    """Extinction coefficient of visible and near infrared light, 1/m: what is left after d metres is exp(-e d).

    Drops and flakes are far larger than the wavelength, so that eye, camera and laser lose alike.
    """
    return weather.extinction_per_m + rain_extinction(weather.rain_mm_h) + snow_extinction(weather.snow_mm_h)


def rain_extinction(mm_h: float) -> float:
    """1/m; 0.312 R^0.67 per km: Weber et al. 2015, as used by Halder et al., ICCV 2019."""
    return float(0.312e-3 * mm_h**0.67)


def snow_extinction(mm_h: float) -> float:
    """1/m of dry snow; (5.42e-5 nm + 5.4958776) S^1.38 dB/km, S in mm/h of water: Al Naboulsi et al. 2004."""
    return float((5.42e-5 * _NEAR_INFRARED_NM + 5.4958776) * mm_h**1.38 * _DB_PER_KM)


def rain_drops(mm_h: float, diameter_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Drops per m3 and mm of diameter: 8000 exp(-4.1 R^-0.21 D); Marshall and Palmer 1948. mm_h > 0."""
    return np.asarray(8000.0 * np.exp(-4.1 * mm_h**-0.21 * diameter_mm))


def fall_speed(diameter_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of a rain drop, m/s: 9.65 - 10.3 exp(-0.6 D); Atlas et al. 1973."""
    return np.asarray(9.65 - 10.3 * np.exp(-0.6 * diameter_mm))


def snow_flakes(mm_h: float, melted_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Flakes per m3 and mm of the drop D that each melts to: 3800 S^-0.87 exp(-2.55 S^-0.48 D); Gunn, Marshall 1958."""
    return np.asarray(3800.0 * mm_h**-0.87 * np.exp(-2.55 * mm_h**-0.48 * melted_mm))


def fog_water(visibility_m: float) -> float:
    """Liquid water of fog, g/m3, from 144.7 W^0.88 = extinction per km; Kunkel 1984."""
    return float((3000.0 / visibility_m / 144.7) ** (1.0 / 0.88))
