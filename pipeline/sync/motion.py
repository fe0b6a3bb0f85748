"""Motion compensation: everything measured while the vehicle moves, brought to one instant.

The pose at each point's, row's or detection's own time is interpolated, never taken from the nearest sample. Poses come
from a `PoseBuffer`; what moves by itself (other cars) is not moved here: its own time stays recoverable.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor
from calibration.se3 import SE3, FloatArray
from calibration.trajectory import Trajectory
from pipeline.core.messages import Detections, EgoPose, PointCloud, RadarScan, Stamp

Refusal: TypeAlias = Literal["", "duplicate", "late", "old_epoch", "invalid"]

_MAX_POSES = 8192
_ROW_TOLERANCE = 0.01
_TURN, _HALF_TURN = np.float32(2 * math.pi), np.float32(math.pi)
_MAX_ROW_STEPS = 8


class PoseBuffer:
    """The vehicle's recent poses, ``odom_SE3_ego``, in order of time, whatever the order they came in.

    Args:
        window_ns: how far back of the newest pose they are kept.
        max_gap_ns: the longest time between two poses that is still interpolated over.
        max_extrapolation_ns: how far beyond the first and the newest pose a question may lie.
    """

    def __init__(
        self, window_ns: int = 5_000_000_000, max_gap_ns: int = 300_000_000, max_extrapolation_ns: int = 0
    ) -> None:
        self._window_ns = window_ns
        self._max_gap_ns = max_gap_ns
        self._max_extrapolation_ns = max_extrapolation_ns
        self._epoch = -1
        self._times: list[int] = []
        self._poses: list[tuple[float, ...]] = []

    def __len__(self) -> int:
        return len(self._times)

    @property
    def newest_ns(self) -> int | None:
        return self._times[-1] if self._times else None

    def add(self, stamp: Stamp, pose: EgoPose) -> Refusal:
        """Take a pose in; empty when it was taken, else the reason why not.

        ``duplicate``: that time is there already; the first one stays. ``late``: older than the window. A pose that is
        out of order but inside the window is put in its place. A higher ``stamp.epoch`` forgets all poses of the
        former one, for times of two epochs cannot be compared; a lower one is refused as ``old_epoch``.
        ``invalid``: a number is not finite, or the quaternion has not length 1.
        """
        values = (*pose.rotation_wxyz, *pose.position)
        if not (all(map(math.isfinite, values)) and abs(math.hypot(*pose.rotation_wxyz) - 1.0) < 0.01):
            return "invalid"
        if stamp.epoch < self._epoch:
            return "old_epoch"
        if stamp.epoch > self._epoch:
            self._epoch = stamp.epoch
            self._times.clear()
            self._poses.clear()
        if self._times and stamp.time_ns < self._times[-1] - self._window_ns:
            return "late"
        place = bisect_left(self._times, stamp.time_ns)
        if place < len(self._times) and self._times[place] == stamp.time_ns:
            return "duplicate"
        self._times.insert(place, stamp.time_ns)
        self._poses.insert(place, values)
        expired = bisect_left(self._times, self._times[-1] - self._window_ns)
        expired = max(expired, len(self._times) - _MAX_POSES)
        del self._times[:expired], self._poses[:expired]
        return ""

    def covers(self, start_ns: int, end_ns: int) -> bool:
        """Whether the pose is known from start to end: samples on both sides and no gap longer than ``max_gap_ns``."""
        return self._why_not(start_ns, end_ns) == ""

    def trajectory(self, start_ns: int, end_ns: int) -> Trajectory:
        """``odom_SE3_ego`` over start..end, with the samples on both sides.

        Raises:
            ValueError: where `covers` is false; the message says which part is missing.
        """
        problem = self._why_not(start_ns, end_ns)
        if problem:
            raise ValueError(f"no pose for {start_ns}..{end_ns} ns: {problem}")
        first, last = self._bracket(start_ns, end_ns)
        values = np.array(self._poses[first : last + 1])
        poses = SE3.from_quaternion(values[:, :4], values[:, 4:])
        return Trajectory(self._times[first : last + 1], poses, self._max_extrapolation_ns)

    def at(self, times_ns: npt.ArrayLike) -> SE3:
        """``odom_SE3_ego`` at each time; batch shape = shape of ``times_ns``.

        Raises:
            ValueError: as in `trajectory`.
        """
        times = np.asarray(times_ns, dtype=np.int64)
        return self.trajectory(int(times.min()), int(times.max())).at(times)

    def _bracket(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Indices of the last sample at or before start and the first at or after end, two at least where there are."""
        last = min(bisect_left(self._times, end_ns), len(self._times) - 1)
        first = max(min(bisect_right(self._times, start_ns), last) - 1, 0)
        return first, max(last, min(1, len(self._times) - 1))

    def _why_not(self, start_ns: int, end_ns: int) -> str:
        if not self._times:
            return "no pose has come"
        if start_ns > end_ns:
            return "it ends before it starts"
        slack = self._max_extrapolation_ns
        if start_ns < self._times[0] - slack or end_ns > self._times[-1] + slack:
            return f"poses reach from {self._times[0]} to {self._times[-1]} ns (+- {slack})"
        first, last = self._bracket(start_ns, end_ns)
        # at a sample no span matters; beyond the first or last one, that which is carried on does
        oldest_ns, newest_ns = self._times[0], self._times[-1]
        if end_ns > newest_ns:
            start_ns = min(start_ns, newest_ns - 1)
        if start_ns < oldest_ns:
            end_ns = max(end_ns, oldest_ns + 1)
        spans = zip(self._times[first:last], self._times[first + 1 :], strict=False)
        widest = max((b - a for a, b in spans if a < end_ns and start_ns < b), default=0)
        return f"a gap of {widest} ns" if widest > self._max_gap_ns else ""


def deskew(cloud: PointCloud, stamp: Stamp, ego_SE3_lidar: SE3, poses: Trajectory | None) -> npt.NDArray[np.float32]:
    """Points as if all had been measured at the stamp.

    Each point is moved by the pose interpolated at its own time, ``stamp.time_ns + t_ns``. A cloud that says that it is
    motion compensated only changes frame, and needs no poses.

    Returns:
        (N, 3) float32, metres, ego frame at ``stamp.time_ns``, in the order of the cloud. A point with a coordinate
        that is not finite comes out with none that is.

    Raises:
        ValueError: the poses do not cover the time of every point and the stamp, or there are none.
    """
    with np.errstate(invalid="ignore"):  # infinity - infinity
        in_ego = ego_SE3_lidar @ cloud.xyz
        if cloud.motion_compensated:
            return in_ego
        if poses is None:
            raise ValueError("a cloud that is not motion compensated needs poses")
        times = stamp.time_ns + cloud.points["t_ns"].astype(np.int64)
        return poses.relative_to(stamp.time_ns).apply(times, in_ego)


def row_times(time_ns: int, readout_ns: int, rows: npt.ArrayLike, height: int) -> npt.NDArray[np.int64]:
    """Middle of the exposure of image rows (N,), which may be fractional, of a rolling shutter that starts at the top.

    ``time_ns`` is that of the middle row, (height - 1) / 2; all ``height`` rows are read out in ``readout_ns``.
    """
    from_middle = np.asarray(rows, dtype=np.float64) - 0.5 * (height - 1)
    return time_ns + np.rint(from_middle * (readout_ns / height)).astype(np.int64)


def project_rolling_shutter(
    points: npt.NDArray[Any], camera: CameraSensor, time_ns: int, poses: Trajectory
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Pixels of static points in an image whose rows were exposed one after the other.

    The row a point falls on depends on the pose at that row's time: solved by fixed-point iteration, which contracts as
    long as the image moves slower than the readout.

    Args:
        points: (N, 3) metres, in the parent frame of ``poses``: odom; or ego at t, with ``poses.relative_to(t)``.
        time_ns: time of the middle row.
        poses: of the ego frame, covering ``time_ns`` +- half the readout.

    Returns:
        pixels (N, 2) float64 and valid (N,) bool as `CameraModel.project`; not valid where it does not converge.

    Raises:
        ValueError: the poses do not cover the readout.
    """
    camera_SE3_ego = camera.ego_SE3_sensor.inverse()
    points = np.asarray(points, dtype=np.float64)
    rows = np.full(len(points), 0.5 * (camera.height - 1))
    for _ in range(_MAX_ROW_STEPS):
        times = row_times(time_ns, camera.readout_ns, rows, camera.height)
        pixels, valid = camera.intrinsics.project(camera_SE3_ego @ poses.apply_inverse(times, points))
        moved = np.where(valid, np.clip(pixels[:, 1], -0.5, camera.height - 0.5), rows)
        settled = np.abs(moved - rows) <= _ROW_TOLERANCE
        rows = moved
        if settled.all() or camera.readout_ns == 0:
            return pixels, valid
    pixels[~settled] = np.nan
    return pixels, valid & settled


def compensate_doppler(
    scan: RadarScan, linear_velocity: FloatArray, angular_velocity: FloatArray, ego_SE3_radar: SE3
) -> npt.NDArray[np.float32]:
    """Range rates over ground: what a radar at rest in the same place would have measured.

    The radar itself moves with the ego velocity and, sitting off the axle, with the turn: ``v + w x lever arm``.

    Args:
        linear_velocity: (3,) m/s of the ego origin, ego axes. angular_velocity: (3,) rad/s, ego axes.

    Returns:
        (N,) float32 m/s along the line of sight, positive = receding; NaN where range or rate is not known. With
        ``scan.ambiguity_mps`` > 0 it is known modulo that width, as the measured rate is, and the value given is
        the one nearest to 0.
    """
    velocity_ego = linear_velocity + np.cross(angular_velocity, ego_SE3_radar.translation)
    radar_velocity = ego_SE3_radar.inverse().rotate(velocity_ego)
    xyz = scan.xyz.astype(np.float64)
    distance = np.linalg.norm(xyz, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = scan.points["range_rate"] + xyz @ radar_velocity / distance
    if scan.ambiguity_mps > 0:
        rate -= scan.ambiguity_mps * np.round(rate / scan.ambiguity_mps)
    return np.asarray(rate, dtype=np.float32)


def compensate_detections(d: Detections, ego_SE3_ego_then: SE3, shift_ns: int = 0) -> Detections:
    """Detections in the ego frame of their stamp, expressed in the ego frame of another instant.

    Only the vehicle's own motion is taken out: what moves by itself stays where it was when it was measured, and
    ``time_offset_ns`` says when that was.

    Args:
        ego_SE3_ego_then: from the ego frame at their stamp to that at the reference instant.
        shift_ns: their stamp minus the reference instant; added to ``time_offset_ns``.

    Raises:
        ValueError: ``shift_ns`` is beyond 1 s, more than a frame set spans.
    """
    if abs(shift_ns) > 1_000_000_000:
        raise ValueError(f"shift_ns: expected at most 1 s, got {shift_ns}")
    # One product per field and no loop: a frame set of twelve sensors has some 200 us for all of this.
    turn = ego_SE3_ego_then.rotation.astype(np.float32)
    flat = turn[:2, :2]  # of horizontal vectors; the vehicle tilts by far less than a detection is uncertain
    origin = ego_SE3_ego_then.rotation @ d.origin + ego_SE3_ego_then.translation
    yaw = d.yaw + np.float32(math.atan2(turn[1, 0], turn[0, 0]) + math.pi)
    return d.updated(
        origin=tuple(origin.tolist()),
        position=d.position @ turn.T + ego_SE3_ego_then.translation.astype(np.float32),
        position_cov=(d.position_cov.reshape(-1, 9) @ _kron(turn).T).reshape(-1, 3, 3),
        yaw=np.remainder(yaw, _TURN) - _HALF_TURN,
        velocity=d.velocity @ flat.T,
        velocity_cov=(d.velocity_cov.reshape(-1, 4) @ _kron(flat).T).reshape(-1, 2, 2),
        time_offset_ns=d.time_offset_ns + np.int32(shift_ns),
    )


def _kron(a: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """``vec(a C a^T) = kron(a, a) vec(C)`` for row-major vec."""
    size = len(a)
    return (a[:, None, :, None] * a[None, :, None, :]).reshape(size * size, size * size)
