"""Detect in radar cycles: wait for the poses around the cycle, compensate Doppler, find objects."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from calibration.rig import RadarSensor
from calibration.se3 import FloatArray
from calibration.trajectory import Trajectory
from fusion.detect import radar
from pipeline.core.messages import EgoPose, Message, RadarScan, StreamStatus
from pipeline.core.settings import Settings
from pipeline.sync.pose_queue import PoseQueue, PoseQueueSettings

_SPAN_NS = 100_000_000  # the vehicle's velocity is its motion over the last so long: what follows is not waited for


class DetectRadarSettings(Settings, frozen=True):
    detector: radar.RadarSettings = radar.RadarSettings()
    poses: PoseQueueSettings = PoseQueueSettings()


class DetectRadar:
    """`radar/<sensor>`, `pose/ego` and `stream/ego` in, `detections/<sensor>` out: one for each cycle, with its stamp.

    Args:
        has_poses: someone publishes pose/ego. Without poses the velocity comes from the radar's own Doppler.
        follow: see `PoseQueue`.
    """

    def __init__(
        self,
        settings: DetectRadarSettings,
        sensor: RadarSensor,
        has_poses: bool = True,
        follow: Collection[tuple[int, int]] | None = None,
    ) -> None:
        self._settings = settings
        self._sensor = sensor
        self._queue = PoseQueue(settings.poses, has_poses, follow)

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        payload, time_ns = message.payload, message.stamp.time_ns
        if isinstance(payload, EgoPose):
            self._queue.pose(message)
        elif isinstance(payload, StreamStatus):
            self._queue.status(payload)
        elif isinstance(payload, RadarScan):
            self._queue.put(message, time_ns - _SPAN_NS, time_ns)
        else:
            raise TypeError(f"detect_radar takes scans and poses, not {type(payload).__name__} on {message.topic}")
        return self._detect()  # the poses that are waited for may be next in line: the clock counts when nothing is

    def tick(self, now_ns: int) -> Iterable[Message]:
        return self._detect(now_ns)

    def finish(self) -> Iterable[Message]:
        return self._detect(everything=True)

    def _detect(self, now_ns: int = 0, everything: bool = False) -> Iterable[Message]:
        for message, poses, hurried in self._queue.ready(now_ns, everything):
            scan = message.payload
            assert isinstance(scan, RadarScan)
            velocity = None
            if poses is not None and len(poses.times_ns) > 1:
                velocity = self._own_velocity(poses, message.stamp.time_ns)
            found = radar.detect(
                scan, self._sensor.ego_SE3_sensor, velocity, self._settings.detector, self._sensor.name
            )
            found = found.updated(hurried=True) if hurried else found
            yield Message(f"detections/{self._sensor.name}", message.stamp, found)

    def _own_velocity(self, poses: Trajectory, time_ns: int) -> FloatArray:
        """(2,) m/s of the radar over ground along its x and y axes: its motion until now."""
        odom_SE3_radar = poses.at([time_ns - _SPAN_NS, time_ns]) @ self._sensor.ego_SE3_sensor
        moved = odom_SE3_radar.translation[1] - odom_SE3_radar.translation[0]
        midway = poses.at(time_ns - _SPAN_NS // 2) @ self._sensor.ego_SE3_sensor  # in a steady turn its axes are right
        velocity: FloatArray = midway.inverse().rotate(moved / (1e-9 * _SPAN_NS))[:2]
        return np.asarray(velocity)
