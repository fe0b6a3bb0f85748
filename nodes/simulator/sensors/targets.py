"""`Targets`: what a radar could see, before it is decided what it does see."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.se3 import FloatArray

FALSE_ALARM = -2
"""Owner of a return that nothing gave."""


class Targets(NamedTuple):
    """N point targets.

    position: (N, 3) m, odom. sight: (N, 3) unit vectors from the radar, odom axes; local: the same in radar axes.
    distance: (N,) m. rate: (N,) m/s, positive = receding. power_db: (N,) RCS in dBsm, later SNR in dB.
    owner: (N,) int32 index of an actor, or `STATIC`.
    """

    position: FloatArray
    sight: FloatArray
    local: FloatArray
    distance: FloatArray
    rate: FloatArray
    power_db: FloatArray
    owner: npt.NDArray[np.int32]

    @property
    def azimuth(self) -> FloatArray:
        """(N,) rad, positive = left."""
        return np.asarray(np.arctan2(self.local[:, 1], self.local[:, 0]))

    @property
    def elevation(self) -> FloatArray:
        """(N,) rad, positive = up."""
        return np.asarray(np.arcsin(np.clip(self.local[:, 2], -1.0, 1.0)))

    def pick(self, which: npt.NDArray[np.int64]) -> Targets:
        return Targets._make(column[which] for column in self)

    @staticmethod
    def joined(parts: list[Targets]) -> Targets:
        if not parts:
            none = np.zeros((0, 3))
            return Targets(none, none, none, np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, np.int32))
        return Targets._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
