"""A small street that needs no data: boxes on a flat road, seen from a car that follows a gentle curve.

Positions are closed-form in time, so every sensor may look at its own instant. It serves `make demo` and tests.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3, FloatArray
from pipeline.core.messages import CLASSES

EGO_SPEED = 9.0  # m/s
EGO_YAW_RATE = 0.02  # rad/s


class Actor(NamedTuple):
    """One road user. Lane coordinates: s along the road, d to the left of the ego's path, m; speeds in m/s."""

    kind: str
    size: tuple[float, float, float]  # length, width, height
    s: float
    d: float
    speed: float
    drift: float = 0.0  # towards the left
    colour_bgr: tuple[int, int, int] = (40, 40, 220)
    rcs_dbsm: float = 10.0


def street(rng: np.random.Generator) -> tuple[Actor, ...]:
    """Traffic ahead, oncoming and beside; parked cars; people on the pavement, one of them crossing."""
    car, truck, person, bicycle = (4.5, 1.85, 1.55), (9.5, 2.5, 3.4), (0.6, 0.6, 1.75), (1.8, 0.6, 1.7)
    actors = [
        Actor("car", car, 22.0, 0.0, 8.6, colour_bgr=(30, 30, 225)),
        Actor("truck", truck, 45.0, 3.6, 7.5, colour_bgr=(225, 120, 20), rcs_dbsm=20.0),
        Actor("car", car, 8.0, 3.6, 10.5, colour_bgr=(30, 30, 225)),
        Actor("bicycle", bicycle, 30.0, -2.9, 4.5, colour_bgr=(30, 215, 215), rcs_dbsm=0.0),
        Actor("pedestrian", person, 60.0, -7.5, 0.0, drift=1.3, colour_bgr=(30, 200, 30), rcs_dbsm=-5.0),
        Actor("pedestrian", person, 75.0, -6.5, 1.2, colour_bgr=(30, 200, 30), rcs_dbsm=-5.0),
    ]
    actors += [Actor("car", car, 70.0 + 45.0 * i, 7.4, -11.0, colour_bgr=(30, 30, 225)) for i in range(4)]
    parked = np.cumsum(rng.uniform(7.0, 16.0, 12)) + 5.0
    actors += [Actor("car", car, float(s), -6.0, 0.0, colour_bgr=(30, 30, 225)) for s in parked]
    return tuple(actors)


class World:
    """Where everything is at any time. Times in seconds since the start of the drive; odom frame; metres."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.actors = street(rng)
        self.sizes: FloatArray = np.array([a.size for a in self.actors])
        self.class_ids = np.array([CLASSES.index(a.kind) for a in self.actors], np.int32)

    def ego(self, t: npt.ArrayLike) -> SE3:
        """``odom_SE3_ego`` at times ``t`` (...)."""
        s = EGO_SPEED * np.asarray(t, dtype=np.float64)
        return self._on_road(s, np.zeros_like(s))

    def ego_velocity(self) -> tuple[float, float]:
        """Forward speed m/s and yaw rate rad/s: constant."""
        return EGO_SPEED, EGO_YAW_RATE

    def actor(self, index: int, t: npt.ArrayLike) -> SE3:
        """``odom_SE3_box`` of one actor at times ``t`` (...), box origin at its centre."""
        actor, time = self.actors[index], np.asarray(t, dtype=np.float64)
        pose = self._on_road(actor.s + actor.speed * time, actor.d + actor.drift * time, 0.5 * actor.size[2])
        turned = np.pi if actor.speed < 0 else 0.0
        return pose @ SE3.from_yaw(turned + (np.pi / 2 if actor.drift else 0.0))

    def velocities(self, t: float, dt: float = 0.01) -> FloatArray:
        """(K, 2) float64 velocity of every actor over ground, odom axes."""
        ends = [
            (self.actor(i, t + dt).translation - self.actor(i, t - dt).translation) for i in range(len(self.actors))
        ]
        return np.array(ends)[:, :2] / (2 * dt)

    @staticmethod
    def _on_road(s: FloatArray, d: FloatArray, z: float = 0.0) -> SE3:
        """Pose on a circular arc of constant curvature, at arc length s and offset d to the left."""
        curvature = EGO_YAW_RATE / EGO_SPEED
        heading = curvature * s
        x = np.sin(heading) / curvature - d * np.sin(heading)
        y = (1.0 - np.cos(heading)) / curvature + d * np.cos(heading)
        zero, one = np.zeros_like(heading), np.ones_like(heading)
        c, n = np.cos(heading), np.sin(heading)
        rotation = np.stack([c, -n, zero, n, c, zero, zero, zero, one], axis=-1).reshape((*heading.shape, 3, 3))
        return SE3(rotation, np.stack([x, y, np.full_like(x, z)], axis=-1))
