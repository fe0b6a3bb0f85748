"""Our messages as other tools see them: Foxglove's own protobuf messages, for recordings and for its live server.

A view is what Foxglove draws, never what we read back: `pipeline.core.record_form` puts the exact message behind it.
Frames: a sensor's frame is named after the sensor, ``ego`` and ``odom`` are ours; `rig_views` gives the transforms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from foxglove import Schema
from foxglove import messages as fg

from calibration.camera import KannalaBrandt, Pinhole
from calibration.rig import CameraSensor, Rig
from calibration.se3 import SE3
from pipeline.core.arrays import Payload
from pipeline.core.foxglove_boxes import detections, labels, pose_of, timestamp, tracks, transform, update
from pipeline.core.messages import (
    POINT,
    RADAR_POINT,
    CameraImage,
    Detections,
    EgoPose,
    GnssFix,
    Message,
    PointCloud,
    RadarScan,
    Scene,
)
from pipeline.core.truth import TruthObjects


class View(NamedTuple):
    """A Foxglove message in two parts, so that large data is never copied into it.

    schema: of the message. head: the encoded message without its large field. data_field: number of that field, 0 where
    there is none. data: its bytes.
    """

    schema: Schema
    head: bytes
    data_field: int = 0
    data: memoryview = memoryview(b"")

    def encoded(self) -> bytes:
        """The whole message in one block."""
        if not self.data_field:
            return self.head
        return b"".join((self.head, field_prefix(self.data_field, self.data.nbytes), self.data))


def field_prefix(number: int, size: int) -> bytes:
    """Protobuf tag and length in front of ``size`` bytes of the length-delimited field ``number``."""
    return _varint(number << 3 | 2) + _varint(size)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def view(message: Message) -> View | None:
    """The Foxglove view of a message, or None where Foxglove has no type for it or its numbers make no picture."""
    draw = _DRAWN.get(type(message.payload))
    if draw is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return draw(message.payload, timestamp(message.stamp.time_ns), message.source)
    except (ValueError, OverflowError):  # a pose that is none, an image size beyond 32 bits
        return None


def rig_views(rig: Rig, time_ns: int) -> list[tuple[str, View]]:
    """(topic, view) of what never changes in a run: where the sensors sit and how the cameras project."""
    time = timestamp(time_ns)
    mounts = [transform("ego", sensor.name, sensor.ego_SE3_sensor, time) for sensor in rig.sensors]
    views = [
        ("rig/transforms", View(fg.FrameTransforms.get_schema(), fg.FrameTransforms(transforms=mounts).encode())),
    ]
    for camera in rig.cameras:
        calibration = _camera_calibration(camera, time)
        views.append((f"rig/{camera.name}", View(fg.CameraCalibration.get_schema(), calibration.encode())))
    return views


def _image(image: CameraImage, time: fg.Timestamp, frame: str) -> View:
    if image.encoding == "bgr8":
        raw = fg.RawImage(
            timestamp=time,
            frame_id=frame,
            width=image.width,
            height=image.height,
            encoding="bgr8",
            step=3 * image.width,
        )
        return View(fg.RawImage.get_schema(), raw.encode(), 6, _raw(image.data))
    compressed = fg.CompressedImage(timestamp=time, frame_id=frame, format=image.encoding)
    return View(fg.CompressedImage.get_schema(), compressed.encode(), 2, _raw(image.data))


_NUMERIC = {
    "<f4": fg.PackedElementFieldNumericType.Float32,
    "<i4": fg.PackedElementFieldNumericType.Int32,
    "<u4": fg.PackedElementFieldNumericType.Uint32,
}


def _packed_fields(dtype: np.dtype[np.void]) -> list[fg.PackedElementField]:
    fields: Mapping[str, Any] = dtype.fields or {}
    return [fg.PackedElementField(name=n, offset=f[1], type=_NUMERIC[f[0].str]) for n, f in fields.items()]


_POINT_FIELDS = _packed_fields(POINT)
_RADAR_FIELDS = _packed_fields(RADAR_POINT)


def _points(points: np.ndarray, fields: list[fg.PackedElementField], time: fg.Timestamp, frame: str) -> View:
    cloud = fg.PointCloud(
        timestamp=time, frame_id=frame, pose=pose_of(SE3.identity()), point_stride=points.dtype.itemsize, fields=fields
    )
    return View(fg.PointCloud.get_schema(), cloud.encode(), 6, _raw(points))


def _raw(array: np.ndarray) -> memoryview:
    """The array's own memory as bytes."""
    return np.ascontiguousarray(array).reshape(-1).view("u1").data if array.size else memoryview(b"")


def _location(fix: GnssFix, time: fg.Timestamp, frame: str) -> View:
    known = math.isfinite(fix.accuracy)
    variance = fix.accuracy**2 if known else 0.0
    kinds = fg.LocationFixPositionCovarianceType
    location = fg.LocationFix(
        timestamp=time,
        frame_id=frame,
        latitude=fix.latitude,
        longitude=fix.longitude,
        altitude=fix.height,
        position_covariance=[variance, 0, 0, 0, variance, 0, 0, 0, 0],
        position_covariance_type=kinds.Approximated if known else kinds.Unknown,
    )
    return View(fg.LocationFix.get_schema(), location.encode())


def _ego(pose: EgoPose, time: fg.Timestamp, frame: str) -> View:
    return View(fg.FrameTransform.get_schema(), transform("odom", frame, pose.odom_SE3_ego, time).encode())


def _camera_calibration(camera: CameraSensor, time: fg.Timestamp) -> fg.CameraCalibration:
    lens = camera.intrinsics
    if isinstance(lens, Pinhole):
        model, distortion = "plumb_bob", [lens.k1, lens.k2, lens.p1, lens.p2, lens.k3]
    elif isinstance(lens, KannalaBrandt):
        model, distortion = "kannala_brandt", [lens.k1, lens.k2, lens.k3, lens.k4]
    else:
        model = "rational_polynomial"
        distortion = [lens.k1, lens.k2, lens.p1, lens.p2, lens.k3, lens.k4, lens.k5, lens.k6]
    return fg.CameraCalibration(
        timestamp=time,
        frame_id=camera.name,
        width=camera.width,
        height=camera.height,
        distortion_model=model,
        D=distortion,
        K=[float(v) for v in lens.matrix.reshape(-1)],
        R=[1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0],
        P=[lens.fx, 0, lens.cx, 0, 0, lens.fy, lens.cy, 0, 0, 0, 1.0, 0],
    )


def _update(entities: list[fg.SceneEntity], time: fg.Timestamp) -> View:
    return View(fg.SceneUpdate.get_schema(), update(entities, time).encode())


_DRAWN: dict[type[Payload], Callable[[Any, fg.Timestamp, str], View]] = {
    CameraImage: _image,
    PointCloud: lambda cloud, time, frame: _points(cloud.points, _POINT_FIELDS, time, frame),
    RadarScan: lambda scan, time, frame: _points(scan.points, _RADAR_FIELDS, time, frame),
    EgoPose: _ego,
    GnssFix: _location,
    Scene: lambda scene, time, _: _update(tracks(scene, time), time),
    TruthObjects: lambda truth, time, _: _update(labels(truth, time), time),
    Detections: lambda found, time, _: _update(detections(found, time), time),
}
