"""Detect in camera images: decode, find boxes, lift them into the ego frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor
from fusion.detect.camera import LiftSettings, lift
from fusion.detect.centre_points import CentrePoints
from fusion.detect.image_boxes import Detector2d
from fusion.detect.onnx_detectors import FastestDet, OnnxSettings, Tiled, Yolox
from fusion.engines.choice import chosen
from pipeline.core.errors import BadInput
from pipeline.core.messages import CameraImage, Message
from pipeline.core.settings import Settings


class OnnxDetector(Settings, frozen=True, tag_field="detector", tag="onnx"):
    """weights: a name that `fusion.detect.weights` knows, or the path of an ONNX file of this layout.

    band: top and bottom, as shares of the image height, of the strip that is searched again in crops, where far objects
    are too small for the network's input; none = whole image only. aspect: width of a crop over its height.
    """

    weights: str = "fastestdet"
    layout: Literal["fastestdet", "yolox", "centre"] = "fastestdet"
    models_folder: str = ""
    band: tuple[float, float] | None = (0.3, 0.75)
    aspect: float = 1.0
    network: OnnxSettings = OnnxSettings()

    @property
    def folder(self) -> Path | None:
        """Where to look for the weights; None = the usual places."""
        return Path(self.models_folder) if self.models_folder else None

    def __post_init__(self) -> None:
        if self.band is not None and not 0.0 <= self.band[0] < self.band[1] <= 1.0:
            raise ValueError(f"band: expected 0 <= top < bottom <= 1, got {self.band}")


_LAYOUTS: dict[str, Callable[[Path, OnnxSettings], Detector2d]] = {
    "fastestdet": FastestDet,
    "yolox": Yolox,
    "centre": CentrePoints,
}


class DetectCameraSettings(Settings, frozen=True):
    detector: OnnxDetector = OnnxDetector()
    lift: LiftSettings = LiftSettings()


def open_detector(settings: OnnxDetector) -> Detector2d:
    """The 2D detector that the settings name.

    Raises:
        BadInput: its weights are not there, are not those that are pinned, or are no model of that layout.
    """
    path, engine = chosen(settings.weights, settings.network.engine, settings.folder)
    whole = _LAYOUTS[settings.layout](path, msgspec.structs.replace(settings.network, engine=engine))
    return Tiled(whole, settings.band, settings.aspect, settings.network.overlap) if settings.band else whole


class DetectCamera:
    """`camera/<sensor>` in, `detections/<sensor>` out, one for each image, with its stamp.

    Args:
        detector: any callable from image to boxes; by default the one that the settings name.
    """

    def __init__(
        self, settings: DetectCameraSettings, sensor: CameraSensor, detector: Detector2d | None = None
    ) -> None:
        self._settings = settings
        self._sensor = sensor
        self._detector = detector or open_detector(settings.detector)

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        if not isinstance(message.payload, CameraImage):
            raise TypeError(f"detect_camera takes images, not {type(message.payload).__name__} on {message.topic}")
        bgr = decode_image(message.payload, self._sensor, message.topic)
        found = lift(self._detector(bgr), self._sensor, self._settings.lift)
        return [Message(f"detections/{self._sensor.name}", message.stamp, found)]

    def tick(self, now_ns: int) -> Iterable[Message]:
        return []

    def finish(self) -> Iterable[Message]:
        return []


def decode_image(image: CameraImage, sensor: CameraSensor, source: str) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8, blue-green-red.

    Raises:
        BadInput: not an image of the stated encoding, or not of the size that the rig states.
    """
    expected = (sensor.height, sensor.width)
    if (image.height, image.width) != expected:
        raise BadInput(source, "image size", f"{expected[1]} x {expected[0]}", f"{image.width} x {image.height}")
    if image.encoding == "bgr8":
        if image.data.size != image.height * image.width * 3:
            raise BadInput(source, "data", f"{image.height * image.width * 3} bytes", image.data.size)
        return image.data.reshape(image.height, image.width, 3)
    try:
        bgr = cv2.imdecode(image.data, cv2.IMREAD_COLOR) if image.data.size else None
    except cv2.error as error:
        raise BadInput(source, "data", f"a {image.encoding} image", error) from error
    if bgr is None:
        raise BadInput(source, "data", f"a {image.encoding} image", f"{image.data.size} bytes that are none")
    if bgr.shape[:2] != expected:
        raise BadInput(source, "image size", f"{expected[1]} x {expected[0]}", f"{bgr.shape[1]} x {bgr.shape[0]}")
    return np.asarray(bgr, np.uint8)
