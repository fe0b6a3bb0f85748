"""Labelled images on disk: a folder of `.npz` parts, JPEG bytes and boxes one after the other, without pickles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from fusion.detect.image_boxes import Image
from fusion.training.parts import part_names, write_arrays
from pipeline.core.bounded import read_npz
from pipeline.core.errors import BadInput

VERSION = 2
_MAX_PART_BYTES = 1 << 30
_FIELDS = {
    "version": ("<i8", ()),
    "jpeg": ("|u1", (None,)),
    "jpeg_ends": ("<i8", (None,)),
    "box_ends": ("<i8", (None,)),
    "edges": ("<f4", (None, 4)),
    "class_id": ("<i4", (None,)),
    "visible": ("<f4", (None,)),
    "conditions": ("|u1", (None,)),
}
CONDITIONS = ("clear", "rain", "fog", "snow", "night")
"""What most says how well one sees; night counts more than what falls in it."""


class LabelledImage(NamedTuple):
    """jpeg: (n,) uint8. edges: (K, 4) float32 left, top, right, bottom, px. class_id: (K,) int32, index into CLASSES.
    visible: (K,) float32, share of the object that can be seen, 0..1. conditions: of `CONDITIONS`."""

    jpeg: npt.NDArray[np.uint8]
    edges: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int32]
    visible: npt.NDArray[np.float32]
    conditions: str = CONDITIONS[0]

    def pixels(self) -> Image:
        """(H, W, 3) uint8, blue-green-red.

        Raises:
            BadInput: the bytes are no image.
        """
        bgr = cv2.imdecode(self.jpeg, cv2.IMREAD_COLOR)
        if bgr is None:
            raise BadInput("labelled image", "jpeg", "an image", f"{len(self.jpeg)} bytes that are none")
        return np.asarray(bgr, np.uint8)


def write_part(path: Path, images: Sequence[LabelledImage]) -> None:
    """One part of a folder; it appears under its name only when it is whole."""
    write_arrays(path, {
        "version": np.int64(VERSION),
        "jpeg": np.concatenate([image.jpeg for image in images]),
        "jpeg_ends": np.cumsum([len(image.jpeg) for image in images]),
        "box_ends": np.cumsum([len(image.edges) for image in images]),
        "edges": np.concatenate([image.edges for image in images]),
        "class_id": np.concatenate([image.class_id for image in images]),
        "visible": np.concatenate([image.visible for image in images]),
        "conditions": np.array([CONDITIONS.index(image.conditions) for image in images], np.uint8),
    })  # fmt: skip


def read_folder(folder: Path) -> list[LabelledImage]:
    """All images of a folder, in order of its parts.

    Raises:
        BadInput: no part, or one that is truncated, too large, or not of this form.
    """
    return [image for path in part_names(folder) for image in _read_part(path)]


def _read_part(path: Path) -> list[LabelledImage]:
    arrays = read_npz(path, _FIELDS, _MAX_PART_BYTES, same_length=False)
    if int(arrays["version"]) != VERSION:
        raise BadInput(path, "version", str(VERSION), int(arrays["version"]))
    jpeg_ends, box_ends = arrays["jpeg_ends"], arrays["box_ends"]
    for ends, total in ((jpeg_ends, len(arrays["jpeg"])), (box_ends, len(arrays["edges"]))):
        if len(ends) != len(jpeg_ends) or (np.diff(ends, prepend=0) < 0).any() or (len(ends) and ends[-1] != total):
            raise BadInput(path, "ends", f"rising up to {total}", ends[-3:])
    words = arrays["conditions"]
    if len(words) != len(jpeg_ends) or (words >= len(CONDITIONS)).any():
        raise BadInput(path, "conditions", f"{len(jpeg_ends)} below {len(CONDITIONS)}", words[:3])
    jpegs = np.split(arrays["jpeg"], jpeg_ends[:-1])
    boxes = [np.split(arrays[name], box_ends[:-1]) for name in ("edges", "class_id", "visible")]
    rows = zip(jpegs, *boxes, words.tolist(), strict=True)
    return [LabelledImage(jpeg, edges, kind, visible, CONDITIONS[word]) for jpeg, edges, kind, visible, word in rows]
