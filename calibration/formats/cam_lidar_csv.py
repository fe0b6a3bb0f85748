"""What the ACFR's cam_lidar_calibration writes: one solution a line, roll, pitch, yaw, x, y, z."""

from __future__ import annotations

import csv
import io

import numpy as np

from calibration.formats.autoware import from_roll_pitch_yaw
from calibration.formats.camera_file import bounded
from calibration.se3 import SE3

_COLUMNS = ("roll", "pitch", "yaw", "x", "y", "z")


def read_cam_lidar_csv(text: str) -> SE3:
    """``cam_SE3_lidar``, the mean of all solutions. The file has the way from the camera to the LiDAR.

    Raises:
        ValueError: no line, a column is missing, or something is no number.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(bounded(text), newline=None)))
        numbers = np.array([[float(row[name]) for name in _COLUMNS] for row in rows])
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"file: expected numbers {', '.join(_COLUMNS)} on each line, got {error}") from error
    if not len(numbers):
        raise ValueError("file: expected at least one line of numbers, got none")
    solutions = SE3(from_roll_pitch_yaw(numbers[:, :3]), numbers[:, 3:])
    first = solutions[0]
    lidar_SE3_cam = SE3.exp((solutions @ first.inverse()).log().mean(axis=0)) @ first
    return lidar_SE3_cam.inverse()
