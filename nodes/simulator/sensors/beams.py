"""Where the beams of real LiDARs point and when they fire, from their makers' public manuals.

Velodyne VLP-16 (63-9243), VLP-32C (63-9325), HDL-64E S2 (63-HDL64ES2); Hesai Pandar64; Ouster OS1-64 (gen 1).
Single units deviate from their table by some hundredths of a degree; ranges and noises are those of the data sheets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.rig import LidarSensor
from calibration.se3 import FloatArray


class Unit(NamedTuple):
    """One LiDAR. Beams are numbered as its driver numbers rings: from the lowest up.

    elevation, azimuth: (B,) rad, of each beam against the horizon and against the head's heading, positive = to the
    left. fires: (B,) s after the start of a column. column_s: time between columns. min_range, max_range: m.
    clear_range: at which half of the pulses on a surface of 10 % reflectivity, hit squarely, are detected, m.
    range_sigma: of a strong echo, m. divergence: full width of the beam, rad.
    """

    elevation: FloatArray
    azimuth: FloatArray
    fires: FloatArray
    column_s: float
    min_range: float
    max_range: float
    clear_range: float
    range_sigma: float
    divergence: float

    @property
    def beams(self) -> int:
        return len(self.elevation)


def unit_of(sensor: LidarSensor) -> Unit:
    """The unit that the rig names; without a name, a uniform fan of its beams from -22 to 8 degrees.

    Range is cut to the rig's `max_range_m`.
    """
    unit = _MODELS[sensor.model] if sensor.model else _fan(sensor.beams or 32)
    return unit._replace(max_range=min(unit.max_range, sensor.max_range_m))


def _unit(
    elevation_deg: npt.ArrayLike,
    azimuth_deg: npt.ArrayLike,
    fires_us: npt.ArrayLike,
    column_us: float,
    ranges: tuple[float, float, float],
    range_sigma: float,
    divergence_mrad: float,
) -> Unit:
    """From tables in the order of firing; ranges: min, max, clear."""
    elevation = np.deg2rad(elevation_deg)
    lowest_first = np.argsort(elevation, kind="stable")
    azimuth = np.broadcast_to(np.deg2rad(azimuth_deg), elevation.shape)
    fires = np.broadcast_to(np.asarray(fires_us, dtype=np.float64) * 1e-6, elevation.shape)
    return Unit(
        elevation[lowest_first],
        azimuth[lowest_first],
        fires[lowest_first],
        column_us * 1e-6,
        *ranges,
        range_sigma,
        divergence_mrad * 1e-3,
    )


def _fan(beams: int) -> Unit:
    """1,100 columns in 100 ms; the rest like the small units of today."""
    column_us = 100_000.0 / 1100
    fires = np.arange(beams) * (0.6 * column_us / beams)
    return _unit(np.linspace(-22.0, 8.0, beams), 0.0, fires, column_us, (0.5, 300.0, 80.0), 0.015, 2.5)


_SLOT_US, _CYCLE_US = 2.304, 55.296  # Velodyne VLP: one firing, one sequence of all lasers

_VLP16_DEG = np.stack([np.arange(-15.0, 0.0, 2.0), np.arange(1.0, 16.0, 2.0)], axis=1).reshape(-1)

# elevation, azimuth in degrees; two lasers fire at a time
_VLP32C_DEG = (
    *((-25.0, 1.4), (-1.0, -4.2), (-1.667, 1.4), (-15.639, -1.4), (-11.31, 1.4), (0.0, -1.4), (-0.667, 4.2)),
    *((-8.843, -1.4), (-7.254, 1.4), (0.333, -4.2), (-0.333, 1.4), (-6.148, -1.4), (-5.333, 4.2), (1.333, -1.4)),
    *((0.667, 4.2), (-4.0, -1.4), (-4.667, 1.4), (1.667, -4.2), (1.0, 1.4), (-3.667, -4.2), (-3.333, 4.2)),
    *((3.333, -1.4), (2.333, 1.4), (-2.667, -1.4), (-3.0, 1.4), (7.0, -1.4), (4.667, 1.4), (-2.333, -4.2)),
    *((-2.0, 4.2), (15.0, -1.4), (10.333, 1.4), (-1.333, -1.4)),
)

# upper block 1/3 degree apart, lower block 1/2 degree
_HDL64E_DEG = np.concatenate([2.0 - np.arange(32) / 3.0, -8.83 - np.arange(32) / 2.0])

_PANDAR64_DEG = (
    *(14.882, 11.032, 8.059, 5.057, 3.040, 2.028, 1.860, 1.688, 1.522, 1.351, 1.184, 1.013, 0.846, 0.675, 0.508, 0.337),
    *(0.169, 0.0, -0.169, -0.337, -0.508, -0.675, -0.845, -1.013, -1.184, -1.351, -1.522, -1.688, -1.860, -2.028),
    *(-2.198, -2.365, -2.536, -2.700, -2.873, -3.040, -3.210, -3.375, -3.548, -3.712, -3.884, -4.050, -4.221, -4.385),
    *(-4.558, -4.720, -4.892, -5.057, -5.229, -5.391, -5.565, -5.726, -5.898, -6.061, -7.063, -8.059, -9.060, -9.885),
    *(-11.032, -12.006, -12.974, -13.930, -18.889, -24.897),
)

_MODELS: dict[str, Unit] = {
    "vlp16": _unit(_VLP16_DEG, 0.0, np.arange(16) * _SLOT_US, _CYCLE_US, (0.5, 100.0, 50.0), 0.012, 3.0),
    "vlp32c": _unit(
        [elevation for elevation, _ in _VLP32C_DEG],
        [azimuth for _, azimuth in _VLP32C_DEG],
        np.arange(32) // 2 * _SLOT_US,
        _CYCLE_US,
        (0.5, 200.0, 100.0),
        0.012,
        3.0,
    ),
    "hdl64e": _unit(_HDL64E_DEG, 0.0, np.arange(64) % 32 * 1.3, 48.0, (0.9, 120.0, 60.0), 0.015, 2.0),
    "pandar64": _unit(_PANDAR64_DEG, 0.0, np.arange(64) * 0.66, 100_000.0 / 1800, (0.3, 230.0, 140.0), 0.010, 1.6),
    "os1_64": _unit(
        np.linspace(16.6, -16.6, 64),
        np.tile([3.164, 1.055, -1.055, -3.164], 16),
        0.0,
        100_000.0 / 1024,
        (0.8, 150.0, 60.0),
        0.012,
        3.2,
    ),
}
