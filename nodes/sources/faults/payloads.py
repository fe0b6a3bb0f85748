"""Puts the faults of the air and of a sensor on the payloads of one topic."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np

from calibration.rig import CameraSensor, LidarSensor, RadarSensor
from nodes.sources.drive import Drive
from nodes.sources.faults.clouds import CLOUD_FAULTS
from nodes.sources.faults.depth import DepthOf, Sweeps
from nodes.sources.faults.fault import Fault
from nodes.sources.faults.images import IMAGE_FAULTS, Field, Image, Shot
from nodes.sources.faults.scans import SCAN_FAULTS
from pipeline.core.arrays import Payload
from pipeline.core.messages import CameraImage, Message, PointCloud, RadarScan

_JPEG_QUALITY = 92

PAYLOAD_FAULTS = IMAGE_FAULTS.keys() | CLOUD_FAULTS.keys() | SCAN_FAULTS.keys()


class FaultyPayloads:
    """The payloads of ``topic`` with these faults, in the order given.

    Args:
        faults: with their numbers, which seed their noise. Each message has its own noise, by seed, fault, topic and
            sequence number: it is the same whatever part of the drive is read.
    """

    def __init__(
        self, drive: Drive, topic: str, faults: Sequence[tuple[int, Fault]], seed: int, sweeps: Sweeps
    ) -> None:
        self._sensor = next((s for s in drive.rig.sensors if s.name == topic.rpartition("/")[2]), None)
        self._start_ns = drive.start_ns
        self._topic, self._seed = topic, seed
        self._faults = [(number, fault) for number, fault in faults if fault.kind.name in PAYLOAD_FAULTS]
        self._depth = DepthOf(drive, self._sensor, sweeps) if isinstance(self._sensor, CameraSensor) else None

    def apply(self, message: Message) -> Message:
        """The message as the faulty sensor would have given it; the same one where no fault is there at its time."""
        since_ns = message.stamp.time_ns - self._start_ns
        now = [(number, fault) for number, fault in self._faults if fault.start_ns <= since_ns < fault.end_ns]
        if not now:
            return message
        payload: Payload = message.payload
        if isinstance(payload, CameraImage) and isinstance(self._sensor, CameraSensor):
            payload = self._image(message, payload, self._sensor, now)
        elif isinstance(payload, PointCloud) and isinstance(self._sensor, LidarSensor):
            points = payload.points
            for number, fault in now:
                rng = self._noise(number, message.stamp.epoch, message.stamp.sequence)
                points = CLOUD_FAULTS[fault.kind.name](points, fault.amount, self._sensor, rng)
            payload = msgspec.structs.replace(payload, points=np.ascontiguousarray(points))
        elif isinstance(payload, RadarScan) and isinstance(self._sensor, RadarSensor):
            points = payload.points
            for number, fault in now:
                rng = self._noise(number, message.stamp.epoch, message.stamp.sequence)
                points = SCAN_FAULTS[fault.kind.name](points, fault.amount, self._sensor, rng)
            payload = msgspec.structs.replace(payload, points=np.ascontiguousarray(points))
        return Message(message.topic, message.stamp, payload)

    def _image(
        self, message: Message, payload: CameraImage, camera: CameraSensor, now: Sequence[tuple[int, Fault]]
    ) -> CameraImage:
        """Decoded, degraded and encoded again; what cannot be decoded stays as it is, for the detector to report."""
        image = _decoded(payload)
        if image is None:
            return payload
        depth: list[Field] = []

        def depth_now() -> Field:
            if not depth and self._depth is not None:
                depth.append(self._depth.at(message.stamp.time_ns))
            return depth[0]

        focal_px = camera.intrinsics.fx * payload.width / camera.width
        for number, fault in now:
            shot = Shot(
                depth=depth_now,
                focal_px=focal_px,
                since_ns=message.stamp.time_ns - self._start_ns,
                lens=lambda which, number=number: self._noise(number, 1 << 20, which),  # type: ignore[misc]
            )
            rng = self._noise(number, message.stamp.epoch, message.stamp.sequence)
            image = IMAGE_FAULTS[fault.kind.name](image, fault.amount, shot, rng)
        return msgspec.structs.replace(payload, data=_encoded(image, payload.encoding))

    def _noise(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *numbers, *self._topic.encode()])


def _decoded(image: CameraImage) -> Image | None:
    if image.encoding == "bgr8":
        whole = image.data.size == image.height * image.width * 3
        return image.data.reshape(image.height, image.width, 3) if whole else None
    try:
        return cv2.imdecode(image.data, cv2.IMREAD_COLOR) if image.data.size else None
    except cv2.error:
        return None


def _encoded(image: Image, encoding: str) -> Image:
    if encoding == "bgr8":
        return np.ascontiguousarray(image).reshape(-1)
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if encoding == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    return np.asarray(cv2.imencode(".jpg" if encoding == "jpeg" else ".png", image, options)[1]).reshape(-1)
