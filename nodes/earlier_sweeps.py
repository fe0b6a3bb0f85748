"""The sweeps before the present one, kept to see by them what has moved."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from fusion.detect.pillars import Earlier
from pipeline.core.messages import Stamp

_KEPT = 8
_JUMP_M, _JUMP_SHARE = 0.5, 0.3  # by how much two poses may disagree with the speed between them


class _Sweep(NamedTuple):
    """pose: ``odom_SE3_ego`` at time_ns, when the points stand as they do."""

    xyz: npt.NDArray[np.float32]
    time_ns: int
    epoch: int
    pose: SE3


class EarlierSweeps:
    """Args: wanted_s: how old the sweep should be; it may be half as old again or half as old. 0 = none is kept."""

    def __init__(self, wanted_s: float) -> None:
        self._wanted_ns = round(wanted_s * 1e9)
        self._kept: deque[_Sweep] = deque(maxlen=_KEPT)

    def before(self, xyz: npt.NDArray[np.float32], stamp: Stamp, poses: Trajectory | None) -> Earlier | None:
        """The sweep before this one, (N, 3) metres in the ego frame at ``stamp``, which is kept for later ones.

        None without poses, and where the poses jump, as those of an odometry that was started again do.
        """
        if not self._wanted_ns or poses is None:
            self._kept.clear()
            return None
        now = _Sweep(xyz, stamp.time_ns, stamp.epoch, poses.at(stamp.time_ns))
        ages = {now.time_ns - sweep.time_ns: sweep for sweep in self._kept if sweep.epoch == now.epoch}
        fit = [age for age in ages if 0.5 * self._wanted_ns <= age <= 1.5 * self._wanted_ns]
        self._kept.append(now)
        if not fit:
            return None
        age = min(fit, key=lambda age: (abs(age - self._wanted_ns), age))
        then_SE3_now = ages[age].pose.inverse() @ now.pose
        expected = self._travelled(poses, stamp, age)
        if abs(float(np.linalg.norm(then_SE3_now.translation)) - expected) > _JUMP_M + _JUMP_SHARE * expected:
            return None
        return Earlier(np.asarray(then_SE3_now.inverse() @ ages[age].xyz, np.float32), age * 1e-9)

    @staticmethod
    def _travelled(poses: Trajectory, stamp: Stamp, age_ns: int) -> float:
        """Metres that the vehicle goes in that time at the speed it has now."""
        velocity, _ = poses.velocity(stamp.time_ns)
        return float(np.linalg.norm(velocity)) * age_ns * 1e-9
