"""Detect in radar cycles. The own velocity comes from the returns, or from the pose where they do not show it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from calibration.rig import RadarSensor
from calibration.se3 import FloatArray
from fusion.detect import radar
from pipeline.core.messages import EgoPose, Message, RadarScan
from pipeline.core.settings import Settings


class DetectRadarSettings(Settings, frozen=True):
    """max_pose_age_ns: the newest pose's velocity serves a cycle that lies no further from it."""

    detector: radar.RadarSettings = radar.RadarSettings()
    max_pose_age_ns: int = 200_000_000


class DetectRadar:
    """`radar/<sensor>` and `pose/ego` in, `detections/<sensor>` out, one for each cycle, with its stamp."""

    def __init__(self, settings: DetectRadarSettings, sensor: RadarSensor) -> None:
        self._settings = settings
        self._sensor = sensor
        self._newest_pose: Message | None = None

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        payload = message.payload
        if isinstance(payload, EgoPose):
            self._newest_pose = message
            return []
        if not isinstance(payload, RadarScan):
            raise TypeError(f"detect_radar takes scans and poses, not {type(payload).__name__} on {message.topic}")
        found = radar.detect(
            payload,
            self._sensor.ego_SE3_sensor,
            self._own_velocity(message.stamp.time_ns),
            self._settings.detector,
            self._sensor.name,
        )
        return [Message(f"detections/{self._sensor.name}", message.stamp, found)]

    def tick(self, now_ns: int) -> Iterable[Message]:
        return []

    def finish(self) -> Iterable[Message]:
        return []

    def _own_velocity(self, time_ns: int) -> FloatArray | None:
        """(2,) m/s of the radar over ground along its x and y axes, as the newest pose has it; None where unknown."""
        if self._newest_pose is None:
            return None
        pose = self._newest_pose.payload
        assert isinstance(pose, EgoPose)
        velocity = np.array(pose.linear_velocity) + np.cross(
            np.nan_to_num(pose.angular_velocity), self._sensor.ego_SE3_sensor.translation
        )
        if abs(time_ns - self._newest_pose.stamp.time_ns) > self._settings.max_pose_age_ns or np.isnan(velocity).any():
            return None
        return self._sensor.ego_SE3_sensor.inverse().rotate(velocity)[:2]
