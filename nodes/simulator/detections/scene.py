"""Where everything of a world is at any time, for all frames of a clip at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from nodes.simulator.world.motion import Motion
from nodes.simulator.world.world import World

FloatArray = npt.NDArray[np.float64]

_STEP_S = 0.1
_MARGIN_S = 4.0  # a late sensor looks back so far


class States(NamedTuple):
    """K actors at T instants, odom frame. centre: (T, K, 3) of the boxes, m; yaw: (T, K); velocity: (T, K, 2)."""

    centre: FloatArray
    yaw: FloatArray
    velocity: FloatArray


class Scene:
    """A world's motions, sampled once and interpolated by cubic Hermite splines, which keep place and velocity."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.size: FloatArray = np.array([a.size for a in world.actors]).reshape(-1, 3)
        self.class_id = np.array([a.class_id for a in world.actors], np.int64)
        self.object_id = np.array([a.object_id for a in world.actors], np.int64)
        steps = int(np.ceil((world.duration + 2 * _MARGIN_S) / _STEP_S)) + 1
        self._start = -_MARGIN_S
        grid: FloatArray = self._start + _STEP_S * np.arange(steps, dtype=np.float64)
        self._value, self._rate = _sampled([a.motion for a in world.actors], grid)

    def ego(self, times: FloatArray) -> SE3:
        """``odom_SE3_ego`` at times (T,), s."""
        return self.world.ego.pose(times)

    def at(self, times: FloatArray) -> States:
        """All actors at times (T,), s since the scenario's start."""
        place = np.clip((times - self._start) / _STEP_S, 0.0, len(self._value) - 1.001)
        left = place.astype(np.int64)
        u = (place - left)[:, None, None]
        a, b = self._value[left], self._value[left + 1]
        da, db = self._rate[left] * _STEP_S, self._rate[left + 1] * _STEP_S
        rise = b - a
        value = a + u * (da + u * (3 * rise - 2 * da - db + u * (da + db - 2 * rise)))
        rate = (da + u * (2 * (3 * rise - 2 * da - db) + 3 * u * (da + db - 2 * rise))) / _STEP_S
        centre = value[..., :3].copy()
        centre[..., 2] += 0.5 * self.size[:, 2]
        return States(centre, value[..., 3], rate[..., :2])


def _sampled(motions: list[Motion], grid: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(M, K, 4) x, y, z, yaw, and their rates."""
    value, rate = np.zeros((len(grid), len(motions), 4)), np.zeros((len(grid), len(motions), 4))
    for k, motion in enumerate(motions):
        value[:, k, :3], value[:, k, 3] = motion.position(grid), motion.yaw(grid)
        rate[:, k, :3], rate[:, k, 3] = motion.velocity(grid), motion.yaw_rate(grid)
    return value, rate
