"""How much of each object a sensor can see: rays to points on its surface."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
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
Eye: TypeAlias = tuple[SE3, InView]
"""A sensor: ``odom_SE3_sensor``, and where it looks."""


class Visibility:
    """What sensors can see of the actors of a world."""

    def __init__(self, caster: Caster) -> None:
        self._caster = caster
        surfaces = [_surface(actor.shape) for actor in caster.world.actors]
        self._points = np.array([points for points, _ in surfaces]).reshape(-1, SAMPLES, 3)
        self._normals = np.array([normals for _, normals in surfaces]).reshape(-1, SAMPLES, 3)

    def shares(self, t: float, eyes: Sequence[Eye], which: npt.NDArray[np.integer[Any]]) -> FloatArray:
        """(E, K) for each sensor and each of actors ``which`` the share, 0..1, of its surface that faces the sensor at
        ``t``, lies in view and is not hidden by anything else. What an object hides of itself counts as seen.

        The sensors should sit on one vehicle: their rays are cast together.
        """
        poses = self._caster.world.motions.pose(t)[which]
        turn = np.swapaxes(poses.rotation, -1, -2)
        points = (np.matmul(self._points[which], turn) + poses.translation[:, None]).reshape(-1, 3)
        normals = np.matmul(self._normals[which], turn).reshape(-1, 3)
        owner = np.repeat(which, SAMPLES)
        good = np.zeros((len(eyes), len(points)), bool)
        shown = np.zeros((len(eyes), len(which)))
        sights = []
        for e, (odom_SE3_sensor, in_view) in enumerate(eyes):
            sight = points - odom_SE3_sensor.translation
            facing = np.flatnonzero(np.einsum("ij,ij->i", normals, sight) < 0)
            shown[e] = np.bincount(facing // SAMPLES, minlength=len(which))
            tried = facing[in_view(sight[facing] @ odom_SE3_sensor.rotation)]
            good[e, tried] = True
            sights.append(sight[tried])
        good[good] = self._reached(t, [pose.translation for pose, _ in eyes], sights, owner[np.nonzero(good)[1]])
        return np.asarray(good.reshape(len(eyes), -1, SAMPLES).sum(axis=-1) / np.maximum(shown, 1))

    def _reached(
        self, t: float, places: list[FloatArray], sights: list[FloatArray], owner: npt.NDArray[np.integer[Any]]
    ) -> npt.NDArray[np.bool_]:
        """Whether nothing but its owner is before a point. sights: to the points, of one sensor after the other."""
        if not len(owner):
            return np.zeros(0, bool)
        sight = np.concatenate(sights)
        origin = np.repeat(places, [len(s) for s in sights], axis=0)
        distance = np.maximum(np.linalg.norm(sight, axis=1), 1e-6)
        hits = self._caster.cast(origin, sight / distance[:, None], t)
        return np.asarray((hits.actor == owner) | (hits.distance > distance - _TOLERANCE))


@functools.cache
def _surface(name: str) -> tuple[FloatArray, FloatArray]:
    """`SAMPLES` points of a shape's surface with their normals, frame of its body."""
    points, normals, _ = sampled(shape(name).phases[0], SAMPLES, np.random.default_rng(SAMPLES))
    return points, normals
