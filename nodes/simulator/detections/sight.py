"""How an object lies before a sensor: distance, how wide and high it looks, and how much of it nearer ones hide.

The fit and the simulator use these same functions, so that a covariate means the same in both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[Any]  # float32 or float64


class Sight(NamedTuple):
    """Upright boxes seen from one place, arrays (...). distance: horizontal, to the centre, m. azimuth: rad, in the
    frame of the boxes. turn: heading less azimuth, rad. half: half the angle that it is wide, rad. bottom, top: height
    of its ends above the sensor, m."""

    distance: FloatArray
    azimuth: FloatArray
    turn: FloatArray
    half: FloatArray
    bottom: FloatArray
    top: FloatArray


def sight(centre: FloatArray, yaw: FloatArray, size: FloatArray, origin: FloatArray) -> Sight:
    """Boxes (..., 3) m and (...) rad with sizes (..., 3) m, from ``origin`` (..., 3), all in one frame."""
    away = centre - origin
    distance = np.maximum(np.hypot(away[..., 0], away[..., 1]), 0.5)
    azimuth = np.arctan2(away[..., 1], away[..., 0])
    turn = yaw - azimuth
    width = size[..., 0] * np.abs(np.sin(turn)) + size[..., 1] * np.abs(np.cos(turn))
    half = np.arctan2(0.5 * width, distance)
    middle, tall = away[..., 2], 0.5 * size[..., 2]
    return Sight(distance, azimuth, turn, half, middle - tall, middle + tall)


_RAYS = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])  # across an object, in halves of its width


def hidden(seen: Sight) -> FloatArray:
    """(F, K) share of each box's face that nearer ones of the same frame hide, 0..1, for F frames of K boxes.

    A nearer box hides the strip of azimuth that it covers, up to the line of sight over its top. Looked at along five
    rays; on each the nearer box that hides most counts.
    """
    frames, count = seen.distance.shape
    out: FloatArray = np.zeros((frames, count))
    azimuth, half, distance = (a.astype(np.float32) for a in (seen.azimuth, seen.half, seen.distance))
    apart = azimuth[:, None, :] - azimuth[:, :, None]
    apart -= np.float32(2 * np.pi) * np.rint(apart * np.float32(0.5 / np.pi))
    covers = np.abs(apart) < half[:, :, None] + half[:, None, :]
    covers &= distance[:, None, :] + np.float32(0.5) < distance[:, :, None]
    frame, far, near = np.nonzero(covers)  # in order of frame and far: the pairs of one object stand together
    if not len(frame):
        return out
    ray = _RAYS * half[frame, far, None]
    strip = np.abs(ray - apart[frame, far, near, None]) < half[frame, near, None]
    over = (seen.top / seen.distance)[frame, near] * seen.distance[frame, far]  # height of the line over its top, there
    bottom, top = seen.bottom[frame, far], seen.top[frame, far]
    up = np.clip((over - bottom) / (top - bottom), 0.0, 1.0)
    row = frame * count + far
    first = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
    out.reshape(-1)[row[first]] = np.maximum.reduceat(strip * up[:, None], first, axis=0).mean(axis=1)
    return out


def solid_angle(seen: Sight, size: FloatArray) -> FloatArray:
    """(...) sr that a box covers, from its side: what LiDAR returns are in proportion to. At most half a sphere, which
    is what there is to see of a box that touches the sensor."""
    return np.asarray(np.minimum(2 * seen.half * size[..., 2] / seen.distance, 2 * np.pi))


def gap_to_neighbour(centre: FloatArray, size: FloatArray) -> npt.NDArray[np.float32]:
    """(..., K) m between each box (..., K, 3) and the nearest other of its frame, both taken as circles of half their
    mean horizontal extent; inf alone. size: (K, 3) or as centre."""
    x, y = centre[..., 0].astype(np.float32), centre[..., 1].astype(np.float32)
    radius = (0.25 * (size[..., 0] + size[..., 1])).astype(np.float32)
    dx, dy = x[..., :, None] - x[..., None, :], y[..., :, None] - y[..., None, :]
    between = np.sqrt(dx * dx + dy * dy)
    between -= radius[..., :, None] + radius[..., None, :]
    np.einsum("...ii->...i", between)[...] = np.inf
    return np.asarray(between.min(axis=-1, initial=np.inf))
