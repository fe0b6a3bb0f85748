"""Faults of a radar: what is done to a scan, radar frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from calibration.rig import RadarSensor
from nodes.simulator.world.environment import Weather
from nodes.weather.radar import weakened, weathered_scan
from pipeline.core.messages import RADAR_POINT

Points: TypeAlias = np.ndarray  # of RADAR_POINT
ScanFault = Callable[[Points, float, RadarSensor, np.random.Generator], Points]

_HALF_FIELD = np.radians(60.0)
_FASTEST_MPS = 30.0


def fog(points: Points, visibility_m: float, radar: RadarSensor, rng: np.random.Generator) -> Points:
    return weathered_scan(points, Weather(visibility_m=visibility_m), rng)


def rain(points: Points, mm_h: float, radar: RadarSensor, rng: np.random.Generator) -> Points:
    return weathered_scan(points, Weather(rain_mm_h=mm_h), rng)


def snow(points: Points, mm_h: float, radar: RadarSensor, rng: np.random.Generator) -> Points:
    return weathered_scan(points, Weather(snow_mm_h=mm_h), rng)


def interference(points: Points, floor_db: float, radar: RadarSensor, rng: np.random.Generator) -> Points:
    return weakened(points, np.full(len(points), floor_db), rng)


def clutter(points: Points, number: float, radar: RadarSensor, rng: np.random.Generator) -> Points:
    """So many false returns on average, evenly over the field of view, as weak as the weakest third of the true."""
    count = int(rng.poisson(number))
    false = np.zeros(count, RADAR_POINT)
    distance = radar.max_range_m * np.sqrt(rng.random(count))
    azimuth = rng.uniform(-_HALF_FIELD, _HALF_FIELD, count)
    false["x"], false["y"] = distance * np.cos(azimuth), distance * np.sin(azimuth)
    half = 0.5 * radar.ambiguity_mps or _FASTEST_MPS
    false["range_rate"] = rng.uniform(-half, half, count)
    for name in ("rcs", "snr"):
        known = np.sort(points[name][np.isfinite(points[name])])
        weak = known[: max(1, len(known) // 3)]
        false[name] = rng.choice(weak, count) if len(weak) else np.nan
    return np.concatenate([points, false])


SCAN_FAULTS: dict[str, ScanFault] = {
    "fog": fog,
    "rain": rain,
    "snow": snow,
    "interference": interference,
    "clutter": clutter,
}
"""By the names of the table."""
