"""What every 2D detector gives, and what makes one of any callable: boxes in the image, scores, classes.

def my_detector(bgr: (H, W, 3) uint8) -> ImageBoxes
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.core.messages import CLASSES, C

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

COCO_CLASSES = {0: "pedestrian", 1: "bicycle", 2: "car", 3: "motorcycle", 5: "bus", 7: "truck"}
"""COCO-80 class number -> ours; the other 74 are not looked for."""


class ImageBoxes(NamedTuple):
    """N boxes. edges: (N, 4) left, top, right, bottom, px. score: (N,) 0..1. class_score: (N, C), rows sum to <= 1."""

    edges: Array
    score: Array
    class_score: Array

    def pick(self, which: npt.NDArray[np.intp]) -> ImageBoxes:
        return ImageBoxes(self.edges[which], self.score[which], self.class_score[which])

    def moved(self, scale: float, left: float, top: float) -> ImageBoxes:
        """Found in a crop that was taken at (left, top) and scaled by 1 / ``scale``; the same in the whole image."""
        return self._replace(edges=self.edges * np.float32(scale) + np.array([left, top, left, top], np.float32))


class Detector2d(Protocol):
    def __call__(self, bgr: Image) -> ImageBoxes:
        """Boxes in one image (H, W, 3) uint8, blue-green-red."""
        ...


_PART = 0.7  # share of a box inside another that makes it a part of it
_SAME_GROUND = 0.2  # lower edges closer than this share of the height stand at the same distance

NO_BOXES = ImageBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, C), np.float32))


def concatenated(parts: list[ImageBoxes]) -> ImageBoxes:
    return ImageBoxes(*(np.concatenate(field) for field in zip(NO_BOXES, *parts, strict=True)))


def from_coco(edges: Array, score: Array, coco_score: Array) -> ImageBoxes:
    """Boxes with our class probabilities from (N, 80) COCO ones, normalised over all 80; other classes' boxes go."""
    ours = np.zeros((len(score), C), np.float32)
    ours[:, [CLASSES.index(name) for name in COCO_CLASSES.values()]] = coco_score[:, list(COCO_CLASSES)]
    total = coco_score.sum(axis=1, keepdims=True)
    wanted = np.isin(coco_score.argmax(axis=1), list(COCO_CLASSES)) if len(score) else np.zeros(0, bool)
    boxes = ImageBoxes(edges, score, ours / np.maximum(total, 1e-9))
    return boxes.pick(np.flatnonzero(wanted))


def suppress(boxes: ImageBoxes, overlap: float) -> ImageBoxes:
    """Non-maximum suppression across all classes, best first: a box goes when it shows the same object as a better one.

    It does when intersection over union is above ``overlap``, or when most of the smaller lies in the other and both
    stand on the same line: then it is a part, as crops find them. One that stands higher is an object behind.
    """
    order = np.argsort(-boxes.score, kind="stable")
    left, top, right, bottom = boxes.edges[order].T
    height = np.maximum(bottom - top, 1e-3)
    area = np.maximum(right - left, 1e-3) * height
    kept: list[int] = []
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(i)
        across = np.minimum(right, right[i]) - np.maximum(left, left[i])
        along = np.minimum(bottom, bottom[i]) - np.maximum(top, top[i])
        shared = np.maximum(across, 0) * np.maximum(along, 0)
        same = shared / (area + area[i] - shared) > overlap
        level = np.abs(bottom - bottom[i]) < _SAME_GROUND * np.maximum(height, height[i])
        alive &= ~(same | (level & (shared / np.minimum(area, area[i]) > _PART)))
    return boxes.pick(order[kept])
