"""2D detector of the centre-point layout: one grid of class logits and box edges, as `CentreNet` gives it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fusion.detect.centre_net import STRIDE
from fusion.detect.image_boxes import Image, ImageBoxes, suppress
from fusion.detect.onnx_detectors import GridNetwork, OnnxSettings
from fusion.engines.engine import Array as AnyArray
from pipeline.core.errors import BadInput
from pipeline.core.messages import C

Array = npt.NDArray[np.float32]


class CentrePoints:
    """Input: BGR 0..255, scaled to the network's width and filled up at the bottom. Output (1, C + 4, rows, columns).

    Raises:
        BadInput: no ONNX model, or one of another layout.
    """

    def __init__(self, path: Path, settings: OnnxSettings) -> None:
        self._network = GridNetwork(path, settings.engine, channels=3)
        self._settings = settings
        self.describe = self._network.describe
        self._height, self._width = self._network.height, self._network.width
        shape = self._network.output_shape
        expected = [C + 4, self._height // STRIDE, self._width // STRIDE]
        if list(shape[1:]) != expected:
            raise BadInput(path, "output", f"(1, {', '.join(map(str, expected))})", shape)

    def __call__(self, bgr: Image) -> ImageBoxes:
        boxes = decode(self._network(self.given(bgr))[0], self._settings)
        edges = (boxes.edges / np.float32(self._scale(bgr))).clip(0, [bgr.shape[1], bgr.shape[0]] * 2)
        return boxes._replace(edges=edges.astype(np.float32))

    def given(self, bgr: Image) -> AnyArray:
        """What the network is given of an image."""
        scale = self._scale(bgr)
        size = (round(bgr.shape[1] * scale), round(bgr.shape[0] * scale))
        filled = np.zeros((self._height, self._width, 3), np.uint8)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        filled[: size[1], : size[0]] = bgr if size == bgr.shape[1::-1] else cv2.resize(bgr, size, interpolation=how)
        return self._network.arranged(filled)

    def _scale(self, bgr: Image) -> float:
        return float(min(self._width / bgr.shape[1], self._height / bgr.shape[0]))


def decode(output: Array, settings: OnnxSettings) -> ImageBoxes:
    """Boxes in network pixels from the (C + 4, rows, columns) map: cells that are the peak of their neighbourhood."""
    heat = 1.0 / (1.0 + np.exp(-output[:C]))
    best = heat.max(axis=0)
    peak = cv2.dilate(best, np.ones((3, 3), np.uint8))
    row, column = np.nonzero((best >= settings.min_score) & (best >= peak))
    reach = np.exp(output[C:, row, column].clip(-8.0, 5.0))
    x, y = column + 0.5, row + 0.5
    edges = np.stack([x - reach[0], y - reach[1], x + reach[2], y + reach[3]], axis=1) * STRIDE
    scores = heat[:, row, column].T
    share = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1.0)  # several classes may say yes
    return suppress(
        ImageBoxes(edges.astype(np.float32), best[row, column].astype(np.float32), share.astype(np.float32)),
        settings.overlap,
    )
