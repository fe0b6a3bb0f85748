"""Whether a LiDAR has turned against a camera while driving, from the last seconds and never from one frame.

Each frame is scored under the mounting as it is believed and under poses that are pitched and yawed to all sides of it.
Over a window of frames the scores are added up; their peak says how far the mounting is off. A cumulative sum per axis
and direction (Page, Continuous inspection schemes, Biometrika 1954) counts how much that exceeds what is allowed, so
that a short outlier does not alarm and a lasting small error does.

Roll, about the optical axis, is not watched: half a degree of it moves pixels by no more than the scatter of the score.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import msgspec
import numpy as np

from calibration.lidar_camera_score import Frame, Lens, Parts, Scorer, ScoreSettings
from calibration.se3 import SE3, FloatArray

_SIDE = 3  # poses to each side of the middle


class DriftSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """window: frames. step_deg: from one tried pose to the next. width_deg: blur of the edges.

    allowed_deg: what is no alarm however long it lasts. alarm_deg: sum of what exceeds it, over frames, that is one.
    min_jumps: LiDAR points at jumps of depth, in the window; with fewer nothing is claimed.
    """

    window: int = 10
    step_deg: float = 0.25
    width_deg: float = 0.15
    allowed_deg: float = 0.25
    alarm_deg: float = 1.0
    min_jumps: int = 500


class DriftState(NamedTuple):
    """turn_deg: (2,) about camera x, down, and y, right, by which the LiDAR is off over the window; NaN: not known yet.

    sums_deg: (2, 2) cumulative sums, positive and negative. alarm: one of them is over the limit.
    """

    turn_deg: FloatArray
    sums_deg: FloatArray
    alarm: bool


class DriftMonitor:
    """Watches one LiDAR in one camera.

    Args:
        believed: ``cam_SE3_lidar``.
    """

    def __init__(self, lens: Lens, believed: SE3, settings: DriftSettings | None = None) -> None:
        self._settings = settings or DriftSettings()
        self._lens = lens
        self._believed = believed
        self._steps = self._settings.step_deg * np.arange(-_SIDE, _SIDE + 1)
        self._recent: deque[list[Parts]] = deque(maxlen=self._settings.window)
        self._jumps: deque[int] = deque(maxlen=self._settings.window)
        self._sums = np.zeros((2, 2))
        reach_deg = 1.5 * float(self._steps[-1])
        self._score = ScoreSettings(reach_deg=reach_deg, widths_deg=(self._settings.width_deg,), sectors=1)

    def add(self, frame: Frame) -> DriftState:
        """The next frame, and what the window shows with it."""
        scorer = Scorer([frame], self._lens, self._believed, self._score)
        turns = np.radians([[pitch, yaw, 0.0] for pitch in self._steps for yaw in self._steps])
        self._recent.append([scorer.parts(turn, 0) for turn in turns])
        self._jumps.append(scorer.counts[0])
        limit = self._settings.alarm_deg
        turn_deg = np.full(2, np.nan)
        if len(self._recent) == self._settings.window and sum(self._jumps) >= self._settings.min_jumps:
            together = [_added([parts[i] for parts in self._recent]) for i in range(len(turns))]
            scores = np.array([scorer.weight @ parts.cues() for parts in together])
            turn_deg = self._peak(scores.reshape(len(self._steps), -1))
            beyond = np.stack([turn_deg, -turn_deg]) - self._settings.allowed_deg
            self._sums = np.clip(self._sums + beyond, 0.0, 2.0 * limit)  # not more: it must be able to come back
        return DriftState(turn_deg, self._sums.copy(), bool((self._sums > limit).any()))

    def _peak(self, scores: FloatArray) -> FloatArray:
        """(2,) degrees: the best of the grid (pitch, yaw), between its steps by a parabola through its neighbours."""
        best = np.unravel_index(int(scores.argmax()), scores.shape)
        out = np.empty(2)
        for axis in range(2):
            line = np.take(scores, best[1 - axis], axis=1 - axis)
            i = int(best[axis])
            out[axis] = self._steps[i]
            if 0 < i < len(line) - 1:
                bend = line[i - 1] - 2 * line[i] + line[i + 1]
                out[axis] += self._settings.step_deg * 0.5 * (line[i - 1] - line[i + 1]) / min(bend, -1e-12)
        return out


def _added(parts: list[Parts]) -> Parts:
    jumps, steps, joint = (np.sum([p[k] for p in parts], axis=0) for k in range(3))
    return Parts(jumps, steps, joint)
