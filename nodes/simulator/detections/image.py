"""Boxes of objects in an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor

FloatArray = npt.NDArray[Any]  # float32 or float64

_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_NEAR_M = 0.5
_CROP_SHARE, _NETWORK_PX = 0.45, 352.0  # height of the searched crops in the image; side of the network's input


def resolved(height_px: FloatArray, camera: CameraSensor) -> FloatArray:
    """Pixels of an object's height that both the image and the network's input resolve: what finding it depends on."""
    return np.asarray(height_px * min(1.0, _NETWORK_PX / (_CROP_SHARE * camera.height)))


def box_in_image(centre: FloatArray, yaw: FloatArray, size: FloatArray, camera: CameraSensor) -> FloatArray:
    """(N, 4) left, top, right, bottom, px, of upright boxes in the ego frame, cut at the image border.

    NaN where a corner is behind the camera or nothing of it is in the image. centre (N, 3) m, yaw (N,), size (N, 3).
    """
    n = len(yaw)
    corners = _CORNERS[None] * size[:, None]
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x = corners[..., 0] * cos - corners[..., 1] * sin + centre[:, None, 0]
    y = corners[..., 0] * sin + corners[..., 1] * cos + centre[:, None, 1]
    z = corners[..., 2] + centre[:, None, 2]
    in_camera = camera.ego_SE3_sensor.inverse() @ np.stack([x, y, z], axis=-1).reshape(-1, 3)
    pixels, valid = camera.intrinsics.project(in_camera)
    depth = np.where(valid, in_camera[:, 2], -1.0).reshape(n, 8).min(axis=1)
    pixels = np.where((depth > _NEAR_M)[:, None, None], pixels.reshape(n, 8, 2), np.nan)
    limit = np.array([camera.width - 1.0, camera.height - 1.0])
    low, high = np.clip(pixels.min(axis=1), 0.0, limit), np.clip(pixels.max(axis=1), 0.0, limit)
    narrowest = np.asarray((high - low).min(axis=1))
    return np.where((narrowest > 1.0)[:, None], np.concatenate([low, high], axis=1), np.nan)  # NaN compares false
