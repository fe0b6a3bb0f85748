"""The ego pose at each reference instant: waited for like any sensor, then interpolated or carried on."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from calibration.se3 import SE3, FloatArray
from pipeline.core.messages import EgoPose, Message, Stamp, StreamStatus
from pipeline.core.settings import Settings
from pipeline.sync.deadline import Wait, WaitSettings
from pipeline.sync.motion import PoseBuffer
from pipeline.sync.sequence import FOREVER_NS, Arrival, Sequencer, jumps_back

PoseSource: TypeAlias = Literal["interpolated", "extrapolated", "none", "identity"]


class EgoSettings(Settings, frozen=True):
    """source: ``ego`` = the poses on pose/ego; ``identity`` = a drive without poses, all instants in one frame.

    bracket_ns: beyond the usual delay, wait so long for a pose from after the instant; without one, the last motion is
    carried on for max_extrapolation_ns. max_gap_ns: the longest time between two poses that is interpolated over.
    silent_after_ns: when no pose arrived for so long, none is waited for.
    acceleration_sigma: m/s2, by how much the motion between and after poses may differ from a straight line, 1-sigma.
    turning_range_m: distance at which turning during a time error is counted as displacement.
    """

    source: Literal["ego", "identity"] = "ego"
    wait: WaitSettings = WaitSettings()
    processing: WaitSettings = WaitSettings(margin_ns=20_000_000, initial_ns=200_000_000, max_ns=1_000_000_000)
    bracket_ns: int = 20_000_000
    max_extrapolation_ns: int = 300_000_000
    max_gap_ns: int = 500_000_000
    silent_after_ns: int = 500_000_000
    acceleration_sigma: float = 1.5
    turning_range_m: float = 30.0
    reorder_depth: int = 0


class EgoAt(NamedTuple):
    """The ego motion around an instant.

    odom_SE3_ego: at the instant. ego_SE3_then: batch, from the ego frame at each asked time to that at the instant.
    speed: of a static object at the turning range, seen from the vehicle, m/s. sigma_m: (N,) 1-sigma of each
    displacement. last: epoch and sequence of the last pose that was looked at.
    """

    source: PoseSource
    odom_SE3_ego: SE3  # noqa: N815
    ego_SE3_then: SE3  # noqa: N815
    speed: float
    sigma_m: FloatArray
    last: tuple[int, int]


class Ego:
    """Poses in, answers for instants in increasing order out.

    Poses are looked at in the order of their stream and only as far as an instant needs, so that an answer depends on
    stamps alone. refused: poses that were not taken, by reason.
    """

    def __init__(self, settings: EgoSettings) -> None:
        self.refused: Counter[str] = Counter()
        self._settings = settings
        self._stream: Sequencer[Message] = Sequencer(settings.reorder_depth)
        self._buffer = PoseBuffer(max_gap_ns=settings.max_gap_ns, max_extrapolation_ns=settings.max_extrapolation_ns)
        self._wait = Wait(settings.wait)
        self._lag = Wait(settings.processing)
        self._times: deque[int] = deque(maxlen=256)
        self._newest: Stamp | None = None  # last looked at
        self._last = (-1, -1)
        self._timeline = 0
        self._needed: tuple[int, int] | None = None  # timeline and time of the open question
        self._deadline_ns = 0
        self._alive_ns: int | None = None
        self._asked_ns = 0  # the newest time that a pose was needed for
        self._drift = 0.0  # 1-sigma by which the newest poses slip at the turning range, m/s

    def push(self, message: Message, now_ns: int | None = None) -> None:
        """Hand in one message of pose/ego."""
        if now_ns is not None:
            self._lag.add(now_ns - message.stamp.arrival_ns)
        arrival = self._stream.push(message)
        if arrival is not Arrival.NEW:
            self.refused[arrival.value] += 1

    def stream_status(self, epoch: int, status: StreamStatus) -> None:
        """Hand in the pose stream's own count."""
        self._stream.status(epoch, status)

    def close(self) -> None:
        """No pose will follow."""
        self._stream.close()

    def at(
        self,
        instant_ns: int,
        times_ns: Sequence[int],
        timeline: int,
        now_ns: int | None = None,
        recorded: tuple[int, int] | None = None,
    ) -> EgoAt | None:
        """The motion for an instant and the messages used at it; None: not known yet.

        ``timeline``: see `Aligned`. ``recorded``: the last pose that an earlier run looked at for this instant.
        """
        if self._settings.source == "identity":
            still = SE3(np.tile(np.eye(3), (len(times_ns), 1, 1)), np.zeros((len(times_ns), 3)))
            return EgoAt("identity", SE3.identity(), still, 0.0, np.zeros(len(times_ns)), (-1, -1))
        need_ns = max(instant_ns, *times_ns) if times_ns else instant_ns
        known = self._look(need_ns, timeline, now_ns) if recorded is None else self._look_until(recorded)
        return self._answer(instant_ns, times_ns) if known else None

    # --- inside

    def _look(self, need_ns: int, timeline: int, now_ns: int | None) -> bool:
        """Look at poses until one is at or after the time needed, or none can be that arrived by the deadline."""
        if self._needed != (timeline, need_ns):
            self._needed = (timeline, need_ns)
            self._deadline_ns = self._deadline_for(need_ns)
        deadline_ns = self._deadline_ns
        if now_ns is not None and now_ns > deadline_ns + self._lag.ns:
            self._stream.give_up(deadline_ns)
        ready = self._stream.ready
        while True:
            if self._timeline == timeline and self._times and self._times[-1] >= need_ns:
                return True
            if not ready:
                break
            stamp = ready[0].stamp
            if self._newest is not None and jumps_back(self._newest, stamp):
                alone = need_ns - self._newest.arrival_ns > self._settings.silent_after_ns
                if self._timeline >= timeline and not alone:
                    return True
                self._timeline = timeline
                self._alive_ns = None
            elif self._timeline == timeline and stamp.arrival_ns > deadline_ns:
                return True
            self._take(ready.popleft())
        overdue = now_ns is not None and now_ns > deadline_ns + self._lag.ns
        known_ns = self._stream.known_ns
        return overdue or (known_ns >= deadline_ns and (self._timeline == timeline or known_ns == FOREVER_NS))

    def _deadline_for(self, need_ns: int) -> int:
        """Until when a pose must have arrived to count; no wait where the poses have fallen silent."""
        if self._alive_ns is None or need_ns - self._asked_ns > self._settings.silent_after_ns:
            self._alive_ns = need_ns  # where nothing was asked for so long, all has paused, not the poses alone
        self._asked_ns = need_ns
        if need_ns - self._alive_ns > self._settings.silent_after_ns:
            return need_ns
        return need_ns + self._wait.ns + self._settings.bracket_ns

    def _look_until(self, wanted: tuple[int, int]) -> bool:
        """Look at poses as far as an earlier run had."""
        ready = self._stream.ready
        while self._last < wanted and ready and (ready[0].stamp.epoch, ready[0].stamp.sequence) <= wanted:
            self._take(ready.popleft())
        return self._last >= wanted or bool(ready) or self._stream.known_ns == FOREVER_NS

    def _take(self, message: Message) -> None:
        stamp, pose = message.stamp, message.payload
        assert isinstance(pose, EgoPose)
        if self._newest is not None and stamp.epoch > self._newest.epoch:
            self._times.clear()
        self._newest, self._last = stamp, (stamp.epoch, stamp.sequence)
        refusal = self._buffer.add(stamp, pose)
        if refusal:
            self.refused[refusal] += 1
            return
        self._alive_ns = stamp.arrival_ns
        self._wait.add(stamp.arrival_ns - stamp.time_ns)
        if not self._times or stamp.time_ns > self._times[-1]:
            self._times.append(stamp.time_ns)
        linear, angular = pose.velocity_sigma
        drift = math.hypot(linear, angular * self._settings.turning_range_m)
        self._drift = drift if math.isfinite(drift) else 0.0

    def _answer(self, instant_ns: int, times_ns: Sequence[int]) -> EgoAt:
        first_ns, last_ns = min(instant_ns, *times_ns, instant_ns), max(instant_ns, *times_ns, instant_ns)
        try:
            trajectory = self._buffer.trajectory(first_ns, last_ns)
        except ValueError:
            still = SE3(np.tile(np.eye(3), (len(times_ns), 1, 1)), np.zeros((len(times_ns), 3)))
            return EgoAt("none", SE3.identity(), still, 0.0, np.full(len(times_ns), np.inf), self._last)
        poses = trajectory.at([instant_ns, *times_ns])
        linear, angular = trajectory.velocity(instant_ns)
        speed = float(np.linalg.norm(linear) + np.linalg.norm(angular) * self._settings.turning_range_m)
        here = self._sigma_m(instant_ns)
        sigma_m = np.array(
            [
                math.hypot(here, self._sigma_m(t), self._drift * (t - instant_ns) * 1e-9) if t != instant_ns else 0.0
                for t in times_ns
            ]
        )
        odom_SE3_ego = poses[0]
        source: PoseSource = "interpolated" if last_ns <= self._times[-1] else "extrapolated"
        return EgoAt(source, odom_SE3_ego, odom_SE3_ego.inverse() @ poses[1:], speed, sigma_m, self._last)

    def _sigma_m(self, time_ns: int) -> float:
        """1-sigma of the position at a time, from the remainder of linear interpolation: a |t - t0| |t - t1| / 2."""
        times = self._times
        right = min(max(bisect_right(times, time_ns), 1), len(times) - 1)
        before, after = times[right - 1], times[right]
        return 0.5 * self._settings.acceleration_sigma * abs(time_ns - before) * abs(time_ns - after) * 1e-18
