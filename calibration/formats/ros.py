"""ROS camera_info: the YAML of `camera_calibration`, and the message's own fields written down as YAML."""

from __future__ import annotations

from typing import Any

import yaml

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


def read_ros(text: str) -> CameraFile:
    """From `camera_matrix: {data: …}` or `K: …`.

    Raises:
        ValueError: no YAML, a field is missing or is no camera.
    """
    try:
        document = mapping(yaml.safe_load(bounded(text)))
    except yaml.YAMLError as error:
        raise ValueError(f"file: expected YAML, got {error}") from error
    camera = camera_from(
        str(field(document, "distortion_model")),
        _data(field(document, "camera_matrix", "K", "k")),
        _data(field(document, "distortion_coefficients", "D", "d")),
    )
    width, height = (int(field(document, name, f"image_{name}")) for name in ("width", "height"))
    return CameraFile(str(document.get("camera_name", "")), width, height, camera)


def write_ros(of: CameraFile) -> str:
    """YAML as `camera_calibration` writes it and `camera_info_manager` reads it."""
    D = coefficients(of.camera)
    document = {
        "image_width": of.width,
        "image_height": of.height,
        "camera_name": of.name,
        "camera_matrix": {"rows": 3, "cols": 3, "data": matrix_rows(of.camera)},
        "distortion_model": ROS_NAMES[type(of.camera)],
        "distortion_coefficients": {"rows": 1, "cols": len(D), "data": D},
        "rectification_matrix": {"rows": 3, "cols": 3, "data": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]},
        "projection_matrix": {"rows": 3, "cols": 4, "data": projection_rows(of.camera)},
    }
    return str(yaml.safe_dump(document, sort_keys=False, default_flow_style=None))


def _data(value: Any) -> list[float]:
    numbers = field(mapping(value), "data") if isinstance(value, dict) else value
    if not isinstance(numbers, list):
        raise ValueError(f"K, D: expected a list of numbers, got {type(numbers).__name__}")
    return [float(v) for v in numbers]
