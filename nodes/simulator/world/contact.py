"""When boxes on the ground touch: separating axes, swept along constant velocities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.se3 import FloatArray
from nodes.simulator.world.world import World


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


def time_to_collision(world: World, t: float) -> FloatArray:
    """(K,) s until each actor's box touches the ego's if both keep their velocities; 0 in contact, inf never."""
    k = len(world.actors)
    if not k:
        return np.zeros(0)
    ego, boxes = world.ego_box(t), world.boxes(t)
    pairs = np.empty((k, 2, 7))
    pairs[:, 0] = [*ego.translation[:2], ego.yaw, *world.ego.velocity(t)[:2], *np.array(world.ego_size[:2]) / 2]
    pairs[:, 1, :2] = boxes.translation[:, :2]
    pairs[:, 1, 2] = boxes.yaw
    pairs[:, 1, 3:5] = world.motions.velocity(t)[:, :2]
    pairs[:, 1, 5:] = 0.5 * world.sizes[:, :2]
    return first_contact(pairs[..., :2], pairs[..., 2], pairs[..., 5:], pairs[..., 3:5])
