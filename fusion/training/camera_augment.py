"""Variation of labelled images: scale, crop, mirror, light, blur, noise and re-compression."""

from __future__ import annotations

import cv2
import numpy as np

from fusion.detect.image_boxes import Image
from fusion.training.images import LabelledImage

_ON_AN_OBJECT = 0.75  # share of views
_SEEN = 0.25


def varied(image: LabelledImage, height: int, width: int, rng: np.random.Generator) -> tuple[Image, LabelledImage]:
    """A random view of an image, (height, width, 3), and the labels as they stand in it."""
    bgr = image.pixels()
    scale = float(np.exp(rng.uniform(np.log(0.5), np.log(1.6))))
    rows = min(round(height / scale), bgr.shape[0])
    columns = min(round(width / scale * float(np.exp(rng.normal(0.0, 0.04)))), bgr.shape[1])
    left, top = _corner(bgr.shape[0] - rows, bgr.shape[1] - columns, image, (rows, columns), rng)
    how = cv2.INTER_AREA if rows > height else cv2.INTER_LINEAR
    crop = bgr[top : top + rows, left : left + columns]
    view = np.asarray(cv2.resize(crop, (width, height), interpolation=how), np.uint8)
    across, along = width / columns, height / rows
    edges = (image.edges - np.array([left, top] * 2, np.float32)) * np.array([across, along] * 2, np.float32)
    if rng.random() < 0.5:
        view = view[:, ::-1]
        edges = np.stack([width - edges[:, 2], edges[:, 1], width - edges[:, 0], edges[:, 3]], axis=1)
    whole = np.maximum((edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1]), 1.0)
    inside = edges.clip(0, [width, height, width, height])
    left_over = (inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1]) / whole
    kept = left_over > 0.02
    visible = (image.visible * left_over)[kept]
    return _relit(view, rng), LabelledImage(image.jpeg, inside[kept], image.class_id[kept], visible)


def _corner(
    spare_rows: int, spare_columns: int, image: LabelledImage, size: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int]:
    """Left and top of a crop of ``size`` (rows, columns): mostly one with an object in it, since most of an image is
    sky and road."""
    left, top = int(rng.integers(0, spare_columns + 1)), int(rng.integers(0, spare_rows + 1))
    seen = np.flatnonzero(image.visible >= _SEEN)
    if len(seen) and rng.random() < _ON_AN_OBJECT:
        box = image.edges[seen[rng.integers(len(seen))]]
        x, y = rng.uniform(box[:2], np.maximum(box[2:], box[:2] + 1e-3)).tolist()
        left = int(np.clip(x - rng.uniform(0.1, 0.9) * size[1], 0, spare_columns))
        top = int(np.clip(y - rng.uniform(0.1, 0.9) * size[0], 0, spare_rows))
    return left, top


def _relit(bgr: Image, rng: np.random.Generator) -> Image:
    out = bgr.astype(np.float32)
    if rng.random() < 0.8:
        out *= rng.uniform(0.6, 1.4) * rng.uniform(0.85, 1.15, size=3).astype(np.float32)
        out = (out - out.mean()) * np.float32(rng.uniform(0.7, 1.3)) + out.mean()
    if rng.random() < 0.3:
        grey = out.mean(axis=2, keepdims=True)
        out = grey + (out - grey) * np.float32(rng.uniform(0.0, 1.5))
    if rng.random() < 0.25:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 1.6))), np.float32)
    if rng.random() < 0.4:
        out += np.float32(rng.uniform(1.0, 10.0)) * rng.standard_normal(out.shape, np.float32)
    return out.clip(0, 255).astype(np.uint8)
