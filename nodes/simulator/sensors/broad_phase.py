"""Which rays may meet which bodies, before any triangle is looked at: by azimuth, then by bounding sphere."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Float32: TypeAlias = npt.NDArray[np.float32]
Index: TypeAlias = npt.NDArray[np.int64]

_SECTORS = 2048


def candidates(
    origin: Float32, direction: Float32, span: tuple[Float32, Float32], centre: Float32, radius: Float32
) -> tuple[Index, Index]:
    """Pairs of a body and a ray that passes through its sphere.

    Args:
        origin, direction: (3, N) of rays, m and unit vectors, in a frame whose origin is in the middle of theirs.
        span: (N,) m, from where to where along each ray bodies matter.
        centre, radius: (3, K) and (K,) of spheres, m.

    Returns:
        (P,) indices of bodies, ascending, and (P,) indices of rays.

    Seen from above, a ray from within s of the middle m can meet a disc of radius R around c only if its azimuth is
    within asin((R + s) / |c - m|) of that of c - m.
    """
    body, ray = _in_sector(origin, direction, centre, radius)
    x, y, z = (centre[axis, body] - origin[axis, ray] for axis in range(3))
    along = x * direction[0, ray] + y * direction[1, ray] + z * direction[2, ray]
    beside2 = x * x + y * y + z * z - along * along
    reach = radius[body]
    begin, end = span
    near = np.flatnonzero((beside2 < reach * reach) & (along + reach > begin[ray]) & (along - reach < end[ray]))
    return body[near], ray[near]


def _in_sector(origin: Float32, direction: Float32, centre: Float32, radius: Float32) -> tuple[Index, Index]:
    """Pairs whose azimuths agree. Rays are sorted into sectors; those of a body lie in one run of that order."""
    sector = _sector(direction[0], direction[1])
    order = np.argsort(sector, kind="stable")  # a radix sort
    begins = np.concatenate([[0], np.cumsum(np.bincount(sector, minlength=_SECTORS))])
    begins = np.concatenate([begins, begins[1:] + len(order)])  # twice around: a run may cross the end

    wide = radius + np.sqrt((origin[0] ** 2 + origin[1] ** 2).max())
    away = np.hypot(centre[0], centre[1])
    half = np.arcsin(np.minimum(wide / np.maximum(away, 1e-6), 1.0)) + 1e-3
    bearing = np.arctan2(centre[1], centre[0])
    around = half > 0.5 * np.pi  # the radius reaches the middle
    low, high = (_sector(np.cos(edge), np.sin(edge)).astype(np.int64) for edge in (bearing - half, bearing + half))
    low, high = np.where(around, 0, low), np.where(around, _SECTORS - 1, high)
    high += np.where(high < low, _SECTORS, 0)
    start, count = begins[low], begins[high + 1] - begins[low]
    body = np.repeat(np.arange(len(radius)), count)
    run = np.arange(len(body)) - np.repeat(np.cumsum(count) - count, count)
    return body, order[(start[body] + run) % len(order)]


def _sector(x: Float32, y: Float32) -> npt.NDArray[np.uint16]:
    """(N,) number of the sector of directions seen from above, counter-clockwise: equal parts of a square's rim, which
    takes no arctangent."""
    rim = y / (np.abs(x) + np.abs(y) + np.float32(1e-12))  # 0 ahead, 1 to the left, ...
    rim = np.where(x < 0, np.float32(2.0) - rim, rim)
    return ((rim + np.float32(1.0)) * np.float32(_SECTORS / 4)).astype(np.uint16) % np.uint16(_SECTORS)
