from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic
from fusion.detect.centre_points import CentrePoints
from fusion.detect.image_boxes import NO_BOXES, ImageBoxes
from nodes.detect_camera import DetectCamera, DetectCameraSettings, OnnxDetector, open_detector
from nodes.sources.pandaset import PandaSetDrive
from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES, C, CameraImage, EgoPose, Message, Stamp
from pipeline.core.settings import convert

SENSOR = CameraSensor(
    name="front",
    extrinsic=Extrinsic(translation=(1.5, 0.0, 1.6), rotation_wxyz=(0.5, -0.5, 0.5, -0.5)),
    width=320,
    height=240,
    intrinsics=Pinhole(fx=250.0, fy=250.0, cx=160.0, cy=120.0),
)
STAMP = Stamp(sensor_ns=1, arrival_ns=2, time_ns=3, sigma_ns=4, sequence=5, epoch=6)
PICTURE = np.full((240, 320, 3), 90, np.uint8)
PICTURE[110:150, 140:190] = (30, 30, 225)


def message(data: np.ndarray, encoding: str, height: int = 240, width: int = 320) -> Message:
    return Message("camera/front", STAMP, CameraImage(height=height, width=width, encoding=encoding, data=data))


def encoded(kind: str) -> np.ndarray:
    if kind == "bgr8":
        return PICTURE.reshape(-1)
    return cv2.imencode({"jpeg": ".jpg", "png": ".png"}[kind], PICTURE)[1].reshape(-1)


def red_patches(bgr: np.ndarray) -> ImageBoxes:
    """A detector that takes whatever is red for one car."""
    rows, columns = np.nonzero((bgr[..., 2] > 150) & (bgr[..., 0] < 100))
    if not len(rows):
        return NO_BOXES
    edges = np.float32([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
    return ImageBoxes(edges, np.float32([0.8]), np.eye(C, dtype=np.float32)[[CLASSES.index("car")]])


def node() -> DetectCamera:
    return DetectCamera(DetectCameraSettings(), SENSOR, red_patches)


@pytest.mark.parametrize("kind", ["jpeg", "png", "bgr8"])
def test_every_encoding_is_decoded_and_the_stamp_kept(kind) -> None:
    (out,) = node().step(message(encoded(kind), kind), 0)
    assert out.topic == "detections/front"
    assert out.stamp == STAMP
    assert len(out.payload) == 1
    assert CLASSES[out.payload.class_score[0].argmax()] == "car"
    assert out.payload.box2d[0] == pytest.approx([140, 110, 190, 150], abs=2)


def test_any_callable_is_a_detector() -> None:
    def two_boxes(bgr: np.ndarray) -> ImageBoxes:
        assert bgr.shape == (240, 320, 3)
        edges = np.float32([[10, 100, 60, 160], [200, 110, 230, 140]])
        return ImageBoxes(edges, np.float32([0.9, 0.4]), np.full((2, C), 0.1, np.float32))

    (out,) = DetectCamera(DetectCameraSettings(), SENSOR, two_boxes).step(message(encoded("png"), "png"), 0)
    assert out.payload.score.tolist() == pytest.approx([0.9, 0.4])


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (message(encoded("bgr8"), "bgr8", height=239), "image size"),
        (message(encoded("bgr8")[:-1], "bgr8"), "data"),
        (message(encoded("jpeg")[:0], "jpeg"), "data"),
        (message(np.frombuffer(b"no image at all", np.uint8), "jpeg"), "data"),
        (message(cv2.imencode(".png", PICTURE[:-8])[1].reshape(-1), "png"), "image size"),
    ],
)
def test_what_is_no_image_of_this_camera_is_bad_input(given: Message, field: str) -> None:
    with pytest.raises(BadInput, match="camera/front") as caught:
        node().step(given, 0)
    assert caught.value.field == field


def test_an_image_without_objects_gives_no_detections() -> None:
    (out,) = node().step(message(np.full(240 * 320 * 3, 90, np.uint8), "bgr8"), 0)
    assert len(out.payload) == 0


def test_other_messages_are_a_failed_step() -> None:
    given = Message("pose/ego", STAMP, EgoPose(position=(0, 0, 0), rotation_wxyz=(1, 0, 0, 0)))
    with pytest.raises(TypeError, match="pose/ego"):
        node().step(given, 0)


def test_the_detector_is_chosen_by_the_settings() -> None:
    chosen = {"detector": "onnx", "layout": "centre", "weights": "camera_simulated", "band": None}
    settings = convert({"detector": chosen}, DetectCameraSettings, "graph")
    assert isinstance(open_detector(settings.detector), CentrePoints)
    with pytest.raises(BadInput, match="band"):
        convert({"detector": {"detector": "onnx", "band": [0.8, 0.2]}}, DetectCameraSettings, "graph")
    with pytest.raises(BadInput, match=r"missing\.onnx"):
        open_detector(OnnxDetector(weights="missing.onnx"))


@pytest.mark.drives
def test_real_detections_lie_where_the_labels_are(drives_folder: Path, models_folder: Path) -> None:
    drive = PandaSetDrive(drives_folder / "pandaset_002")
    image = next(drive.messages(["camera/front"]))
    sensor = drive.rig["front"]
    assert isinstance(sensor, CameraSensor)
    settings = DetectCameraSettings(detector=OnnxDetector(models_folder=str(models_folder)))
    (out,) = DetectCamera(settings, sensor).step(image, 0)
    truth = next(drive.messages(["truth/objects"])).payload
    pose = next(drive.messages(["pose/ego"])).payload.odom_SE3_ego
    cars = (pose.inverse() @ truth.position)[truth.class_id == CLASSES.index("car"), :2]
    near = (out.payload.position[:, 0] < 35.0) & (out.payload.score > 0.6)
    off = out.payload.position[near, :2].astype(np.float64)[:, None] - cars[None]
    inverse = np.linalg.inv(out.payload.position_cov[near, :2, :2].astype(np.float64))
    squared = np.einsum("nki,nij,nkj->nk", off, inverse, off).min(axis=1)
    assert near.sum() >= 5
    assert np.mean(squared < 9.2) > 0.7  # a label inside the stated 99 % ellipse
