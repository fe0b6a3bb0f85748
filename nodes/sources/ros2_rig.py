"""A rig out of a ROS 2 bag: mounting from /tf_static or the mapping, cameras from CameraInfo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from calibration.camera import CameraModel, KannalaBrandt, Pinhole, Rational
from calibration.rig import CameraSensor, Clock, Extrinsic, GnssSensor, ImuSensor, LidarSensor, RadarSensor, Sensor
from calibration.se3 import SE3
from nodes.sources.poses import rigid
from nodes.sources.ros2_index import BagIndex
from nodes.sources.ros2_mapping import BagMapping, TopicMapping
from pipeline.core.errors import BadInput

_ARRIVAL_KNOWN = Clock(discipline="vehicle", has_arrival=True)


class FrameTree:
    """Fixed frames of a vehicle, as /tf_static and the mapping give them.

    Args:
        transforms: geometry_msgs/TransformStamped; the last one of a child frame counts.
        mapping: its extrinsics are frames right under ego, and go before /tf_static.
    """

    def __init__(self, transforms: list[Any], mapping: BagMapping, source: object) -> None:
        self._source = source
        self._ego = mapping.ego_frame
        self._parent: dict[str, tuple[str, SE3]] = {}
        for stamped in transforms:
            child, parent = stamped.child_frame_id.lstrip("/"), stamped.header.frame_id.lstrip("/")
            q, t = stamped.transform.rotation, stamped.transform.translation
            parent_SE3_child = rigid((q.w, q.x, q.y, q.z), (t.x, t.y, t.z), source, f"/tf_static: {child}")
            self._parent[child] = (parent, parent_SE3_child)
        for frame, extrinsic in mapping.extrinsics.items():
            self._parent[frame] = (self._ego, extrinsic.ego_SE3_sensor)

    def ego_SE3(self, frame: str) -> SE3:
        """Pose of a frame in ego.

        Raises:
            BadInput: no chain of transforms connects them.
        """
        ego_chain, frame_chain = self._chain(self._ego), self._chain(frame.lstrip("/"))
        for ancestor, ancestor_SE3_frame in frame_chain.items():
            if ancestor in ego_chain:
                return ego_chain[ancestor].inverse() @ ancestor_SE3_frame
        known = ", ".join(sorted({*self._parent, *(parent for parent, _ in self._parent.values())})) or "none"
        wanted = f"a chain from {self._ego} to {frame!r}; or set ego_frame or extrinsics in the mapping"
        raise BadInput(self._source, "/tf_static", wanted, f"frames {known}")

    def _chain(self, frame: str) -> dict[str, SE3]:
        """ancestor -> ancestor_SE3_frame, from the frame itself upward; a loop ends it."""
        chain = {frame: SE3.identity()}
        while frame in self._parent and self._parent[frame][0] not in chain:
            parent, parent_SE3_frame = self._parent[frame]
            chain[parent] = parent_SE3_frame @ chain[frame]
            frame = parent
        return chain

    def extrinsic(self, frame: str) -> Extrinsic:
        return Extrinsic.from_se3(self.ego_SE3(frame), method="/tf_static or the mapping beside the bag")


def camera_model(info: Any, rectified: bool, source: str) -> CameraModel:
    """sensor_msgs/CameraInfo. A rectified image has the projection matrix and no distortion.

    Raises:
        BadInput: no calibration in it, or its model is none of plumb_bob, rational_polynomial and equidistant.
    """
    matrix = info.p.reshape(3, 4) if rectified else info.k.reshape(3, 3)
    fx, fy, cx, cy = (float(v) for v in (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]))
    if not (fx > 0 and fy > 0 and np.isfinite([fx, fy, cx, cy, *info.d]).all()):
        raise BadInput(source, "p" if rectified else "k", "a calibrated camera: finite, focal lengths > 0", (fx, fy))
    d = [float(v) for v in info.d]
    if rectified or not any(d):
        return Pinhole(fx=fx, fy=fy, cx=cx, cy=cy)
    names: dict[str, tuple[type[CameraModel], str]] = {
        "plumb_bob": (Pinhole, "k1 k2 p1 p2 k3"),
        "rational_polynomial": (Rational, "k1 k2 p1 p2 k3 k4 k5 k6"),
        "equidistant": (KannalaBrandt, "k1 k2 k3 k4"),
    }
    if info.distortion_model not in names:
        raise BadInput(source, "distortion_model", " or ".join(names), info.distortion_model)
    model, coefficients = names[info.distortion_model]
    if len(d) < len(coefficients.split()):
        raise BadInput(source, "d", f"{coefficients}", d)
    return model(fx=fx, fy=fy, cx=cx, cy=cy, **dict(zip(coefficients.split(), d, strict=False)))


def sensor(topic: str, entry: TopicMapping, index: BagIndex, tree: FrameTree, path: Path) -> Sensor:
    """The sensor behind a topic.

    Raises:
        BadInput: no message of it can be read, no mounting, or a camera without calibration.
    """
    if topic not in index.frame:
        raise BadInput(path, topic, "at least one message that can be read", "none")
    extrinsic = tree.extrinsic(index.frame[topic])
    rate_hz = _rate_hz(index.log_ns[topic])
    if entry.kind == "camera":
        width, height = index.image_size[topic]
        return CameraSensor(
            name=entry.sensor,
            extrinsic=extrinsic,
            clock=_ARRIVAL_KNOWN,
            rate_hz=rate_hz,
            width=width,
            height=height,
            intrinsics=_intrinsics(topic, entry, index, path),
        )
    if entry.kind == "lidar":
        sweep_ns = round(1e9 / rate_hz)
        return LidarSensor(
            name=entry.sensor, extrinsic=extrinsic, clock=_ARRIVAL_KNOWN, rate_hz=rate_hz, sweep_ns=sweep_ns
        )
    if entry.kind == "radar":
        return RadarSensor(
            name=entry.sensor,
            extrinsic=extrinsic,
            clock=_ARRIVAL_KNOWN,
            rate_hz=rate_hz,
            ambiguity_mps=entry.ambiguity_mps,
        )
    kind = ImuSensor if entry.kind == "imu" else GnssSensor
    return kind(name=entry.sensor, extrinsic=extrinsic, clock=_ARRIVAL_KNOWN, rate_hz=rate_hz)


def _intrinsics(topic: str, entry: TopicMapping, index: BagIndex, path: Path) -> CameraModel:
    """By the CameraInfo that the mapping names, or that stands in a namespace above the image."""
    parts = topic.split("/")
    above = ["/".join([*parts[:n], "camera_info"]) for n in range(len(parts), 1, -1)]
    info = next((name for name in ([entry.info] if entry.info else above) if name in index.camera_info), None)
    if info is None:
        known = ", ".join(index.camera_info) or "no CameraInfo in the bag"
        raise BadInput(path, f"{topic}: info", "the topic of its CameraInfo, in the mapping", known)
    return camera_model(index.camera_info[info], "rect" in topic, f"{path} {info}")


def _rate_hz(log_ns: list[int]) -> float:
    """From the median interval; 10 where there is none."""
    intervals = np.diff(log_ns)
    median = float(np.median(intervals)) if len(intervals) else 0.0
    return 1e9 / median if median > 0 else 10.0
