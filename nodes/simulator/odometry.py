"""`Odometry`: where the vehicle believes it is, as good and as bad as wheel speeds and a gyroscope make it.

`pose/ego` of a simulated drive is dead reckoning, as in a car: smooth, and slowly wrong. The odom frame is what these
poses say it is, so truth is given in it too: an object stands where it is seen from the vehicle, wherever the vehicle
believes to be.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from nodes.simulator.world.motion import Motion
from pipeline.core.messages import EgoPose
from pipeline.core.settings import Settings

_STEP_S = 0.02


class OdometrySettings(Settings, frozen=True):
    """1-sigma: scale of the wheel speed (a share), bias of the yaw rate, rad/s, and its random walk, rad/sqrt(s)."""

    speed_scale: float = 0.005
    yaw_bias: float = 2e-4
    yaw_walk: float = 3e-4


class Odometry:
    """``odom_SE3_ego`` as believed, over the whole drive; odom and world coincide at its start.

    Args:
        ego: true motion of the ego frame. duration: s. rng: draws the errors once; same generator, same odometry.
    """

    def __init__(self, ego: Motion, duration: float, settings: OdometrySettings, rng: np.random.Generator) -> None:
        t = np.arange(0.0, duration + 2 * _STEP_S, _STEP_S)
        scale = 1.0 + settings.speed_scale * rng.normal()
        walk = np.cumsum(rng.normal(0.0, settings.yaw_walk * np.sqrt(_STEP_S), len(t)))
        heading_error = settings.yaw_bias * rng.normal() * t + walk - walk[0]
        steps = np.diff(ego.position(t), axis=0)
        between = 0.5 * (heading_error[1:] + heading_error[:-1])
        turned = _turned(steps, between) * [scale, scale, 1.0]
        position = np.concatenate([[ego.position(0.0)], ego.position(0.0) + np.cumsum(turned, axis=0)])
        self._true = ego
        self._shift = Motion(t, position - ego.position(t), heading_error)

    def pose(self, t: npt.ArrayLike) -> SE3:
        """``odom_SE3_ego`` as believed, at times ``t`` (...), s."""
        true, error = self._true.pose(t), self._shift.pose(t)
        return SE3(error.rotation @ true.rotation, error.translation + true.translation)

    def odom_SE3_world(self, t: float) -> SE3:
        """From where things are to where the vehicle believes that they are."""
        return self.pose(t) @ self._true.pose(t).inverse()

    def message(self, t: float) -> EgoPose:
        """What `pose/ego` says: the pose, and the velocities that a vehicle measures well."""
        pose, true = self.pose(t), self._true.pose(t)
        linear = true.inverse().rotate(self._true.velocity(t))
        return EgoPose(
            position=tuple(pose.translation.tolist()),
            rotation_wxyz=tuple(pose.quaternion.tolist()),
            linear_velocity=tuple(linear.tolist()),
            angular_velocity=(0.0, 0.0, float(self._true.yaw_rate(t))),
        )


def _turned(steps: npt.NDArray[np.float64], angle: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * steps[:, 0] - s * steps[:, 1], s * steps[:, 0] + c * steps[:, 1], steps[:, 2]], axis=1)
