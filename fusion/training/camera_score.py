"""How well a 2D detector does on labelled images: average precision per class, recall by height."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fusion.detect.image_boxes import Detector2d
from fusion.training.images import LabelledImage
from pipeline.core.messages import CLASSES

_HEIGHTS_PX = (8, 16, 32, 64, 10_000)
_MIN_VISIBLE = 0.25


def score(detector: Detector2d, images: Sequence[LabelledImage], overlap: float = 0.5) -> dict[str, float]:
    """`AP class`: area under precision over recall at this intersection over union (VOC, all points), `mAP` over the
    classes there are, `recall 16-32 px`: of objects of any class by their height, at a score of at least 0.3.

    Objects of which less than a quarter can be seen, or that are lower than 8 px, count neither way.
    """
    found: dict[int, list[tuple[float, bool]]] = {c: [] for c in range(len(CLASSES))}
    wanted = np.zeros(len(CLASSES), np.int64)
    by_height = np.zeros((len(_HEIGHTS_PX) - 1, 2), np.int64)
    for image in images:
        boxes = detector(image.pixels())
        height = image.edges[:, 3] - image.edges[:, 1]
        counts = (image.visible >= _MIN_VISIBLE) & (height >= _HEIGHTS_PX[0])
        iou = _iou(boxes.edges, image.edges)
        said = boxes.class_score.argmax(axis=1) if len(boxes.score) else np.zeros(0, np.int64)
        np.add.at(wanted, image.class_id[counts], 1)
        taken = np.zeros(len(height), bool)
        seen = np.zeros(len(height), bool)
        for i in np.argsort(-boxes.score):
            same = np.where((image.class_id == said[i]) & ~taken, iou[i], 0.0)
            best = int(same.argmax()) if len(same) else -1
            if best >= 0 and same[best] >= overlap:
                taken[best] = True
                seen[best] |= boxes.score[i] >= 0.3
                if counts[best]:
                    found[int(said[i])].append((float(boxes.score[i]), True))
            elif not (iou[i][~counts] > 0.3).any():
                found[int(said[i])].append((float(boxes.score[i]), False))
        place = np.digitize(height, _HEIGHTS_PX) - 1
        for k in np.flatnonzero(counts):
            by_height[place[k]] += [1, int(seen[k])]
    out = {f"AP {CLASSES[c]}": _average_precision(found[c], int(wanted[c])) for c in np.flatnonzero(wanted).tolist()}
    out["mAP"] = float(np.mean(list(out.values()))) if out else 0.0
    for (low, high), (total, hits) in zip(itertools.pairwise(_HEIGHTS_PX), by_height, strict=True):
        out[f"recall {low}-{high} px"] = float(hits / total) if total else float("nan")
    return out


def _average_precision(found: list[tuple[float, bool]], wanted: int) -> float:
    if not found:
        return 0.0
    hit = np.array([is_hit for _, is_hit in sorted(found, key=lambda f: -f[0])])
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * hit).sum() / wanted)


def _iou(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, K) intersection over union of boxes (N, 4) and (K, 4)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    areas = [np.maximum((x[:, 2:] - x[:, :2]), 0).prod(axis=1) for x in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-6), np.float32)
