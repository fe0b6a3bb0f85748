"""When boxes on the ground touch: separating axes, swept along constant velocities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.se3 import FloatArray


def first_contact(
    centre: npt.ArrayLike, yaw: npt.ArrayLike, half: npt.ArrayLike, velocity: npt.ArrayLike | None = None
) -> FloatArray:
    """Seconds until pairs of rectangles touch if both go on as they do; 0 where they overlap, inf where they never do.

    Args: of the two of each pair, all (..., 2, ...): centre (..., 2, 2) m, yaw (..., 2) rad, half (..., 2, 2) half
        length and half width, m, velocity (..., 2, 2) m/s or None where nothing moves.

    Two convex shapes overlap while their shadows overlap on the normals of all their sides; with constant velocity each
    shadow overlaps in one interval of time, so contact is the latest entry, if that comes before the first exit.
    """
    angle, size = np.asarray(yaw, dtype=np.float64), np.asarray(half, dtype=np.float64)
    forward = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    axes = np.stack([forward, np.stack([-forward[..., 1], forward[..., 0]], axis=-1)], axis=-2)  # (..., 2, 2 axes, xy)
    normals = axes.reshape(*axes.shape[:-3], 4, 2)
    reach = np.einsum("...ka,...kax,...nx->...nka", size, axes, normals)
    reach = np.abs(reach).sum(axis=(-1, -2))  # (..., 4)
    apart = np.einsum("...nx,...x->...n", normals, _second_less_first(centre))
    closing = np.zeros_like(apart) if velocity is None else np.einsum(
        "...nx,...x->...n", normals, _second_less_first(velocity)
    )  # fmt: skip
    moving = np.abs(closing) > 1e-9
    rate = np.where(moving, closing, 1.0)
    ends = np.stack([(-reach - apart) / rate, (reach - apart) / rate])
    inside = np.abs(apart) < reach
    enter = np.where(moving, ends.min(axis=0), np.where(inside, -np.inf, np.inf)).max(axis=-1)
    leave = np.where(moving, ends.max(axis=0), np.where(inside, np.inf, -np.inf)).min(axis=-1)
    return np.where((enter < leave) & (leave > 0.0), np.maximum(enter, 0.0), np.inf)


def _second_less_first(of_two: npt.ArrayLike) -> FloatArray:
    values = np.asarray(of_two, dtype=np.float64)
    return np.asarray(values[..., 1, :] - values[..., 0, :])
