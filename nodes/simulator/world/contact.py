"""When the boxes of a world touch its ego's."""

from __future__ import annotations

import numpy as np

from calibration.se3 import FloatArray
from fusion.contact import first_contact
from nodes.simulator.world.world import World


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
