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
from pipeline.core.messages import (
    CLASSES,
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
    TruthObjects,
)

CLASS_RGB = (
    (0.10, 0.75, 0.95),  # car
    (0.95, 0.55, 0.10),  # truck
    (0.95, 0.80, 0.10),  # bus
    (0.80, 0.45, 0.20),  # trailer
    (0.75, 0.65, 0.15),  # construction vehicle
    (0.95, 0.25, 0.35),  # pedestrian
    (0.70, 0.35, 0.95),  # motorcycle
    (0.95, 0.40, 0.85),  # bicycle
    (0.95, 0.60, 0.45),  # traffic cone
    (0.60, 0.60, 0.60),  # barrier
)
MODALITY_RGB = {"camera": (0.98, 0.72, 0.15), "lidar": (0.20, 0.80, 0.45), "radar": (0.90, 0.30, 0.55)}
TRUTH_RGB = (1.0, 1.0, 1.0)
_MAX_SECONDS = (1 << 32) - 1  # Foxglove's timestamps hold 32 bits of seconds


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
            return draw(message.payload, _timestamp(message.stamp.time_ns), message.source)
    except (ValueError, OverflowError):  # a pose that is none, an image size beyond 32 bits
        return None


def rig_views(rig: Rig, time_ns: int) -> list[tuple[str, View]]:
    """(topic, view) of what never changes in a run: where the sensors sit and how the cameras project."""
    time = _timestamp(time_ns)
    mounts = [_transform("ego", sensor.name, sensor.ego_SE3_sensor, time) for sensor in rig.sensors]
    views = [
        ("rig/transforms", View(fg.FrameTransforms.get_schema(), fg.FrameTransforms(transforms=mounts).encode())),
    ]
    for camera in rig.cameras:
        calibration = _camera_calibration(camera, time)
        views.append((f"rig/{camera.name}", View(fg.CameraCalibration.get_schema(), calibration.encode())))
    return views


def _timestamp(time_ns: int) -> fg.Timestamp:
    seconds, rest = divmod(max(time_ns, 0), 1_000_000_000)
    return fg.Timestamp(min(seconds, _MAX_SECONDS), rest)


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
        timestamp=time, frame_id=frame, pose=_pose(SE3.identity()), point_stride=points.dtype.itemsize, fields=fields
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
    return View(fg.FrameTransform.get_schema(), _transform("odom", frame, pose.odom_SE3_ego, time).encode())


def _boxes(entities: list[fg.SceneEntity], time: fg.Timestamp) -> View:
    """A scene update that replaces everything this topic has drawn before."""
    clear = fg.SceneEntityDeletion(timestamp=time, type=fg.SceneEntityDeletionType.All)
    return View(fg.SceneUpdate.get_schema(), fg.SceneUpdate(deletions=[clear], entities=entities).encode())


def _tracks(scene: Scene, time: fg.Timestamp) -> list[fg.SceneEntity]:
    best = scene.class_score.argmax(axis=1) if len(scene.track_id) else []
    entities = []
    for i, class_id in enumerate(best):
        weights = {s: float(w) for s, w in zip(scene.sensors, scene.weight[i], strict=True)}
        shares = " ".join(f"{s} {w:.0%}" for s, w in weights.items() if w >= 0.005) or "coasting"
        facts = {
            "class": CLASSES[class_id],
            "class_score": f"{scene.class_score[i, class_id]:.3f}",
            "existence": f"{scene.existence[i]:.3f}",
            "age": str(scene.age[i]),
            "coasted": str(scene.coasted[i]),
            **{f"weight/{s}": f"{w:.3f}" for s, w in weights.items()},
        }
        entities.append(
            _box(
                "odom",
                time,
                str(scene.track_id[i]),
                scene.track_position[i],
                scene.track_size[i],
                float(scene.track_yaw[i]),
                scene.track_velocity[i],
                CLASS_RGB[class_id],
                0.15 + 0.35 * float(scene.existence[i]),
                f"{CLASSES[class_id]} {scene.track_id[i]}  {shares}",
                facts,
            )
        )
    return entities


def _labels(truth: TruthObjects, time: fg.Timestamp) -> list[fg.SceneEntity]:
    entities = []
    for i, class_id in enumerate(truth.class_id):
        name = CLASSES[class_id] if 0 <= class_id < len(CLASSES) else "other"
        facts = {"class": name, "lidar_points": str(truth.lidar_points[i]), "visibility": f"{truth.visibility[i]:.2f}"}
        identity = f"{i}" if truth.object_id[i] < 0 else str(truth.object_id[i])
        pose = (truth.position[i], truth.size[i], float(truth.yaw[i]), truth.velocity[i])
        entities.append(_box("odom", time, identity, *pose, TRUTH_RGB, 0.15, f"truth {name} {identity}", facts))
    return entities


def _detections(found: Detections, time: fg.Timestamp) -> list[fg.SceneEntity]:
    best = found.class_score.argmax(axis=1) if len(found) else []
    entities = []
    for i, class_id in enumerate(best):
        name = f"{found.sensor} {CLASSES[class_id]} {found.score[i]:.2f}"
        facts = {"class": CLASSES[class_id], "score": f"{found.score[i]:.3f}", "points": str(found.points[i])}
        pose = (found.position[i], found.size[i], float(found.yaw[i]), found.velocity[i])
        color = MODALITY_RGB[found.modality]
        entities.append(_box("ego", time, str(i), *pose, color, 0.1 + 0.4 * float(found.score[i]), name, facts))
    return entities


def _box(
    frame: str,
    time: fg.Timestamp,
    identity: str,
    position: np.ndarray,
    size: np.ndarray,
    yaw: float,
    velocity: np.ndarray,
    rgb: tuple[float, float, float],
    alpha: float,
    label: str,
    facts: dict[str, str],
) -> fg.SceneEntity:
    """A box with its label above it and an arrow as long as the way it goes in one second."""
    x, y, z = (float(v) if math.isfinite(v) else 0.0 for v in position)
    length, width, height = (float(v) if math.isfinite(v) else 0.5 for v in size)
    heading = yaw if math.isfinite(yaw) else 0.0
    color = fg.Color(r=rgb[0], g=rgb[1], b=rgb[2], a=min(max(alpha, 0.0), 1.0) if math.isfinite(alpha) else 0.1)
    solid = fg.Color(r=rgb[0], g=rgb[1], b=rgb[2], a=1.0)
    speed = math.hypot(*velocity)
    arrows = []
    if math.isfinite(speed) and speed > 0.2:
        course = math.atan2(velocity[1], velocity[0])
        arrows.append(
            fg.ArrowPrimitive(
                pose=_pose(SE3.from_yaw(course, (x, y, z))),
                shaft_length=speed * 0.85,
                shaft_diameter=0.12,
                head_length=speed * 0.15,
                head_diameter=0.35,
                color=solid,
            )
        )
    above = _pose(SE3.from_yaw(0.0, (x, y, z + height / 2 + 0.4)))
    return fg.SceneEntity(
        timestamp=time,
        frame_id=frame,
        id=identity,
        cubes=[
            fg.CubePrimitive(
                pose=_pose(SE3.from_yaw(heading, (x, y, z))),
                size=fg.Vector3(x=length, y=width, z=height),
                color=color,
            )
        ],
        arrows=arrows,
        texts=[
            fg.TextPrimitive(pose=above, billboard=True, font_size=11.0, scale_invariant=True, color=solid, text=label)
        ],
        metadata=[fg.KeyValuePair(key=key, value=value) for key, value in facts.items()],
    )


def _pose(a_SE3_b: SE3) -> fg.Pose:
    x, y, z = (float(v) for v in a_SE3_b.translation)
    return fg.Pose(position=fg.Vector3(x=x, y=y, z=z), orientation=_quaternion(a_SE3_b))


def _quaternion(a_SE3_b: SE3) -> fg.Quaternion:
    w, x, y, z = (float(v) for v in a_SE3_b.quaternion)
    return fg.Quaternion(x=x, y=y, z=z, w=w)


def _transform(parent: str, child: str, parent_SE3_child: SE3, time: fg.Timestamp) -> fg.FrameTransform:
    x, y, z = (float(v) for v in parent_SE3_child.translation)
    return fg.FrameTransform(
        timestamp=time,
        parent_frame_id=parent,
        child_frame_id=child,
        translation=fg.Vector3(x=x, y=y, z=z),
        rotation=_quaternion(parent_SE3_child),
    )


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


_DRAWN: dict[type[Payload], Callable[[Any, fg.Timestamp, str], View]] = {
    CameraImage: _image,
    PointCloud: lambda cloud, time, frame: _points(cloud.points, _POINT_FIELDS, time, frame),
    RadarScan: lambda scan, time, frame: _points(scan.points, _RADAR_FIELDS, time, frame),
    EgoPose: _ego,
    GnssFix: _location,
    Scene: lambda scene, time, _: _boxes(_tracks(scene, time), time),
    TruthObjects: lambda truth, time, _: _boxes(_labels(truth, time), time),
    Detections: lambda found, time, _: _boxes(_detections(found, time), time),
}
