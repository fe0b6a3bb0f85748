"""The real network on a real image, and files that are no such network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fusion.detect.onnx_detectors import FastestDet, OnnxSettings, Tiled, Yolox, shrink
from fusion.detect.weights import resolve
from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES


@pytest.mark.drives
def test_sees_the_cars_in_front_of_the_pandaset_car(drives_folder: Path, models_folder: Path) -> None:
    image = cv2.imread(str(drives_folder / "pandaset_002/camera/front_camera/00.jpg"))
    whole = FastestDet(resolve("fastestdet", models_folder), OnnxSettings())
    found = Tiled(whole, (0.3, 0.75), 1.5, 0.5)(np.asarray(image, np.uint8))
    cars = found.edges[found.class_score.argmax(axis=1) == CLASSES.index("car")]
    suv = np.array([740.0, 535.0, 1125.0, 855.0])  # the white one ahead, read off the image
    low, high = np.maximum(cars[:, :2], suv[:2]), np.minimum(cars[:, 2:], suv[2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    union = (cars[:, 2:] - cars[:, :2]).prod(axis=1) + (suv[2:] - suv[:2]).prod() - shared
    assert (shared / union).max() > 0.7
    assert len(cars) >= 8
    assert len(found.score) > len(whole(np.asarray(image, np.uint8)).score)


@pytest.mark.drives
def test_a_network_of_another_layout_is_refused(models_folder: Path) -> None:
    with pytest.raises(BadInput, match="YOLOX"):
        Yolox(resolve("fastestdet", models_folder), OnnxSettings())


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=r"model\.onnx"):
        FastestDet(path, OnnxSettings())


@pytest.mark.parametrize("size", [(1080, 1920), (353, 1000), (352, 352), (100, 90), (2161, 3841)])
def test_shrinking_keeps_what_lies_where(size: tuple[int, int]) -> None:
    """A horizontal ramp stays that ramp at any size."""
    ramp = np.broadcast_to(np.linspace(0, 255, size[1])[None, :, None], (*size, 3)).astype(np.uint8)
    small = shrink(ramp, 352, 352)
    assert small.shape == (352, 352, 3)
    expected = (np.arange(352) + 0.5) / 352 * 255
    assert np.abs(small[100, :, 0] - expected).max() < 4.0
