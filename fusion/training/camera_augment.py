"""Variation of labelled images: scale, crop, mirror, light, blur, noise and re-compression."""

from __future__ import annotations

import cv2
import numpy as np

from fusion.detect.image_boxes import Image
from fusion.training.images import LabelledImage


def varied(image: LabelledImage, height: int, width: int, rng: np.random.Generator) -> tuple[Image, LabelledImage]:
    """A random view of an image, (height, width, 3), and the labels as they stand in it."""
    bgr = image.pixels()
    scale = float(np.exp(rng.uniform(np.log(0.65), np.log(1.7))))
    scale = max(scale, height / bgr.shape[0], width / bgr.shape[1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    bgr = np.asarray(cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=how), np.uint8)
    bgr = np.pad(bgr, [(0, max(height - bgr.shape[0], 0)), (0, max(width - bgr.shape[1], 0)), (0, 0)])
    left = int(rng.integers(0, bgr.shape[1] - width + 1))
    top = int(rng.integers(0, bgr.shape[0] - height + 1))
    view = bgr[top : top + height, left : left + width]
    edges = image.edges * np.float32(scale) - np.array([left, top, left, top], np.float32)
    if rng.random() < 0.5:
        view = view[:, ::-1]
        edges = np.stack([width - edges[:, 2], edges[:, 1], width - edges[:, 0], edges[:, 3]], axis=1)
    whole = np.maximum((edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1]), 1.0)
    inside = edges.clip(0, [width, height, width, height])
    left_over = (inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1]) / whole
    kept = left_over > 0.02
    visible = (image.visible * left_over)[kept]
    return _relit(view, rng), LabelledImage(image.jpeg, inside[kept], image.class_id[kept], visible)


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
        out += rng.normal(0.0, rng.uniform(1.0, 10.0), out.shape).astype(np.float32)
    return out.clip(0, 255).astype(np.uint8)
