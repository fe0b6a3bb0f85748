"""Detect in LiDAR sweeps: wait for the poses of the sweep, deskew, find objects."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

import numpy as np

from calibration.rig import LidarSensor
from calibration.trajectory import Trajectory
from fusion.detect import lidar
from pipeline.core.messages import EgoPose, Message, PointCloud, StreamStatus
from pipeline.core.settings import Settings
from pipeline.sync.motion import deskew
from pipeline.sync.pose_queue import PoseQueue, PoseQueueSettings

_log = logging.getLogger(__name__)


class DetectLidarSettings(Settings, frozen=True):
    detector: lidar.LidarSettings = lidar.LidarSettings()
    poses: PoseQueueSettings = PoseQueueSettings()


class DetectLidar:
    """`lidar/<sensor>`, `pose/ego` and `stream/ego` in, `detections/<sensor>` out: one for each sweep, with its stamp.

    Args:
        has_poses: someone publishes pose/ego. A sweep without poses goes on as measured, and the log says so.
        follow: see `PoseQueue`.
    """

    def __init__(
        self,
        settings: DetectLidarSettings,
        sensor: LidarSensor,
        has_poses: bool = True,
        follow: Collection[tuple[int, int]] | None = None,
    ) -> None:
        self._settings = settings
        self._sensor = sensor
        self._has_poses = has_poses
        self._queue = PoseQueue(settings.poses, has_poses, follow)

    @property
    def not_deskewed(self) -> int:
        """Sweeps that went on without poses."""
        return self._queue.without_poses

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        payload = message.payload
        if isinstance(payload, EgoPose):
            self._queue.pose(message)
        elif isinstance(payload, StreamStatus):
            self._queue.status(payload)
        elif isinstance(payload, PointCloud):
            moving = not payload.motion_compensated and len(payload.points) > 0
            offsets = payload.points["t_ns"] if moving else np.zeros(1, np.int32)
            end_ns = message.stamp.time_ns
            self._queue.put(message, end_ns + min(0, int(offsets.min())), end_ns + max(0, int(offsets.max())))
        else:
            raise TypeError(f"detect_lidar takes sweeps and poses, not {type(payload).__name__} on {message.topic}")
        return self._detect()  # the poses that are waited for may be next in line: the clock counts when nothing is

    def tick(self, now_ns: int) -> Iterable[Message]:
        return self._detect(now_ns)

    def finish(self) -> Iterable[Message]:
        return self._detect(everything=True)

    def _detect(self, now_ns: int = 0, everything: bool = False) -> Iterable[Message]:
        for message, poses, hurried in self._queue.ready(now_ns, everything):
            yield self._detect_one(message, poses, hurried)

    def _detect_one(self, message: Message, poses: Trajectory | None, hurried: bool) -> Message:
        cloud = message.payload
        assert isinstance(cloud, PointCloud)
        ego_SE3_lidar = self._sensor.ego_SE3_sensor
        if not len(cloud.points):
            xyz = np.zeros((0, 3), np.float32)
        elif cloud.motion_compensated or poses is not None:
            xyz = deskew(cloud, message.stamp, ego_SE3_lidar, None if cloud.motion_compensated else poses)
        else:
            xyz = np.asarray(ego_SE3_lidar @ cloud.xyz)
            if self._has_poses:
                _log.warning("%s: no poses for the sweep at %d ns, not deskewed", message.topic, message.stamp.time_ns)
        offsets = cloud.points["t_ns"]
        found = lidar.detect(xyz, offsets, ego_SE3_lidar.translation, self._settings.detector, self._sensor.name)
        found = found.updated(hurried=True) if hurried else found
        return Message(f"detections/{self._sensor.name}", message.stamp, found)
