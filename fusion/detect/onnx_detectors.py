"""2D detectors from ONNX files, in the FastestDet and the YOLOX layouts: what comes before and after the network.

FastestDet (dog-qiuqiu/FastestDet): one cell grid, objectness, box, class scores. YOLOX (Ge et al., 2021): three grids.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fusion.detect.image_boxes import Detector2d, Image, ImageBoxes, concatenated, from_coco, suppress
from fusion.engines.engine import Array as AnyArray
from fusion.engines.engine import Engine, EngineSettings
from fusion.engines.opened import open_engine
from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings

Array = npt.NDArray[np.float32]

_COCO_COUNT = 80


class OnnxSettings(Settings, frozen=True):
    """engine: what runs the network. min_score: boxes below are dropped. overlap: of two boxes of the same object."""

    engine: EngineSettings = EngineSettings()
    min_score: float = 0.25
    overlap: float = 0.5


class GridNetwork:
    """A network of one input of four dimensions and one output, both of fixed size: input and output as arrays.

    It comes in two forms. Plain: float32, channels first. Bytes (`fusion.quantise.form`): uint8 in, channels last on
    both sides; of an image, perhaps blocks of pixels with their channels one after the other.

    Args:
        channels: of the plain form, to tell blocks from single pixels; 0 = as the file has them.

    Raises:
        BadInput: no such file, not an ONNX model, or one of other inputs and outputs.
    """

    def __init__(self, path: Path, settings: EngineSettings, channels: int = 0) -> None:
        self._engine: Engine = open_engine(path, settings)
        shapes = [port.shape for port in self._engine.inputs.values()]
        if len(shapes) != 1 or len(shapes[0]) != 4 or None in shapes[0][1:]:
            raise BadInput(path, "inputs", "one image of fixed size", shapes)
        if len(self._engine.outputs) != 1:
            raise BadInput(path, "outputs", "one", ", ".join(self._engine.outputs))
        (self._input,), (self._output,) = self._engine.inputs, self._engine.outputs
        self.in_bytes = self._engine.inputs[self._input].dtype == np.uint8
        self.describe = self._engine.describe
        self.shape, self.output_shape = shapes[0], self._engine.outputs[self._output].shape
        self.block = 1
        if self.in_bytes:
            n, rows, columns, of_block = (int(size or 0) for size in self.shape)
            self.block = math.isqrt(of_block // channels) if channels else 1
            b = self.block
            self.shape = (n, of_block // b**2, rows * b, columns * b)
            self.output_shape = tuple(self.output_shape[axis] for axis in (0, 3, 1, 2)[: len(self.output_shape)])
        self.height, self.width = (int(size or 0) for size in self.shape[2:])

    def __call__(self, given: AnyArray) -> Array:
        """Of an input in the network's own form, the answer channels first."""
        answer = np.asarray(self._engine({self._input: given})[self._output], np.float32)
        return np.moveaxis(answer, -1, 1) if self.in_bytes else answer

    def arranged(self, image: Image) -> AnyArray:
        """An image (height, width, channels) as the network wants it."""
        if not self.in_bytes:
            return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
        b, channels = self.block, image.shape[2]
        rows = np.ascontiguousarray(image).reshape(self.height // b, b, self.width // b, b * channels)
        pieces = rows.view(f"V{b * channels}")[..., 0].transpose(0, 2, 1)  # a block's rows behind one another
        shape = (1, self.height // b, self.width // b, b * b * channels)
        return np.ascontiguousarray(pieces).view(np.uint8).reshape(shape)


class FastestDet:
    """Input: BGR / 255, resized by area. Output (1, 85, rows, columns): objectness, box, 80 class probabilities."""

    def __init__(self, path: Path, settings: OnnxSettings) -> None:
        self._network = GridNetwork(path, settings.engine)
        self._settings = settings
        channels = self._network.output_shape[1]
        if channels != 5 + _COCO_COUNT:
            raise BadInput(path, "output", f"{5 + _COCO_COUNT} channels as FastestDet's", channels)

    def __call__(self, bgr: Image) -> ImageBoxes:
        small = shrink(bgr, self._network.width, self._network.height)
        blob = np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        return decode_fastestdet(self._network(blob)[0], bgr.shape[1], bgr.shape[0], self._settings)


def shrink(bgr: Image, width: int, height: int) -> Image:
    """Resized: halved by area while that goes, then bilinear; area at any other factor costs as much as the network."""
    while bgr.shape[1] >= 2 * width and bgr.shape[0] >= 2 * height:
        even = bgr[: bgr.shape[0] // 2 * 2, : bgr.shape[1] // 2 * 2]
        size = (even.shape[1] // 2, even.shape[0] // 2)
        bgr = np.asarray(cv2.resize(even, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(bgr, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def decode_fastestdet(output: Array, width: int, height: int, settings: OnnxSettings) -> ImageBoxes:
    """Boxes of an image of ``width`` x ``height`` from the (85, rows, columns) map.

    Channels: objectness; the centre's offset from its cell as tanh^-1; share of the image's width and height as logit;
    classes.
    score = objectness^0.6 class^0.4.
    """
    rows, columns = output.shape[1:]
    score_map = output[0] ** 0.6 * output[5:].max(axis=0) ** 0.4
    row, column = np.nonzero(score_map >= settings.min_score)
    cell = output[:, row, column].astype(np.float64)
    centre = np.stack([(column + np.tanh(cell[1])) / columns, (row + np.tanh(cell[2])) / rows])
    half = 0.5 / (1.0 + np.exp(-cell[3:5]))
    image = np.array([width, height, width, height])
    edges = (np.concatenate([centre - half, centre + half]).T * image).clip(0, image)
    boxes = from_coco(edges.astype(np.float32), score_map[row, column], cell[5:].T.astype(np.float32))
    return suppress(boxes, settings.overlap)


class Yolox:
    """Input: BGR 0..255, letterboxed to the top left with grey 114. Output (1, cells, 85) for strides 8, 16, 32."""

    def __init__(self, path: Path, settings: OnnxSettings) -> None:
        self._network = GridNetwork(path, settings.engine)
        self._settings = settings
        self._height, self._width = self._network.height, self._network.width
        shape = self._network.output_shape
        expected = sum((self._height // s) * (self._width // s) for s in (8, 16, 32))
        if list(shape[1:]) != [expected, 5 + _COCO_COUNT]:
            raise BadInput(path, "output", f"(1, {expected}, {5 + _COCO_COUNT}) as YOLOX's", shape)

    def __call__(self, bgr: Image) -> ImageBoxes:
        scale = min(self._width / bgr.shape[1], self._height / bgr.shape[0])
        small = cv2.resize(bgr, (round(bgr.shape[1] * scale), round(bgr.shape[0] * scale)))
        padded = np.full((self._height, self._width, 3), 114, np.uint8)
        padded[: small.shape[0], : small.shape[1]] = small
        blob = np.ascontiguousarray(padded.transpose(2, 0, 1)[None], np.float32)
        boxes = decode_yolox(self._network(blob)[0], self._width, self._height, self._settings)
        edges = (boxes.edges / np.float32(scale)).clip(0, [bgr.shape[1], bgr.shape[0]] * 2)
        return boxes._replace(edges=edges.astype(np.float32))


def decode_yolox(output: Array, width: int, height: int, settings: OnnxSettings) -> ImageBoxes:
    """Boxes in network pixels from the (cells, 85) rows: centre offset, log size in strides, objectness, classes."""
    grids: list[Any] = []
    for stride in (8, 16, 32):
        row, column = np.mgrid[: height // stride, : width // stride]
        grids.append(np.stack([column.ravel(), row.ravel(), np.full(row.size, stride)], axis=1))
    grid = np.concatenate(grids)
    score = output[:, 4] * output[:, 5:].max(axis=1)
    kept = np.flatnonzero(score >= settings.min_score)
    cell, grid = output[kept].astype(np.float64), grid[kept]
    centre = (cell[:, :2] + grid[:, :2]) * grid[:, 2:]
    half = np.exp(cell[:, 2:4]) * grid[:, 2:] / 2
    edges = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    return suppress(from_coco(edges, score[kept], output[kept, 5:]), settings.overlap)


class Tiled:
    """Any detector, run on the whole image and on overlapping crops along a band, where far objects are small.

    A box that a crop's inner border cuts is left to the neighbouring crop or to the whole image.

    Args:
        band: top and bottom of the band as shares of the image height.
        aspect: width of a crop over its height.
        overlap: of two boxes that are the same object.
    """

    def __init__(self, detector: Detector2d, band: tuple[float, float], aspect: float, overlap: float) -> None:
        self._detector, self._band, self._aspect, self._overlap = detector, band, aspect, overlap

    def __call__(self, bgr: Image) -> ImageBoxes:
        height, width = bgr.shape[:2]
        top, bottom = (round(share * height) for share in self._band)
        side = round(self._aspect * (bottom - top))
        parts = [self._detector(bgr)]
        count = int(np.ceil((width - 0.1 * side) / (0.9 * side))) if width > side else 1
        for left in np.linspace(0, max(width - side, 0), count).astype(int):
            found = self._detector(bgr[top:bottom, left : left + side]).moved(1.0, float(left), float(top))
            right = min(left + side, width)
            crop = np.array([left, top, right, bottom], np.float32)
            inner = crop != np.array([0, 0, width, height], np.float32)
            cut = (np.abs(found.edges - crop) < 0.01 * (bottom - top)) & inner
            parts.append(found.pick(np.flatnonzero(~cut.any(axis=1))))
        return suppress(concatenated(parts), self._overlap)
