"""A lens as flat views: one picture plane where it sees less than 120 degrees, else sides of a cube; and the way back.

The views lie below each other in one sheet. Each pixel of the camera looks up where on the sheet its own ray falls, by
the camera model's `unproject`, so any model is drawn as exactly as it is known.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from calibration.camera import Pinhole
from calibration.rig import CameraSensor

_NONE = np.zeros(0, np.float32)
FloatArray = npt.NDArray[np.float64]

_ONE_PLANE = np.radians(62.0)
_MARGIN = 2  # pixels of a view beyond the last ray that needs it
_FINER = 1.1  # views against the middle of the lens: bending the picture must not blur it

# face_R_camera, in the order front, right, left, down, up, back.
_SIDES = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
        [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
        [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
    ],
    dtype=np.float64,
)


class View(NamedTuple):
    """A pinhole picture at rows [top, top + height), columns [0, width) of the sheet; rotation: view_R_camera;
    fx = fy = focal, pixels."""

    rotation: FloatArray
    focal: float
    cx: float
    cy: float
    width: int
    height: int
    top: int


class Sheet:
    """All views of one camera, and how they become its image."""

    def __init__(self, camera: CameraSensor) -> None:
        model = camera.intrinsics
        self._flat = isinstance(model, Pinhole) and not any((model.k1, model.k2, model.k3, model.p1, model.p2))
        if self._flat and model.fx == model.fy:
            self.views: tuple[View, ...] = (
                View(np.eye(3), model.fx, model.cx, model.cy, camera.width, camera.height, 0),
            )
            self.width, self.height = camera.width, camera.height
            return
        self._flat = False
        u, v = np.meshgrid(np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64))
        rays = model.unproject(np.stack([u, v], axis=-1).reshape(-1, 2))
        seen = np.isfinite(rays).all(axis=1)
        angle = np.arccos(np.clip(rays[seen, 2], -1.0, 1.0))
        side = np.zeros(len(rays), np.int64)
        if angle.max(initial=0.0) > _ONE_PLANE:
            side[seen] = (rays[seen] @ _SIDES[:, 2].T).argmax(axis=1)
        at = np.full((len(rays), 2), -1e4, np.float32)  # off the sheet
        views, top = [], 0
        for index in np.unique(side[seen]):
            mine = np.flatnonzero(seen & (side == index))
            on_plane = rays[mine] @ _SIDES[index].T
            pixels = _FINER * max(model.fx, model.fy) * on_plane[:, :2] / on_plane[:, 2:]
            low = np.floor(pixels.min(axis=0)) - _MARGIN
            width, height = (np.ceil(pixels.max(axis=0)) - low + 1 + _MARGIN).astype(int)
            views.append(
                View(_SIDES[index], _FINER * max(model.fx, model.fy), -low[0], -low[1], int(width), int(height), top)
            )
            at[mine] = pixels - low + [0.0, top]
            top += int(height)
        self.views = tuple(views)
        self.width, self.height = max(view.width for view in views), top
        self._at = at.reshape(camera.height, camera.width, 2)
        self._blend = cv2.convertMaps(self._at, _NONE, cv2.CV_16SC2)

    def colours(self, sheet: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """(H, W, C) uint8 of the sheet's; black where the lens sees nothing."""
        if self._flat:
            return sheet
        return np.asarray(cv2.remap(sheet, self._blend[0], self._blend[1], cv2.INTER_LINEAR), np.uint8)

    def nearest(self, sheet: npt.NDArray[np.float32], outside: tuple[float, float]) -> npt.NDArray[np.float32]:
        """(H, W, 2) float32 of the sheet's, not blended."""
        if self._flat:
            return sheet
        return np.asarray(cv2.remap(sheet, self._at, _NONE, cv2.INTER_NEAREST, borderValue=outside), np.float32)
