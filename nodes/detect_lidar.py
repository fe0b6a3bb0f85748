"""Detect in LiDAR sweeps: wait until the pose covers the sweep, deskew, detect."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable

import numpy as np

from calibration.rig import LidarSensor
from fusion.detect import lidar
from pipeline.core.messages import EgoPose, Message, PointCloud
from pipeline.core.settings import Settings
from pipeline.sync.motion import PoseBuffer, deskew

_log = logging.getLogger(__name__)


class DetectLidarSettings(Settings, frozen=True):
    """max_held: sweeps that wait for poses; when one more comes, the oldest goes on without being deskewed."""

    detector: lidar.LidarSettings = lidar.LidarSettings()
    max_held: int = 3

    def __post_init__(self) -> None:
        if self.max_held < 0:
            raise ValueError(f"max_held: expected >= 0, got {self.max_held}")


class DetectLidar:
    """`lidar/<sensor>` and `pose/ego` in, `detections/<sensor>` out, one for each sweep, in order, with its stamp.

    Once a sweep had to go on without poses, later ones do not wait until a pose has come again; `not_deskewed` counts
    those that went on so. Whether a sweep waits depends on the order of messages only, never on a clock.
    """

    def __init__(self, settings: DetectLidarSettings, sensor: LidarSensor) -> None:
        self._settings = settings
        self._sensor = sensor
        self._poses = PoseBuffer()
        self._held: deque[Message] = deque()
        self._poses_expected = True
        self.not_deskewed = 0

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        payload = message.payload
        if isinstance(payload, EgoPose):
            if self._poses.add(message.stamp, payload) == "":
                self._poses_expected = True
        elif isinstance(payload, PointCloud):
            self._held.append(message)
        else:
            raise TypeError(f"detect_lidar takes sweeps and poses, not {type(payload).__name__} on {message.topic}")
        return self._release(self._settings.max_held)

    def tick(self, now_ns: int) -> Iterable[Message]:
        return []

    def finish(self) -> Iterable[Message]:
        return self._release(0)

    def _release(self, may_wait: int) -> list[Message]:
        out = []
        while self._held:
            ready = self._ready(self._held[0])
            if not ready and self._poses_expected and len(self._held) <= may_wait:
                break
            out.append(self._detect(self._held.popleft(), ready))
        return out

    def _ready(self, message: Message) -> bool:
        cloud, end = message.payload, message.stamp.time_ns
        assert isinstance(cloud, PointCloud)
        if cloud.motion_compensated or not len(cloud.points):
            return True
        offset = cloud.points["t_ns"]
        return self._poses.covers(end + min(0, int(offset.min())), end + max(0, int(offset.max())))

    def _detect(self, message: Message, ready: bool) -> Message:
        cloud, end = message.payload, message.stamp.time_ns
        assert isinstance(cloud, PointCloud)
        ego_SE3_lidar = self._sensor.ego_SE3_sensor
        offset = cloud.points["t_ns"]
        if cloud.motion_compensated or not len(offset):
            xyz = deskew(cloud, message.stamp, ego_SE3_lidar, None) if len(offset) else np.zeros((0, 3), np.float32)
        elif ready:
            poses = self._poses.trajectory(end + min(0, int(offset.min())), end + max(0, int(offset.max())))
            xyz = deskew(cloud, message.stamp, ego_SE3_lidar, poses)
        else:
            xyz = np.asarray(ego_SE3_lidar @ cloud.xyz)
            self.not_deskewed += 1
            if self._poses_expected:
                _log.warning("%s: no poses for the sweep at %d ns; sweeps go on without deskewing", message.topic, end)
            self._poses_expected = False
        found = lidar.detect(xyz, offset, ego_SE3_lidar.translation, self._settings.detector, self._sensor.name)
        return Message(f"detections/{self._sensor.name}", message.stamp, found)
