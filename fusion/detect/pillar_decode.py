"""The answer of `PillarNet` to boxes: cells that are the peak of their neighbourhood, one for each object."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from fusion.detect.pillar_grid import RANGE_M
from fusion.detect.pillar_layout import CELL_M, FIELDS, OUTPUTS
from pipeline.core.messages import CLASSES, C

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

GROUPS: tuple[tuple[str, ...], ...] = (
    ("car", "truck", "bus", "trailer", "construction_vehicle"),
    ("pedestrian",),
    ("motorcycle", "bicycle"),
    ("traffic_cone", "barrier"),
)
"""Classes that one and the same object may be taken for: no two of a group stand in each other."""

_GROUP_IDS = tuple(tuple(CLASSES.index(name) for name in group) for group in GROUPS)
_MAX_PEAKS = 1000  # of all groups; more are a broken network or an image of noise
_SIGMA_LOG = (-5.0, 4.0)


class PillarBoxes(NamedTuple):
    """K boxes in falling order of score, ego frame.

    xy: (K, 2) m. height: (K,) of the centre above ground, m. size: (K, 3) m. yaw: (K,) rad. moved: (K, 2) m since the
    sweep before. sigma: (K, 6) 1-sigma of the place along and across the box and of its height, m; of the logarithm of
    the size; of the yaw, rad; of moved, m. class_score: (K, C) sums to 1. score: (K,) that something is there.
    """

    xy: Array
    height: Array
    size: Array
    yaw: Array
    moved: Array
    sigma: Array
    class_score: Array
    score: Array

    def pick(self, rows: IntArray) -> PillarBoxes:
        return PillarBoxes(*(part[rows] for part in self))


def decode(grid: npt.NDArray[np.float32], min_score: float, margin_m: float) -> PillarBoxes:
    """Boxes of an answer (OUTPUTS, n, n).

    Args:
        margin_m: a box whose centre lies in a better one of its group, widened by this, is the same object.
    """
    if grid.shape[0] != OUTPUTS:
        raise ValueError(f"grid: expected {OUTPUTS} channels, got {grid.shape[0]}")
    least = np.float32(np.log(min_score) - np.log1p(-min_score))
    rows, columns, groups = [], [], []
    for g, ids in enumerate(_GROUP_IDS):
        best = grid[list(ids)].max(axis=0)
        row, column = np.nonzero((best >= least) & (best >= cv2.dilate(best, np.ones((3, 3), np.uint8))))
        rows.append(row)
        columns.append(column)
        groups.append(np.full(len(row), g))
    row, column, group = (np.concatenate(parts).astype(np.int64) for parts in (rows, columns, groups))
    cell = grid[:, row, column].T.astype(np.float64)  # (K, OUTPUTS)
    member = np.zeros((len(GROUPS), C))
    for g, ids in enumerate(_GROUP_IDS):
        member[g, list(ids)] = 1.0
    p = member[group] / (1.0 + np.exp(-cell[:, :C].clip(-30.0, 30.0)))
    score = 1.0 - (1.0 - p).prod(axis=1)
    order = np.argsort(-score, kind="stable")[:_MAX_PEAKS]
    boxes = _boxes(cell[order, C:], row[order], column[order], p[order], score[order])
    boxes = boxes.pick(_distinct(boxes, group[order], margin_m))
    return boxes.pick(np.flatnonzero(np.isfinite(np.column_stack([boxes.xy, boxes.size, boxes.yaw])).all(axis=1)))


def _boxes(fields: Array, row: IntArray, column: IntArray, p: Array, score: Array) -> PillarBoxes:
    said = dict(zip(FIELDS, np.split(fields, np.cumsum(list(FIELDS.values()))[:-1], axis=1), strict=True))
    middle = (np.stack([row, column], axis=1) + 0.5) * CELL_M - RANGE_M
    axis = 0.5 * np.arctan2(said["axis"][:, 1], said["axis"][:, 0])
    forward = np.cos(axis) * said["heading"][:, 0] + np.sin(axis) * said["heading"][:, 1]
    yaw = np.where(forward < 0, axis + np.pi, axis)
    return PillarBoxes(
        xy=middle + said["offset"] * CELL_M,
        height=said["height"][:, 0],
        size=np.exp(said["log_size"].clip(-3.0, 3.5)),
        yaw=np.arctan2(np.sin(yaw), np.cos(yaw)),
        moved=said["moved"],
        sigma=np.exp(said["log_sigma"].clip(*_SIGMA_LOG)),
        class_score=p / np.maximum(p.sum(axis=1, keepdims=True), 1e-12),
        score=score,
    )


def _distinct(boxes: PillarBoxes, group: IntArray, margin_m: float) -> IntArray:
    """Which boxes stand in no better one of their group, in order."""
    left = np.ones(len(boxes.score), bool)
    cos, sin = np.cos(boxes.yaw), np.sin(boxes.yaw)
    half = boxes.size[:, :2] / 2 + margin_m
    for i in range(len(left)):
        if left[i]:
            dx, dy = (boxes.xy[i + 1 :] - boxes.xy[i]).T
            along, across = np.abs(dx * cos[i] + dy * sin[i]), np.abs(dy * cos[i] - dx * sin[i])
            left[i + 1 :] &= (along > half[i, 0]) | (across > half[i, 1]) | (group[i + 1 :] != group[i])
    return np.flatnonzero(left)
