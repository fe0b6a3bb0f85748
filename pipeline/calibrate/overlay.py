"""LiDAR points on the picture, coloured by depth: what shows at a glance whether a calibration is right."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from calibration.camera import CameraModel, inside
from calibration.se3 import FloatArray

Bgr = npt.NDArray[np.uint8]


def with_points(bgr: Bgr, camera: CameraModel, points_cam: FloatArray, size: int = 1, dim: float = 0.6) -> Bgr:
    """A copy of the picture (H, W, 3), darkened, with points (N, 3), camera frame; red is near, blue is far."""
    height, width = bgr.shape[:2]
    points = points_cam[points_cam[:, 2] > 0.3]
    pixels, valid = camera.project(points)
    seen = valid & inside(pixels, width, height)
    pixels, depth = pixels[seen], points[seen, 2]
    out = np.asarray(bgr * dim, dtype=np.uint8)
    if not len(depth):
        return out
    order = np.argsort(-depth)  # the near ones last, on top
    near, far = np.percentile(depth, [2, 95])
    shade = np.clip(np.log(depth / near) / max(np.log(far / near), 1e-6), 0, 1)
    colours = cv2.applyColorMap(np.asarray(255 * (1 - shade), dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0]
    for (u, v), colour in zip(np.round(pixels[order]).astype(int).tolist(), colours[order].tolist(), strict=True):
        cv2.circle(out, (u, v), size, colour, -1, cv2.LINE_AA)
    return out


def cropped(bgr: Bgr, pixels: FloatArray, margin: float = 0.6) -> Bgr:
    """The part of a picture around pixels (N, 2)."""
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    grow = margin * float((high - low).max())
    u0, v0 = np.maximum(np.floor(low - grow), 0).astype(int)
    u1, v1 = np.ceil(high + grow).astype(int)
    return np.ascontiguousarray(bgr[v0:v1, u0:u1])
