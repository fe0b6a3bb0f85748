"""Where each kind of sensor looks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.camera import inside
from calibration.rig import CameraSensor, LidarSensor, RadarSensor, Sensor
from calibration.se3 import FloatArray
from nodes.simulator.sensors.beams import unit_of
from nodes.simulator.sensors.radar_settings import type_of

_BEAM_MARGIN = np.radians(0.5)


def in_view(sensor: Sensor, xyz: FloatArray) -> npt.NDArray[np.bool_]:
    """(N,) whether points (N, 3), m, sensor frame, lie in a camera's, LiDAR's or radar's field of view and range."""
    distance = np.linalg.norm(xyz, axis=1)
    if isinstance(sensor, CameraSensor):
        pixels, valid = sensor.intrinsics.project(xyz)
        return np.asarray(valid & inside(pixels, sensor.width, sensor.height))
    if isinstance(sensor, LidarSensor):
        unit = unit_of(sensor)
        elevation = np.arcsin(np.clip(xyz[:, 2] / np.maximum(distance, 1e-6), -1.0, 1.0))
        low, high = unit.elevation.min() - _BEAM_MARGIN, unit.elevation.max() + _BEAM_MARGIN
        return np.asarray((elevation > low) & (elevation < high) & (distance < unit.max_range))
    assert isinstance(sensor, RadarSensor), f"{sensor.name} is no camera, LiDAR or radar"
    azimuth = np.abs(np.arctan2(xyz[:, 1], xyz[:, 0]))
    return np.asarray((azimuth < type_of(sensor).field_of_view) & (distance < sensor.max_range_m))
