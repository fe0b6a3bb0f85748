"""Labels of a dataset as `TruthObjects`: velocities from identities, returns counted in each box."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.core.messages import CLASSES
from pipeline.core.truth import TruthObjects

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Label:
    """One labelled box, odom frame: centre m, size length/width/height m, yaw rad of its length axis.

    identity: persistent across frames, or -1. class_name: one of CLASSES, or anything else for "none of them".
    """

    identity: int
    class_name: str
    position: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float


def truth_objects(
    labels: Sequence[Label],
    velocity: npt.NDArray[np.float32] | None = None,
    xyz: npt.NDArray[np.float32] | None = None,
    visibility: Sequence[float] | None = None,
    time_offset_ns: npt.NDArray[np.int32] | None = None,
    frame: Literal["odom", "ego"] = "odom",
) -> TruthObjects:
    """Labels of one frame. velocity (K, 2) m/s, else unknown; xyz (N, 3) the labels' frame, else lidar_points unknown.

    time_offset_ns (K,): see `TruthObjects`.
    """
    k = len(labels)
    position = np.array([label.position for label in labels], dtype=np.float64).reshape(k, 3)
    size = np.array([label.size for label in labels], dtype=np.float32).reshape(k, 3)
    yaw = np.array([label.yaw for label in labels], dtype=np.float64)
    unknown = np.full((k, 2), np.nan, np.float32)
    return TruthObjects(
        object_id=np.array([label.identity for label in labels], dtype=np.int64),
        class_id=np.array([class_id(label.class_name) for label in labels], dtype=np.int32),
        position=position,
        size=size,
        yaw=np.arctan2(np.sin(yaw), np.cos(yaw)),
        velocity=unknown if velocity is None else velocity.astype(np.float32),
        lidar_points=np.full(k, -1, np.int32) if xyz is None else points_in_boxes(xyz, position, size, yaw),
        visibility=np.full(k, np.nan, np.float32) if visibility is None else np.array(visibility, np.float32),
        frame=frame,
        time_offset_ns=np.zeros(0, np.int32) if time_offset_ns is None else time_offset_ns,
    )


def class_name(label: str, class_of_label: Mapping[str, str], outside: Collection[str], path: Path, field: str) -> str:
    """The class that a dataset's ``label`` stands for, else the label itself: neither a hit nor a miss.

    ``outside``: the dataset's labels that stand for none. One that is not among them either is warned about, once per
    file: it may be misspelt, and a label that silently does not count makes a score too good.
    """
    if label not in class_of_label and label not in outside:
        _warn_unknown(path, field, label)
    return class_of_label.get(label, label)


@functools.lru_cache(maxsize=1024)
def _warn_unknown(path: Path, field: str, label: str) -> None:
    _log.warning("%s: %s: unknown class %r: such labels count as neither hit nor miss", path, field, label)


def class_id(name: str) -> int:
    """Index into CLASSES, or -1."""
    return CLASSES.index(name) if name in CLASSES else -1


def velocities(
    frames: Sequence[Sequence[Label]], held_ns: Callable[[int], npt.NDArray[np.int64]], i: int
) -> npt.NDArray[np.float32]:
    """(K, 2) m/s of the labels of frame ``i``: central difference over its neighbours, one-sided where an object enters
    or leaves, NaN where it has no identity or is seen once.

    held_ns: frame -> (K,) the instants at which its labels hold.
    """
    around = [j for j in (i - 1, i, i + 1) if 0 <= j < len(frames)]
    seen = {
        j: {
            label.identity: (label.position, time_ns)
            for label, time_ns in zip(frames[j], held_ns(j).tolist(), strict=True)
            if label.identity >= 0
        }
        for j in around
    }
    out = np.full((len(frames[i]), 2), np.nan, np.float32)
    for row, label in enumerate(frames[i]):
        at = [j for j in around if label.identity in seen[j]]
        if len(at) >= 2:
            (first, first_ns), (last, last_ns) = seen[at[0]][label.identity], seen[at[-1]][label.identity]
            if last_ns > first_ns:
                out[row] = (np.array(last) - first)[:2] / ((last_ns - first_ns) * 1e-9)
    return out


def points_in_boxes(
    xyz: npt.NDArray[np.floating],
    position: npt.NDArray[np.float64],
    size: npt.NDArray[np.float32],
    yaw: npt.NDArray[np.float64],
) -> npt.NDArray[np.int32]:
    """(K,) int32: points (N, 3) inside each upright box (centre, length/width/height, yaw), all in one frame."""
    return np.array([len(rows) for rows in points_of_boxes(xyz, position, size, yaw)], np.int32)


def points_of_boxes(
    xyz: npt.NDArray[np.floating],
    position: npt.NDArray[np.float64],
    size: npt.NDArray[np.float32],
    yaw: npt.NDArray[np.float64],
) -> list[npt.NDArray[np.int64]]:
    """For each box the rows of the points inside; see `points_in_boxes`."""
    order = np.argsort(xyz[:, 0])
    by_x = xyz[order]
    reach = np.hypot(size[:, 0], size[:, 1]) / 2
    left = np.searchsorted(by_x[:, 0], position[:, 0] - reach)
    right = np.searchsorted(by_x[:, 0], position[:, 0] + reach)
    rows = []
    for k in range(len(position)):
        offset = by_x[left[k] : right[k]] - position[k]
        c, s = np.cos(yaw[k]), np.sin(yaw[k])
        along, across = offset[:, 0] * c + offset[:, 1] * s, offset[:, 1] * c - offset[:, 0] * s
        inside = np.abs(np.stack([along, across, offset[:, 2]])) <= size[k, :, None] / 2
        rows.append(order[left[k] : right[k]][inside.all(axis=0)])
    return rows
