"""How well a 2D detector does on labelled images: average precision per class, by height and by what the weather is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.detect.image_boxes import Detector2d
from fusion.training.images import CONDITIONS, LabelledImage
from pipeline.core.messages import CLASSES

_HEIGHTS_PX = (8, 16, 32, 64, 10_000)
_MIN_VISIBLE = 0.25


class _Box(NamedTuple):
    """A label that counts, or a box that was said. height: px, of the label where it was hit. score: -1 of a label."""

    class_id: int
    height: float
    conditions: str
    score: float = -1.0
    hit: bool = False


def score(
    detector: Detector2d,
    images: Sequence[LabelledImage],
    overlap: float = 0.5,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """`AP class`: area under precision over recall at this intersection over union (VOC, all points); `labels class`:
    on how many; `mAP` over the classes there are. `AP 16-32 px`, `AP fog`: over the boxes of all classes together that
    are so high, or in such weather; a box must have the right class all the same.

    Labels of which less than a quarter can be seen, or that are lower than 8 px, count neither way.
    """
    labels: list[_Box] = []
    said: list[_Box] = []
    for number, image in enumerate(images):
        in_labels, in_said = _matched(detector, image, overlap)
        labels += in_labels
        said += in_said
        progress(number + 1)
    out: dict[str, float] = {}
    for c, name in enumerate(CLASSES):
        here = [box for box in labels if box.class_id == c]
        if here:
            out[f"AP {name}"] = _average_precision([box for box in said if box.class_id == c], len(here))
    whole = {"mAP": float(np.mean(list(out.values()))) if out else 0.0}
    whole |= out | {f"labels {name}": sum(b.class_id == c for b in labels) for c, name in enumerate(CLASSES)}
    for low, high in itertools.pairwise(_HEIGHTS_PX):
        part = [[box for box in boxes if low <= box.height < high] for boxes in (said, labels)]
        whole[f"AP {low}-{high} px"] = _average_precision(part[0], len(part[1]))
    for word in CONDITIONS:
        part = [[box for box in boxes if box.conditions == word] for boxes in (said, labels)]
        whole[f"AP {word}"] = _average_precision(part[0], len(part[1]))
    return whole


def _matched(detector: Detector2d, image: LabelledImage, overlap: float) -> tuple[list[_Box], list[_Box]]:
    """The labels that count, and what the detector said; what it said of those that do not count is left out."""
    boxes = detector(image.pixels())
    height = image.edges[:, 3] - image.edges[:, 1]
    counts = (image.visible >= _MIN_VISIBLE) & (height >= _HEIGHTS_PX[0])
    iou = _iou(boxes.edges, image.edges)
    class_id = boxes.class_score.argmax(axis=1)
    taken = np.zeros(len(height), bool)
    said = []
    for i in np.argsort(-boxes.score):
        same = np.where((image.class_id == class_id[i]) & ~taken, iou[i], 0.0)
        best = int(same.argmax()) if len(same) else -1
        hit = best >= 0 and bool(same[best] >= overlap)
        if hit:
            taken[best] = True
        if counts[best] if hit else not (iou[i][~counts] > 0.3).any():
            tall = float(height[best] if hit else boxes.edges[i, 3] - boxes.edges[i, 1])
            said.append(_Box(int(class_id[i]), tall, image.conditions, float(boxes.score[i]), hit))
    labels = [_Box(int(image.class_id[k]), float(height[k]), image.conditions) for k in np.flatnonzero(counts)]
    return labels, said


def _average_precision(said: list[_Box], labels: int) -> float:
    """NaN where there is nothing to find."""
    if not labels:
        return float("nan")
    if not said:
        return 0.0
    hit = np.array([box.hit for box in sorted(said, key=lambda box: -box.score)])
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * hit).sum() / labels)


def _iou(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, K) intersection over union of boxes (N, 4) and (K, 4)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    areas = [np.maximum((x[:, 2:] - x[:, :2]), 0).prod(axis=1) for x in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-6), np.float32)
