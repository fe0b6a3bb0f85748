"""How much of each object a sensor can see: rays to points on its surface."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

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


def visible_share(caster: Caster, t: float, odom_SE3_sensor: SE3, in_view: InView) -> FloatArray:
    """(K,) for each actor of the world the share, 0..1, of its surface that faces the sensor at ``t``, lies in view and
    is not hidden by anything else. What an object hides of itself counts as seen."""
    actors = caster.world.actors
    if not actors:
        return np.zeros(0)
    points, normals = [], []
    for actor in actors:
        at, normal = _surface(actor.shape)
        odom_SE3_body = actor.motion.pose(t)
        points.append(odom_SE3_body @ at)
        normals.append(odom_SE3_body.rotate(normal))
    point, normal = np.concatenate(points), np.concatenate(normals)
    owner = np.repeat(np.arange(len(actors)), SAMPLES)
    sight = point - odom_SE3_sensor.translation
    distance = np.linalg.norm(sight, axis=1)
    facing = np.einsum("ij,ij->i", normal, sight) < 0
    good = facing & in_view(odom_SE3_sensor.inverse() @ point)
    which = np.flatnonzero(good)
    direction = sight[which] / np.maximum(distance[which], 1e-6)[:, None]
    hits = caster.cast(np.broadcast_to(odom_SE3_sensor.translation, direction.shape), direction, t)
    good[which] = (hits.actor == owner[which]) | (hits.distance > distance[which] - _TOLERANCE)
    shown = np.bincount(owner[facing], minlength=len(actors))
    return np.asarray(np.bincount(owner[good], minlength=len(actors)) / np.maximum(shown, 1))


@functools.cache
def _surface(name: str) -> tuple[FloatArray, FloatArray]:
    """`SAMPLES` points of a shape's surface with their normals, frame of its body."""
    points, normals, _ = sampled(shape(name).phases[0], SAMPLES, np.random.default_rng(SAMPLES))
    return points, normals
