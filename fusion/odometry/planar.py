"""Dead reckoning in the plane: velocities from radar Doppler, steps from matched LiDAR sweeps, one Kalman filter.

The state is where the vehicle stands relative to an anchor (x, y, yaw in the frame it had then) and its velocity
(forward, left, turning; its own axes). A Doppler velocity measures the second half; a match of two sweeps measures the
first, the anchor being the earlier sweep, and through the correlation of both halves the second too (stochastic
cloning: Roumeliotis and Burdick, ICRA 2002). A vehicle on wheels does not slide sideways at its rear axle, so one radar
ahead of it tells how fast it turns (Kellner et al., ITSC 2013).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from calibration.se3 import SE3, FloatArray
from fusion.detect.doppler import OwnVelocity
from pipeline.core.settings import Settings

_STATE = 6
_MOVED, _VELOCITY = slice(0, 3), slice(3, 6)


class PlanarSettings(Settings, frozen=True):
    """acceleration, turn_acceleration: how fast velocities change, 1-sigma after one second: m/s, rad/s.

    first_speed, first_turn: 1-sigma of the velocities before anything is known, m/s, rad/s.
    slip, slip_share: 1-sigma of the sideways speed of the rear axle, m/s, and as a share of the speed.
    mount_error: 1-sigma of a radar's yaw in the rig, rad; doppler_floor: of its velocity whatever it says, m/s.
    gate_sigmas: a measurement further off is not believed.
    """

    acceleration: float = 1.0
    turn_acceleration: float = 0.3
    first_speed: float = 15.0
    first_turn: float = 0.5
    slip: float = 0.02
    slip_share: float = 0.01
    mount_error: float = 0.005
    doppler_floor: float = 0.03
    gate_sigmas: float = 4.0


class Step(NamedTuple):
    """Motion from an earlier instant to a later one. moved: (3,) x, y, yaw in the earlier frame. cov: (3, 3)."""

    moved: FloatArray
    cov: FloatArray


class PlanarOdometry:
    """Call `advance` before every measurement. time_ns: of the state. rejected: measurements that were not believed."""

    def __init__(self, settings: PlanarSettings, time_ns: int) -> None:
        self.time_ns = time_ns
        self.rejected = 0
        self._settings = settings
        self._anchor = SE3.identity()
        self._x = np.zeros(_STATE)
        self._P = np.diag([0.0, 0.0, 0.0, *[settings.first_speed**2] * 2, settings.first_turn**2])
        self._roll_straight()

    @property
    def pose(self) -> SE3:
        """``odom_SE3_ego``; odom is ego where this began."""
        return self._anchor @ _se3(self._x[_MOVED])

    @property
    def velocity(self) -> FloatArray:
        """(3,) forward, left, turning: m/s, rad/s, ego axes."""
        return self._x[_VELOCITY].copy()

    @property
    def velocity_cov(self) -> FloatArray:
        """(3, 3)"""
        return self._P[_VELOCITY, _VELOCITY].copy()

    @property
    def moved(self) -> Step:
        """From the anchor until now, as predicted."""
        return Step(self._x[_MOVED].copy(), self._P[_MOVED, _MOVED].copy())

    def back(self, seconds: float) -> SE3:
        """``now_SE3_then`` of so long ago (at least 0), at the present velocity."""
        return _se3(-self._x[_VELOCITY] * seconds)

    def advance(self, time_ns: int) -> None:
        """Predict to ``time_ns``; what is in the past changes nothing."""
        dt = (time_ns - self.time_ns) * 1e-9
        if dt <= 0.0:
            return
        self.time_ns = time_ns
        forward, left, turn = self._x[_VELOCITY]
        middle = self._x[2] + 0.5 * turn * dt
        cos, sin = np.cos(middle), np.sin(middle)
        shift = np.array([cos * forward - sin * left, sin * forward + cos * left])
        F = np.eye(_STATE)
        F[0, 2], F[1, 2] = -shift[1] * dt, shift[0] * dt
        F[:2, 3:5] = dt * np.array([[cos, -sin], [sin, cos]])
        F[:2, 5] = 0.5 * dt * F[:2, 2]
        F[2, 5] = dt
        self._x[:2] += shift * dt
        self._x[2] += turn * dt
        settings = self._settings
        density = np.array([settings.acceleration**2, settings.acceleration**2, settings.turn_acceleration**2])
        G = np.vstack([0.5 * dt * F[_MOVED, _VELOCITY], np.eye(3)])  # a change comes midway, so to speak
        self._P = F @ self._P @ F.T + G @ np.diag(density * dt) @ G.T
        self._roll_straight()

    def doppler(self, own: OwnVelocity, ego_SE3_radar: SE3) -> bool:
        """Take in a radar's velocity over ground; False where it was not believed."""
        x, y, _ = ego_SE3_radar.translation
        flat = ego_SE3_radar.rotation[:2, :2]
        H = np.zeros((2, _STATE))
        H[:, 3:] = [[1.0, 0.0, -y], [0.0, 1.0, x]]
        measured = flat @ own.velocity
        turned = self._settings.mount_error * np.array([-measured[1], measured[0]])
        R = flat @ own.cov @ flat.T + np.outer(turned, turned) + self._settings.doppler_floor**2 * np.eye(2)
        return self._update(measured - H @ self._x, H, R)

    def step(self, seen: Step, late_s: float = 0.0) -> bool:
        """Take in the motion from the anchor until ``late_s`` before now; False where it was not believed."""
        since = self._x[_VELOCITY] * late_s
        H = np.eye(3, _STATE)
        H[:, 3:] = -late_s * np.eye(3)
        return self._update(seen.moved - (self._x[_MOVED] - since), H, seen.cov)

    def anchor(self, late_s: float = 0.0) -> None:
        """Set the anchor to where the vehicle was ``late_s`` ago."""
        since = self._x[_VELOCITY] * late_s
        self._anchor = self.pose @ _se3(since).inverse()
        keep = np.zeros((_STATE, _STATE))
        keep[_MOVED, _VELOCITY] = late_s * np.eye(3)
        keep[_VELOCITY, _VELOCITY] = np.eye(3)
        self._x[_MOVED] = since
        self._P = keep @ self._P @ keep.T

    def _roll_straight(self) -> None:
        H = np.zeros((1, _STATE))
        H[0, 4] = 1.0
        sigma = self._settings.slip + self._settings.slip_share * abs(self._x[3])
        self._update(-self._x[4:5], H, np.array([[sigma**2]]), gated=False)

    def _update(self, residual: FloatArray, H: FloatArray, R: FloatArray, gated: bool = True) -> bool:
        S = H @ self._P @ H.T + R
        if gated and residual @ np.linalg.solve(S, residual) > self._settings.gate_sigmas**2:
            self.rejected += 1
            return False
        K = np.linalg.solve(S, H @ self._P).T
        self._x += K @ residual
        keep = np.eye(_STATE) - K @ H
        P = keep @ self._P @ keep.T + K @ R @ K.T  # Joseph's form stays positive
        self._P = 0.5 * (P + P.T)
        return True


def _se3(moved: FloatArray) -> SE3:
    x, y, yaw = moved
    return SE3.from_yaw(yaw, (x, y, 0.0))
