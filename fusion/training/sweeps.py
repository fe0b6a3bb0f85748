"""Labelled LiDAR sweeps on disk: a folder of `.npz` parts, points and boxes one after the other, without pickles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.training.parts import part_names, write_arrays
from pipeline.core.bounded import read_npz
from pipeline.core.errors import BadInput

VERSION = 1
UNIT_M = 0.01
"""Metres for 1 of a stored coordinate."""

_MAX_PART_BYTES = 1 << 30
_FIELDS = {
    "version": ("<i8", ()),
    "now": ("<i2", (None, 4)),
    "now_ends": ("<i8", (None,)),
    "before": ("<i2", (None, 4)),
    "before_ends": ("<i8", (None,)),
    "gap_s": ("<f4", (None,)),
    "boxes": ("<f4", (None, 9)),
    "class_id": ("<i4", (None,)),
    "points": ("<i4", (None,)),
    "box_ends": ("<i8", (None,)),
}


class LabelledSweep(NamedTuple):
    """A sweep, an earlier one, and what they saw; all in the ego frame at the end of the sweep, as if nothing but the
    vehicle had moved.

    now: (N, 4) int16: x, y and height above the ground in units of `UNIT_M`, beam number. before: (M, 4) int16, the
    same of the sweep that ended gap_s earlier; M may be 0. boxes: (K, 9) float32: x, y, height of the centre above the
    ground, length, width, height, m; yaw, rad; velocity over ground x, y, m/s, NaN unknown; each where it was when its
    returns were measured. class_id: (K,) int32, index into CLASSES. points: (K,) int32, its returns in ``now``.
    """

    now: npt.NDArray[np.int16]
    before: npt.NDArray[np.int16]
    gap_s: float
    boxes: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int32]
    points: npt.NDArray[np.int32]


def write_part(path: Path, sweeps: Sequence[LabelledSweep]) -> None:
    """One part of a folder; it appears under its name only when it is whole."""
    write_arrays(path, {
        "version": np.int64(VERSION),
        "now": np.concatenate([sweep.now for sweep in sweeps]),
        "now_ends": np.cumsum([len(sweep.now) for sweep in sweeps]),
        "before": np.concatenate([sweep.before for sweep in sweeps]),
        "before_ends": np.cumsum([len(sweep.before) for sweep in sweeps]),
        "gap_s": np.array([sweep.gap_s for sweep in sweeps], np.float32),
        "boxes": np.concatenate([sweep.boxes for sweep in sweeps]),
        "class_id": np.concatenate([sweep.class_id for sweep in sweeps]),
        "points": np.concatenate([sweep.points for sweep in sweeps]),
        "box_ends": np.cumsum([len(sweep.boxes) for sweep in sweeps]),
    })  # fmt: skip


def read_folder(folder: Path) -> list[LabelledSweep]:
    """All sweeps of a folder, in order of its parts.

    Raises:
        BadInput: no part, or one that is truncated, too large, or not of this form.
    """
    return [sweep for path in part_names(folder) for sweep in read_part(path)]


def read_part(path: Path) -> list[LabelledSweep]:
    """The sweeps of one part.

    Raises:
        BadInput: truncated, too large, or not of this form.
    """
    arrays = read_npz(path, _FIELDS, _MAX_PART_BYTES, same_length=False)
    if int(arrays["version"]) != VERSION:
        raise BadInput(path, "version", str(VERSION), int(arrays["version"]))
    count = len(arrays["gap_s"])
    columns = {"now": ("now",), "before": ("before",), "box": ("boxes", "class_id", "points")}
    parts = {}
    for ends_of, names in columns.items():
        ends = arrays[f"{ends_of}_ends"]
        for name in names:
            total = len(arrays[name])
            if len(ends) != count or (np.diff(ends, prepend=0) < 0).any() or (count and ends[-1] != total):
                raise BadInput(path, f"{ends_of}_ends", f"{count} numbers rising up to {total}", ends[-3:])
            parts[name] = np.split(arrays[name], ends[:-1])
    return [
        LabelledSweep(*fields)
        for fields in zip(
            parts["now"], parts["before"], arrays["gap_s"].tolist(), parts["boxes"], parts["class_id"], parts["points"],
            strict=True,
        )
    ]  # fmt: skip
