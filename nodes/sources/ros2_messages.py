"""ROS 2 messages -> our payloads. The point cloud's own description of its bytes is checked before it is believed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from nodes.sources.encoded_image import camera_image
from nodes.sources.poses import ego_pose, rigid
from nodes.sources.ros2_mapping import TopicMapping
from pipeline.core.errors import BadInput
from pipeline.core.messages import (
    POINT,
    RADAR_POINT,
    CameraImage,
    EgoPose,
    GnssFix,
    ImuSample,
    PointCloud,
    RadarScan,
)

_DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}  # sensor_msgs/PointField
_MAX_POINTS = 20_000_000
_MAX_POINT_BYTES = 1024
_TIME_FIELDS = ("t", "time", "timestamp", "time_stamp", "offset_time")
_RING_FIELDS = ("ring", "channel", "line", "laser_id")


def image(message: Any, source: str, width: int, height: int) -> CameraImage:
    """sensor_msgs/Image (bgr8, rgb8, mono8) or CompressedImage (JPEG, PNG)."""
    if not hasattr(message, "encoding"):
        return camera_image(message.data.tobytes(), source, width=width, height=height)
    if (message.width, message.height) != (width, height):
        raise BadInput(source, "image size", f"{width} x {height}", f"{message.width} x {message.height}")
    channels = {"bgr8": 3, "rgb8": 3, "mono8": 1}.get(message.encoding)
    if channels is None:
        raise BadInput(source, "encoding", "bgr8, rgb8 or mono8", message.encoding)
    row = width * channels
    if message.step < row or len(message.data) < message.step * height:
        raise BadInput(source, "data", f"{height} rows of {row} bytes", f"{len(message.data)}, step {message.step}")
    pixels = (
        message.data[: message.step * height].reshape(height, message.step)[:, :row].reshape(height, width, channels)
    )
    if message.encoding == "rgb8":
        pixels = pixels[:, :, ::-1]
    data = np.ascontiguousarray(np.broadcast_to(pixels, (height, width, 3))).ravel()
    return CameraImage(width=width, height=height, encoding="bgr8", data=data)


def cloud_array(message: Any, source: str) -> npt.NDArray[Any]:
    """(N,) structured array over a PointCloud2's bytes, with the message's own field names.

    Raises:
        BadInput: fields of unknown type or outside the point, or sizes that do not fit the data.
    """
    step, count = message.point_step, message.width * message.height
    if not 0 < step <= _MAX_POINT_BYTES or count > _MAX_POINTS:
        raise BadInput(source, "point_step, width, height", "a cloud of bounded size", (step, count))
    if message.row_step < message.width * step or len(message.data) < message.row_step * message.height:
        raise BadInput(source, "data", f"{count * step} bytes", f"{len(message.data)}, row_step {message.row_step}")
    order = ">" if message.is_bigendian else "<"
    fields = {f.name: f for f in message.fields if f.count in (0, 1)}
    for field in fields.values():
        kind = _DATATYPES.get(field.datatype)
        if kind is None or field.offset + np.dtype(kind).itemsize > step:
            raise BadInput(
                source, f"field {field.name}", f"a known type inside {step} bytes", (field.datatype, field.offset)
            )
    dtype = np.dtype(
        {
            "names": list(fields),
            "formats": [order + _DATATYPES[f.datatype] for f in fields.values()],
            "offsets": [f.offset for f in fields.values()],
            "itemsize": step,
        }
    )
    rows = message.data[: message.row_step * message.height].reshape(message.height, message.row_step)
    packed = np.ascontiguousarray(rows[:, : message.width * step])
    return packed.ravel().view(dtype)


def sweep(message: Any, mapping: TopicMapping, header_ns: int, source: str) -> tuple[PointCloud, int]:
    """A LiDAR cloud and the end of its sweep: the time of its last point, or the header's without times of points."""
    cloud = cloud_array(message, source)
    points = np.zeros(len(cloud), POINT)
    _copy_xyz(cloud, points, source)
    names = cloud.dtype.names or ()
    intensity = next((name for name in ("intensity", "reflectivity") if name in names), "")
    if intensity:
        points["intensity"] = np.nan_to_num(cloud[intensity] / np.float32(mapping.intensity_max)).clip(0, 1)
    ring = next((name for name in _RING_FIELDS if name in names), "")
    if ring:
        points["ring"] = np.nan_to_num(cloud[ring]).clip(0, 2**31)
    offset_ns = _offsets(cloud, mapping, header_ns, source)
    end_ns = int(offset_ns.max()) if len(offset_ns) else 0
    if len(offset_ns) and end_ns - int(offset_ns.min()) > 2**31 - 1:
        raise BadInput(source, "time of points", "within 2 s", f"{(end_ns - int(offset_ns.min())) * 1e-9:.3f} s")
    points["t_ns"] = offset_ns - end_ns
    return PointCloud(points=points), header_ns + end_ns


def scan(message: Any, mapping: TopicMapping, source: str) -> RadarScan:
    """A radar cloud by the mapping's fields."""
    cloud = cloud_array(message, source)
    points = np.zeros(len(cloud), RADAR_POINT)
    _copy_xyz(cloud, points, source)
    for ours, theirs in (
        ("range_rate", mapping.range_rate_field),
        ("rcs", mapping.rcs_field),
        ("snr", mapping.snr_field),
    ):
        points[ours] = _field(cloud, theirs, source) if theirs else np.nan
    if mapping.closing_positive:
        points["range_rate"] *= -1
    return RadarScan(points=points, ambiguity_mps=mapping.ambiguity_mps)


def imu(message: Any) -> ImuSample:
    return ImuSample(
        angular_velocity=_xyz(message.angular_velocity), linear_acceleration=_xyz(message.linear_acceleration)
    )


def fix(message: Any, source: str) -> GnssFix:
    """Accuracy from the covariance where it is known."""
    if message.status.status < 0 or not math.isfinite(message.latitude) or not math.isfinite(message.longitude):
        raise BadInput(source, "status", "a fix", message.status.status)
    known = message.position_covariance_type > 0
    variance = float(message.position_covariance[0] + message.position_covariance[4]) / 2
    return GnssFix(
        latitude=message.latitude,
        longitude=message.longitude,
        height=message.altitude,
        accuracy=math.sqrt(variance) if known and variance >= 0 else float("nan"),
    )


def odometry(message: Any, child_SE3_ego: SE3, source: str) -> EgoPose:
    """nav_msgs/Odometry: pose of its child frame, twist in the child frame; both brought to ego."""
    orientation = message.pose.pose.orientation
    wxyz = (orientation.w, orientation.x, orientation.y, orientation.z)
    odom_SE3_child = rigid(wxyz, _xyz(message.pose.pose.position), source, "pose")
    angular = np.array(_xyz(message.twist.twist.angular))
    linear = np.array(_xyz(message.twist.twist.linear)) + np.cross(angular, child_SE3_ego.translation)
    ego_SE3_child = child_SE3_ego.inverse()
    return ego_pose(odom_SE3_child @ child_SE3_ego, ego_SE3_child.rotate(linear), ego_SE3_child.rotate(angular))


def _offsets(cloud: npt.NDArray[Any], mapping: TopicMapping, header_ns: int, source: str) -> npt.NDArray[np.int64]:
    """(N,) int64 ns after the header's stamp. Integers are ns, floats seconds; large ones are absolute."""
    if mapping.time_field == "none":
        return np.zeros(len(cloud), np.int64)
    name = mapping.time_field or next((f for f in _TIME_FIELDS if f in (cloud.dtype.names or ())), "")
    if not name or len(cloud) == 0:
        return np.zeros(len(cloud), np.int64)
    times = _field(cloud, name, source)
    if times.dtype.kind == "f":
        seconds = np.nan_to_num(times.astype(np.float64), posinf=0.0, neginf=0.0)
        if abs(float(np.median(seconds))) > 1e6:
            seconds = seconds - header_ns * 1e-9
        if np.abs(seconds).max() > 10.0:
            raise BadInput(source, name, "times within 10 s of the header's", f"{np.abs(seconds).max():.3f} s")
        return np.round(seconds * 1e9).astype(np.int64)
    whole = times.astype(np.int64)
    if abs(int(np.median(whole))) > 10**15:
        whole = whole - header_ns
    if np.abs(whole).max() > 10**10:
        raise BadInput(source, name, "times within 10 s of the header's", f"{np.abs(whole).max()} ns")
    return whole


def _copy_xyz(cloud: npt.NDArray[Any], points: npt.NDArray[Any], source: str) -> None:
    for axis in "xyz":
        points[axis] = _field(cloud, axis, source)


def _field(cloud: npt.NDArray[Any], name: str, source: str) -> npt.NDArray[Any]:
    if name not in (cloud.dtype.names or ()):
        raise BadInput(source, "fields", f"a field {name}", ", ".join(cloud.dtype.names or ("none",)))
    return cloud[name]


def _xyz(vector: Any) -> tuple[float, float, float]:
    return float(vector.x), float(vector.y), float(vector.z)
