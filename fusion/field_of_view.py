"""Where each sensor can see at all, from the rig: what is outside is not missed there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from calibration.rig import CameraSensor, LidarSensor, RadarSensor, Rig
from calibration.se3 import FloatArray
from fusion.measurements import BoolArray
from pipeline.core.settings import Settings

_FAR_M = 300.0  # beyond, no camera shows anything to be counted on


class FieldOfView(Settings, frozen=True):
    """A sector of the ground, ego frame. origin: its tip, x and y, m. left, right: azimuths of its edges, rad, the
    sector reaching from right counter-clockwise to left; a whole turn where they are equal. range_m: its radius.
    """

    origin: tuple[float, float]
    right: float = 0.0
    left: float = 0.0
    range_m: float = _FAR_M


def fields_of_view(rig: Rig) -> dict[str, FieldOfView]:
    """By sensor name."""
    sensors: list[CameraSensor | LidarSensor | RadarSensor] = [*rig.cameras, *rig.lidars, *rig.radars]
    return {sensor.name: _field(sensor) for sensor in sensors}


def in_view(position: FloatArray, sensors: Sequence[str], fields: Mapping[str, FieldOfView]) -> BoolArray:
    """(M, S) whether positions (M, 3), ego frame, lie in the field of each sensor; one without a field sees all."""
    known = [fields.get(sensor, _EVERYWHERE) for sensor in sensors]
    origin = np.array([field.origin for field in known]).reshape(-1, 2)
    right, span, reach = (
        np.array([(f.right, (f.left - f.right) % _TURN or _TURN, f.range_m) for f in known]).reshape(-1, 3).T
    )
    x, y = (position[:, axis, None] - origin[:, axis] for axis in (0, 1))
    return np.asarray(((np.arctan2(y, x) - right) % _TURN <= span) & (x * x + y * y <= reach * reach))


_TURN = 2.0 * np.pi
_EVERYWHERE = FieldOfView(origin=(0.0, 0.0), range_m=float("inf"))


def _field(sensor: CameraSensor | LidarSensor | RadarSensor) -> FieldOfView:
    ego_SE3_sensor = sensor.ego_SE3_sensor
    x, y, _ = ego_SE3_sensor.translation.tolist()
    if isinstance(sensor, CameraSensor):
        middle = 0.5 * (sensor.height - 1)
        edges = sensor.intrinsics.unproject(np.array([[0.0, middle], [sensor.width - 1.0, middle]]))
        ray = ego_SE3_sensor.rotate(edges)
        left, right = np.arctan2(ray[:, 1], ray[:, 0]).tolist()
        return FieldOfView(origin=(x, y), right=right, left=left)
    if sensor.view_deg >= 360.0:
        return FieldOfView(origin=(x, y), range_m=sensor.max_range_m)
    ahead, half = float(ego_SE3_sensor.yaw), math.radians(sensor.view_deg) / 2.0
    return FieldOfView(origin=(x, y), right=ahead - half, left=ahead + half, range_m=sensor.max_range_m)
