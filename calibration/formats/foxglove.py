"""Foxglove's `CameraCalibration` as JSON: K, D, R, P and the frame; distortion models are named as in ROS."""

from __future__ import annotations

import json

from calibration.formats.camera_file import (
    ROS_NAMES,
    CameraFile,
    bounded,
    camera_from,
    coefficients,
    field,
    mapping,
    matrix_rows,
    projection_rows,
)


def read_foxglove(text: str) -> CameraFile:
    """From one message. Its frame is the name.

    Raises:
        ValueError: no JSON, a field is missing or is no camera.
    """
    try:
        document = mapping(json.loads(bounded(text)))
        camera = camera_from(
            str(field(document, "distortion_model")),
            [float(v) for v in field(document, "K")],
            [float(v) for v in field(document, "D")],
        )
        width, height = int(field(document, "width")), int(field(document, "height"))
    except (json.JSONDecodeError, RecursionError, TypeError) as error:
        raise ValueError(f"file: expected a CameraCalibration in JSON, got {error}") from error
    return CameraFile(str(document.get("frame_id", "")), width, height, camera)


def write_foxglove(of: CameraFile, time_ns: int = 0) -> str:
    """JSON."""
    return json.dumps(
        {
            "timestamp": {"sec": time_ns // 10**9, "nsec": time_ns % 10**9},
            "frame_id": of.name,
            "width": of.width,
            "height": of.height,
            "distortion_model": ROS_NAMES[type(of.camera)],
            "D": coefficients(of.camera),
            "K": matrix_rows(of.camera),
            "R": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            "P": projection_rows(of.camera),
        }
    )
