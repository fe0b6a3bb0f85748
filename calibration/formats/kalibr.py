"""Kalibr's camchain: cam0, cam1, …, each with intrinsics, distortion, and its pose against the one before and the IMU.

`T_cn_cnm1` is ``cam_SE3_camera_before``, `T_cam_imu` is ``cam_SE3_imu``; t_imu = t_cam + timeshift_cam_imu.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import yaml

from calibration.camera import CameraModel, KannalaBrandt, Pinhole
from calibration.formats.camera_file import CameraFile, bounded, camera_from, coefficients, field, mapping
from calibration.se3 import SE3

_MOST = 64
_NAMES: dict[str, tuple[str, int]] = {
    "radtan": ("plumb_bob", 4),
    "equidistant": ("equidistant", 4),
    "none": ("none", 0),
}


class ChainCamera(NamedTuple):
    """file: name is the topic. before: None for the first. imu: None where there is none. shift_s: added to the
    camera's stamps it gives the IMU's."""

    file: CameraFile
    before: SE3 | None
    imu: SE3 | None
    shift_s: float


def read_kalibr(text: str) -> list[ChainCamera]:
    """In order cam0, cam1, …

    Raises:
        ValueError: no YAML, no camera, one left out, another model, or numbers that are none.
    """
    try:
        document = mapping(yaml.safe_load(bounded(text)))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"file: expected YAML, got {error}") from error
    names = [f"cam{i}" for i in range(min(len(document), _MOST))]
    missing = [name for name in names if name not in document]
    if missing or not names:
        raise ValueError(f"file: expected cam0, cam1, …, got {sorted(map(str, document))[:20]}")
    return [_camera(mapping(document[name])) for name in names]


def write_kalibr(chain: Sequence[ChainCamera]) -> str:
    """YAML.

    Raises:
        ValueError: a lens that Kalibr has no name for: it knows four coefficients.
    """
    document: dict[str, Any] = {}
    for i, camera in enumerate(chain):
        distortion, D = _named(camera.file.camera)
        lens = camera.file.camera
        entry: dict[str, Any] = {
            "camera_model": "pinhole",
            "distortion_model": distortion,
            "distortion_coeffs": D,
            "intrinsics": [lens.fx, lens.fy, lens.cx, lens.cy],
            "resolution": [camera.file.width, camera.file.height],
            "rostopic": camera.file.name,
        }
        if camera.before is not None:
            entry["T_cn_cnm1"] = camera.before.matrix.tolist()
        if camera.imu is not None:
            entry["T_cam_imu"] = camera.imu.matrix.tolist()
            entry["timeshift_cam_imu"] = camera.shift_s
        document[f"cam{i}"] = entry
    return str(yaml.safe_dump(document, sort_keys=False, default_flow_style=None))


def _camera(entry: Mapping[str, Any]) -> ChainCamera:
    if field(entry, "camera_model") != "pinhole":
        raise ValueError(f"camera_model: expected pinhole, got {entry['camera_model']!r}")
    distortion = str(field(entry, "distortion_model"))
    if distortion not in _NAMES:
        raise ValueError(f"distortion_model: expected one of {', '.join(_NAMES)}, got {distortion!r}")
    fx, fy, cx, cy = _numbers(field(entry, "intrinsics"), 4, "intrinsics")
    width, height = (int(v) for v in _numbers(field(entry, "resolution"), 2, "resolution"))
    ours, count = _NAMES[distortion]
    D = _numbers(entry.get("distortion_coeffs") or [], count, "distortion_coeffs")
    file = CameraFile(
        str(entry.get("rostopic", "")), width, height, camera_from(ours, [fx, 0, cx, 0, fy, cy, 0, 0, 1], D)
    )
    before, imu = (_transform(entry[name], name) if name in entry else None for name in ("T_cn_cnm1", "T_cam_imu"))
    shift = _numbers([entry.get("timeshift_cam_imu", 0.0)], 1, "timeshift_cam_imu")[0]
    return ChainCamera(file, before, imu, shift)


def _named(camera: CameraModel) -> tuple[str, list[float]]:
    D = coefficients(camera)
    if isinstance(camera, KannalaBrandt):
        return "equidistant", D
    if isinstance(camera, Pinhole) and not camera.k3:
        return "radtan", D[:4]
    raise ValueError("camera: expected Kannala-Brandt, or pinhole with k1, k2, p1, p2 only")


def _transform(value: Any, name: str) -> SE3:
    try:
        return SE3.from_matrix(np.array(value, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected a rigid transform, 4 x 4, got {error}") from error


def _numbers(value: Any, count: int, name: str) -> list[float]:
    try:
        numbers = [float(v) for v in value]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected numbers, got {error}") from error
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{name}: expected {count} finite numbers, got {len(numbers)}")
    return numbers
