"""A pose as a function of time, interpolated between samples and never guessed far beyond them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3, interpolate


class Trajectory:
    """Poses ``parent_SE3_child`` at increasing times.

    Args:
        times_ns: (K,) int64, strictly increasing, vehicle clock.
        poses: batch of K transforms.
        max_extrapolation_ns: how far beyond the first and last sample a query may lie (constant velocity).

    Raises:
        ValueError: no sample, times not strictly increasing, or sizes differ.
    """

    def __init__(self, times_ns: npt.ArrayLike, poses: SE3, max_extrapolation_ns: int = 0) -> None:
        self.times_ns = np.asarray(times_ns, dtype=np.int64)
        self.poses = poses
        self.max_extrapolation_ns = max_extrapolation_ns
        if self.times_ns.ndim != 1 or len(self.times_ns) == 0 or poses.shape != self.times_ns.shape:
            raise ValueError(f"a trajectory needs K >= 1 times and K poses, got {self.times_ns.shape}, {poses.shape}")
        if (np.diff(self.times_ns) <= 0).any():
            raise ValueError("trajectory times must increase strictly")

    def covers(self, times_ns: npt.ArrayLike) -> bool:
        """Whether `at` answers for all of these times."""
        times = np.asarray(times_ns, dtype=np.int64)
        slack = self.max_extrapolation_ns
        return bool(times.min() >= self.times_ns[0] - slack and times.max() <= self.times_ns[-1] + slack)

    def at(self, times_ns: npt.ArrayLike) -> SE3:
        """Pose at each time; shape of the batch = shape of ``times_ns``.

        Raises:
            ValueError: a time lies further outside the samples than ``max_extrapolation_ns``.
        """
        times = np.asarray(times_ns, dtype=np.int64)
        if not self.covers(times):
            raise ValueError(
                f"time {int(times.min())}..{int(times.max())} ns outside trajectory "
                f"{int(self.times_ns[0])}..{int(self.times_ns[-1])} ns (+- {self.max_extrapolation_ns})"
            )
        if len(self.times_ns) == 1:
            return SE3(
                np.broadcast_to(self.poses.rotation[0], (*times.shape, 3, 3)).copy(),
                np.broadcast_to(self.poses.translation[0], (*times.shape, 3)).copy(),
            )
        right = np.clip(np.searchsorted(self.times_ns, times, side="right"), 1, len(self.times_ns) - 1)
        left = right - 1
        span = self.times_ns[right] - self.times_ns[left]
        return interpolate(self.poses[left], self.poses[right], (times - self.times_ns[left]) / span)
