"""Geometry of what the viewers draw: wire frames of boxes, their projection into images, bars of weights."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.camera import CameraModel, inside
from calibration.se3 import SE3

FloatArray = npt.NDArray[np.float64]

_STEPS = 4  # points per edge: distortion bends edges, and one may leave the image half way
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
# All twelve edges without lifting the pen, then a cross on the front face: it tells where the box is heading.
_WALK = (0, 1, 3, 2, 0, 4, 5, 1, 5, 7, 3, 7, 6, 2, 6, 4, 7, 5, 6)
_ALONG = np.arange(_STEPS)[:, None] / _STEPS
_WIRE = np.concatenate(
    [*(_CORNERS[a] * (1 - _ALONG) + _CORNERS[b] * _ALONG for a, b in itertools.pairwise(_WALK)), _CORNERS[[_WALK[-1]]]]
)  # (K, 3)


def wire_points(position: npt.ArrayLike, size: npt.ArrayLike, yaw: npt.ArrayLike) -> FloatArray:
    """(N, K, 3) float64: points along each box's edges and the cross on its front, as one line, in the boxes' frame.

    Args:
        position: (N, 3) centres, m. size: (N, 3) length, width, height, m. yaw: (N,) rad.
    """
    position, size, yaw = (np.asarray(v, dtype=np.float64) for v in (position, size, yaw))
    local = _WIRE[None] * size[:, None, :]
    c, s = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    turned = np.stack([c * local[..., 0] - s * local[..., 1], s * local[..., 0] + c * local[..., 1], local[..., 2]], -1)
    return np.asarray(turned + position[:, None, :])


def project_wires(
    wires: FloatArray, camera_SE3_frame: SE3, camera: CameraModel, width: int, height: int
) -> list[list[npt.NDArray[np.float32]]]:
    """Per box the strips of pixels (P >= 2, 2) that are to be drawn; none for a box that is not in the image.

    Where the line passes behind the camera, or far out of the image, it is interrupted.
    """
    if not len(wires):
        return []
    pixels, valid = camera.project(camera_SE3_frame @ wires.reshape(-1, 3))
    valid &= (np.abs(pixels) < 10 * max(width, height)).all(axis=1)
    seen = np.any((valid & inside(pixels, width, height)).reshape(len(wires), -1), axis=1)
    pixels = pixels.reshape(*wires.shape[:2], 2).astype(np.float32)
    valid = valid.reshape(wires.shape[:2])
    return [_runs(pixels[i], valid[i]) if drawn else [] for i, drawn in enumerate(seen.tolist())]


def _runs(line: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.float32]]:
    """The parts of a line whose points are valid."""
    breaks = np.flatnonzero(np.diff(valid)) + 1
    parts = zip(np.split(line, breaks), np.split(valid, breaks), strict=True)
    return [part for part, ok in parts if ok[0] and len(part) >= 2]


class Bar(NamedTuple):
    """One share of a stacked bar; segment: (2, D) float32, from where to where."""

    object: int
    sensor: int
    segment: npt.NDArray[np.float32]


def weight_bars(
    base: FloatArray, direction: FloatArray, length: FloatArray, weight: npt.NDArray[np.float32]
) -> list[Bar]:
    """Stacked bars, a part for each share above 1 %.

    Args:
        base: (M, D) where each bar begins. direction: (D,) or (M, D) unit. length: (M,). weight: (M, S), rows sum to 1.
    """
    ends = np.concatenate([np.zeros((len(weight), 1)), np.cumsum(weight, axis=1)], axis=1) * length[:, None]
    direction = np.broadcast_to(direction, base.shape)
    bars = []
    for i, k in np.argwhere(weight > 0.01):
        segment = base[i] + ends[i, k : k + 2, None] * direction[i]
        bars.append(Bar(int(i), int(k), segment.astype(np.float32)))
    return bars


def height_colors(z: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """(N, 3) RGB by height above ground, metres: dark blue road, green to yellow what stands on it, white above 3 m."""
    stops = np.array([-0.5, 0.15, 0.6, 1.5, 3.0, 8.0])
    table = np.array(
        [[38, 45, 84], [44, 60, 112], [38, 130, 142], [96, 190, 96], [233, 200, 84], [236, 236, 236]], dtype=float
    )
    return np.stack([np.interp(z, stops, table[:, k]) for k in range(3)], axis=-1).astype(np.uint8)
