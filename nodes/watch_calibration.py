"""Watch: does a LiDAR still sit against a camera as the rig says? Told from the last seconds of driving."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from calibration.drift import DriftMonitor, DriftSettings, DriftState
from calibration.lidar_camera_score import Frame, Lens
from calibration.rig import CameraSensor, LidarSensor
from calibration.se3 import SE3, FloatArray
from calibration.trajectory import Trajectory
from nodes.detect_camera import decode_image
from pipeline.core.messages import CalibrationState, CameraImage, EgoPose, Message, PointCloud, Stamp
from pipeline.core.settings import Settings
from pipeline.sync.motion import PoseBuffer

NEAR = 0.6  # of a sweep's time: a picture is matched with a sweep whose middle is nearer than that
_KEPT = 8


class WatchCalibrationSettings(Settings, frozen=True):
    """every_ns: between two pictures that are looked at. drift: how it judges."""

    every_ns: int = 200_000_000
    drift: DriftSettings = DriftSettings()


class WatchCalibration:
    """`camera/<camera>`, `lidar/<lidar>` and `pose/ego` in; `calibration/<camera>` out, one for each picture looked at.

    Without poses, points are taken as they stand: a car that moves then scatters them.
    """

    def __init__(
        self, settings: WatchCalibrationSettings, camera: CameraSensor, lidar: LidarSensor, has_poses: bool = True
    ) -> None:
        self._settings = settings
        self._camera = camera
        self._lidar = lidar
        self._has_poses = has_poses
        believed = camera.ego_SE3_sensor.inverse() @ lidar.ego_SE3_sensor
        lens = Lens(camera.intrinsics, camera.width, camera.height)
        self._monitor = DriftMonitor(lens, believed, settings.drift)
        self._poses = PoseBuffer()
        self._images: deque[Message] = deque(maxlen=_KEPT)
        self._sweeps: deque[Message] = deque(maxlen=_KEPT)
        self._used_ns: int | None = None
        self._sent = 0

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        payload, time_ns = message.payload, message.stamp.time_ns
        if isinstance(payload, EgoPose):
            self._poses.add(message.stamp, payload)
        elif isinstance(payload, PointCloud):
            self._sweeps.append(message)
        elif isinstance(payload, CameraImage):
            if self._used_ns is None or not 0 <= time_ns - self._used_ns < self._settings.every_ns:
                self._images.append(message)
                self._used_ns = time_ns
        else:
            raise TypeError(f"watch_calibration takes no {type(payload).__name__} on {message.topic}")
        return self._work()

    def tick(self, now_ns: int) -> Iterable[Message]:
        return []

    def finish(self) -> Iterable[Message]:
        return []

    def _work(self) -> list[Message]:
        """Look at the pictures that a sweep has passed and whose poses have come.

        What is decided does not hang on the order in which the streams come: a picture waits for the first sweep whose
        middle is later than it, and for poses beyond both.
        """
        out = []
        while self._images:
            image = self._images[0]
            apart = [s.stamp.time_ns - self._lidar.sweep_ns // 2 - image.stamp.time_ns for s in self._sweeps]
            if not any(a >= 0 for a in apart):
                break
            nearest = min(range(len(apart)), key=lambda i: abs(apart[i]))
            sweep, poses = self._sweeps[nearest], None
            if self._has_poses:
                first_ns, last_ns = _span(image, sweep)
                if self._poses.newest_ns is None or self._poses.newest_ns < last_ns:
                    break
                if self._poses.covers(first_ns, last_ns):
                    poses = self._poses.trajectory(first_ns, last_ns)
            self._images.popleft()
            if abs(apart[nearest]) < NEAR * self._lidar.sweep_ns and (poses is not None or not self._has_poses):
                out.append(self._looked(image, sweep, poses))
        return out

    def _looked(self, image: Message, sweep: Message, poses: Trajectory | None) -> Message:
        assert isinstance(image.payload, CameraImage)
        bgr = decode_image(image.payload, self._camera, image.topic)
        frame = frame_of(bgr, sweep, self._lidar.ego_SE3_sensor, poses, image.stamp.time_ns)
        state: DriftState = self._monitor.add(frame)
        stamp = Stamp(
            sensor_ns=image.stamp.time_ns,
            arrival_ns=max(image.stamp.arrival_ns, sweep.stamp.arrival_ns),
            time_ns=image.stamp.time_ns,
            sequence=self._sent,
            epoch=image.stamp.epoch,
        )
        self._sent += 1
        pitch, yaw = (float(v) for v in np.radians(state.turn_deg))
        return Message(
            f"calibration/{self._camera.name}",
            stamp,
            CalibrationState(
                against=self._lidar.name, pitch=pitch, yaw=yaw, sum=float(state.sums_deg.max()), alarm=state.alarm
            ),
        )


def _span(image: Message, sweep: Message) -> tuple[int, int]:
    """From the first to the last instant at which the pose must be known."""
    cloud, end_ns = sweep.payload, sweep.stamp.time_ns
    assert isinstance(cloud, PointCloud)
    first_ns, last_ns = end_ns, end_ns
    if not cloud.motion_compensated and len(cloud.points):
        first_ns, last_ns = end_ns + int(cloud.points["t_ns"].min()), end_ns + int(cloud.points["t_ns"].max())
    return min(first_ns, image.stamp.time_ns), max(last_ns, image.stamp.time_ns)


def frame_of(
    bgr: npt.NDArray[np.uint8], sweep: Message, ego_SE3_lidar: SE3, poses: Trajectory | None, time_ns: int
) -> Frame:
    """A picture (H, W, 3) with a sweep as the LiDAR would have seen it at that instant, were the world at rest.

    Raises:
        ValueError: the poses do not cover the sweep and the instant.
    """
    cloud = sweep.payload
    assert isinstance(cloud, PointCloud)
    xyz: FloatArray = np.asarray(cloud.xyz, dtype=np.float64)
    if poses is not None:
        late = 0 if cloud.motion_compensated else cloud.points["t_ns"].astype(np.int64)
        times_ns = np.ascontiguousarray(np.broadcast_to(sweep.stamp.time_ns + late, len(xyz)))
        odom = poses.apply(times_ns, ego_SE3_lidar @ xyz)
        xyz = np.asarray((poses.at(time_ns) @ ego_SE3_lidar).inverse() @ odom)
    good = np.isfinite(xyz).all(axis=1)
    grey = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    intensity = np.nan_to_num(cloud.points["intensity"][good].astype(np.float64))
    return Frame(grey, xyz[good], intensity, cloud.points["ring"][good].astype(np.int64))
