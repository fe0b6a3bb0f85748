"""A record of nuScenes' `calibrated_sensor.json`: ``ego_SE3_sensor``, quaternion w, x, y, z, and K of a camera."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from calibration.camera import CameraModel, Pinhole
from calibration.formats.camera_file import bounded, camera_from, coefficients, field, mapping
from calibration.se3 import SE3


class CalibratedSensor(NamedTuple):
    """token, sensor_token: as the file has them. camera: None for a LiDAR or radar."""

    token: str
    sensor_token: str
    ego_SE3_sensor: SE3  # noqa: N815 - destination first
    camera: CameraModel | None


def read_nuscenes(text: str) -> list[CalibratedSensor]:
    """All records.

    Raises:
        ValueError: no JSON list of records, or one that is no pose or no camera.
    """
    try:
        document = json.loads(bounded(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"file: expected JSON, got {error}") from error
    if not isinstance(document, list):
        raise ValueError(f"file: expected a list of records, got {type(document).__name__}")
    return [_record(item) for item in document]


def write_nuscenes(sensors: list[CalibratedSensor]) -> str:
    """JSON.

    Raises:
        ValueError: a camera with distortion: the data set's images have none.
    """
    return json.dumps([_written(sensor) for sensor in sensors], indent=0)


def _record(item: object) -> CalibratedSensor:
    record = mapping(item)
    try:
        pose = SE3.from_quaternion(
            np.array(field(record, "rotation"), np.float64), np.array(field(record, "translation"), np.float64)
        )
        K = np.array(field(record, "camera_intrinsic"), np.float64)
    except TypeError as error:
        raise ValueError(f"rotation, translation, camera_intrinsic: expected numbers, got {error}") from error
    if pose.shape != ():
        raise ValueError("rotation: expected 4 numbers")
    camera = camera_from("none", K, []) if K.size else None
    return CalibratedSensor(str(field(record, "token")), str(field(record, "sensor_token")), pose, camera)


def _written(sensor: CalibratedSensor) -> dict[str, object]:
    camera = sensor.camera
    if camera is not None and not undistorted(camera):
        raise ValueError(f"{sensor.token}: camera: expected one without distortion")
    return {
        "token": sensor.token,
        "sensor_token": sensor.sensor_token,
        "translation": sensor.ego_SE3_sensor.translation.tolist(),
        "rotation": sensor.ego_SE3_sensor.quaternion.tolist(),
        "camera_intrinsic": [] if camera is None else camera.matrix.tolist(),
    }


def undistorted(camera: CameraModel) -> bool:
    """Whether K is all there is to it."""
    return isinstance(camera, Pinhole) and not any(coefficients(camera))
