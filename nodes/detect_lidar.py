"""Detect in LiDAR sweeps: wait for the poses of the sweep, deskew, find objects by clusters or by a network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from calibration.rig import LidarSensor
from calibration.se3 import FloatArray
from calibration.trajectory import Trajectory
from fusion.detect import lidar
from fusion.detect.pillars import Earlier, PillarDetector, PillarSettings
from nodes.earlier_sweeps import EarlierSweeps
from pipeline.core.messages import Detections, EgoPose, Message, PointCloud, StreamStatus
from pipeline.core.settings import Settings
from pipeline.sync.motion import deskew
from pipeline.sync.pose_queue import PoseQueue, PoseQueueSettings

_log = logging.getLogger(__name__)


LidarDetector: TypeAlias = Callable[
    [npt.NDArray[np.float32], npt.NDArray[np.int32], FloatArray, str, Earlier | None], Detections
]
"""Deskewed points, their times, where the sensor is, its name, an earlier sweep if there is one -> what was found."""


class DetectLidarSettings(Settings, frozen=True):
    """detector: `method: clusters` needs no training, `method: pillars` is a network."""

    detector: lidar.LidarSettings | PillarSettings = lidar.LidarSettings()
    poses: PoseQueueSettings = PoseQueueSettings()


def open_detector(settings: lidar.LidarSettings | PillarSettings) -> LidarDetector:
    """The detector that the settings name.

    Raises:
        BadInput: its weights are no model of that layout.
    """
    return PillarDetector(settings) if isinstance(settings, PillarSettings) else partial(_clusters, settings)


def _clusters(
    settings: lidar.LidarSettings,
    xyz: npt.NDArray[np.float32],
    t_ns: npt.NDArray[np.int32],
    origin: FloatArray,
    sensor: str,
    earlier: Earlier | None,
) -> Detections:
    return lidar.detect(xyz, t_ns, origin, settings, sensor)


class DetectLidar:
    """`lidar/<sensor>`, `pose/ego` and `stream/ego` in, `detections/<sensor>` out: one for each sweep, with its stamp.

    Args:
        has_poses: someone publishes pose/ego. A sweep without poses goes on as measured, and the log says so.
        follow: see `PoseQueue`.
        detector: any callable of this kind; by default the one that the settings name.
    """

    def __init__(
        self,
        settings: DetectLidarSettings,
        sensor: LidarSensor,
        has_poses: bool = True,
        follow: Collection[tuple[int, int]] | None = None,
        detector: LidarDetector | None = None,
    ) -> None:
        self._detector = detector or open_detector(settings.detector)
        wanted_s = settings.detector.earlier_s if isinstance(settings.detector, PillarSettings) else 0.0
        self._earlier = EarlierSweeps(wanted_s)
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
        earlier = self._earlier.before(xyz, message.stamp, poses)
        found = self._detector(xyz, offsets, ego_SE3_lidar.translation, self._sensor.name, earlier)
        found = found.updated(hurried=True) if hurried else found
        return Message(f"detections/{self._sensor.name}", message.stamp, found)
