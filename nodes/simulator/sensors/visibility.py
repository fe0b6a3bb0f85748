"""How much of each object a sensor can see: rays to points on its surface."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3, FloatArray
from nodes.simulator.sensors.raycast import Caster
from nodes.simulator.sensors.scatterers import sampled
from nodes.simulator.world.shapes import shape

SAMPLES = 60
_TOLERANCE = 0.1  # m

InView: TypeAlias = Callable[[FloatArray], npt.NDArray[np.bool_]]
"""(N, 3) points in the sensor's frame -> (N,) whether they lie in its field of view."""


def visible_share(
    caster: Caster,
    t: float,
    odom_SE3_sensor: SE3,
    in_view: InView,
    which: npt.NDArray[np.integer[Any]] | None = None,
) -> FloatArray:
    """(K,) for each actor of the world the share, 0..1, of its surface that faces the sensor at ``t``, lies in view and
    is not hidden by anything else. What an object hides of itself counts as seen.

    Args:
        which: (K,) indices of the actors that are asked for; None = all.
    """
    asked = np.arange(len(caster.world.actors)) if which is None else np.asarray(which)
    if not len(asked):
        return np.zeros(0)
    actors = [caster.world.actors[int(index)] for index in asked]
    poses = [actor.motion.pose(t) for actor in actors]
    surfaces = [_surface(actor.shape) for actor in actors]
    turn = np.array([pose.rotation for pose in poses])
    place = np.array([pose.translation for pose in poses])
    point = np.matmul(np.array([at for at, _ in surfaces]), turn.transpose(0, 2, 1)) + place[:, None]  # (K, S, 3)
    normal = np.matmul(np.array([n for _, n in surfaces]), turn.transpose(0, 2, 1))
    sight = (point - odom_SE3_sensor.translation).reshape(-1, 3)
    facing = np.einsum("ij,ij->i", normal.reshape(-1, 3), sight) < 0
    good = facing & in_view(odom_SE3_sensor.inverse() @ point.reshape(-1, 3))
    tried = np.flatnonzero(good)
    distance = np.maximum(np.linalg.norm(sight[tried], axis=1), 1e-6)
    origin = np.broadcast_to(odom_SE3_sensor.translation, (len(tried), 3))
    hits = caster.cast(origin, sight[tried] / distance[:, None], t)
    good[tried] = (hits.actor == asked[tried // SAMPLES]) | (hits.distance > distance - _TOLERANCE)
    shown = np.maximum(facing.reshape(-1, SAMPLES).sum(axis=1), 1)
    return np.asarray(good.reshape(-1, SAMPLES).sum(axis=1) / shown)


@functools.cache
def _surface(name: str) -> tuple[FloatArray, FloatArray]:
    """`SAMPLES` points of a shape's surface with their normals, frame of its body."""
    points, normals, _ = sampled(shape(name).phases[0], SAMPLES, np.random.default_rng(SAMPLES))
    return points, normals
