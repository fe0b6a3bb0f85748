"""Variation of labelled sweeps: turn, mirror, scale, fewer beams, fewer points, a narrower view, an uneven ground.

What differs from LiDAR to LiDAR and from street to street is varied beyond what the simulator draws, so that the
network may not rely on it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.detect.pillar_grid import EARLIER_EDGES_M, EDGES_M, occupancy, pillars
from fusion.training.sweeps import UNIT_M, LabelledSweep

Points = npt.NDArray[np.float32]


class View(NamedTuple):
    """occupied: as the network reads it. The others: as in `LabelledSweep`; gap_s is 0 where the sweep before is left
    out."""

    occupied: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int32]
    points: npt.NDArray[np.int32]
    gap_s: float


def varied(sweep: LabelledSweep, rng: np.random.Generator) -> View:
    """A random view of a sweep."""
    how = _thinning(sweep.now, rng)
    left = [_thinned(points, how) for points in (sweep.now, sweep.before)]
    before = len(left[1]) > 0 and rng.random() < 0.7
    share = len(left[0]) / max(int(_in_view(sweep.now, how).sum()), 1)
    seen = (sweep.points > 0) & _in_view(sweep.boxes[:, :2], how)
    points = np.where(seen, np.maximum(np.rint(sweep.points * share), 1), 0).astype(np.int32)
    move, turn, mirror, scale = _move(rng)
    tilt, rise = rng.normal(0.0, 0.002, 2).astype(np.float32), np.float32(rng.normal(0.0, 0.04))
    tall = np.float32(rng.uniform(0.95, 1.05))
    placed = []
    for part, edges in zip(left[: 1 + before], (EDGES_M, EARLIER_EDGES_M), strict=False):
        xyh = part[:, :3].astype(np.float32) * np.float32(UNIT_M)
        height = np.asarray(xyh[:, 2] * tall + xyh[:, :2] @ tilt + rise, np.float32)
        x, y = (xyh[:, :2] @ move.T).T
        placed.append(pillars(x, y, height, edges))
    grid = occupancy(*placed)

    boxes = sweep.boxes.copy()
    boxes[:, :2] = boxes[:, :2] @ move.T
    boxes[:, 7:9] = boxes[:, 7:9] @ move.T
    boxes[:, 2] = boxes[:, 2] * tall + rise
    boxes[:, 3:5] *= scale
    boxes[:, 5] *= tall
    boxes[:, 6] = mirror * boxes[:, 6] + turn
    return View(grid, boxes, sweep.class_id, points, sweep.gap_s if before else 0.0)


def plain(sweep: LabelledSweep, before: bool = True) -> View:
    """The sweep as it is."""
    before = before and len(sweep.before) > 0
    placed = []
    for part, edges in zip((sweep.now, sweep.before)[: 1 + before], (EDGES_M, EARLIER_EDGES_M), strict=False):
        x, y, height = part[:, :3].T.astype(np.float32) * np.float32(UNIT_M)
        placed.append(pillars(x, y, height, edges))
    grid = occupancy(*placed)
    return View(grid, sweep.boxes, sweep.class_id, sweep.points, sweep.gap_s if before else 0.0)


def _move(rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], float, float, float]:
    """(2, 2) that turns, mirrors and scales the plane, and its parts: turn rad, mirror +-1, scale.

    Mostly turned a little only: roads run ahead more often than across.
    """
    turn = float(rng.normal(0.0, 0.3) if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi))
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    scale = float(rng.uniform(0.92, 1.08))
    cos, sin = np.cos(turn), np.sin(turn)
    return (scale * np.array([[cos, -mirror * sin], [sin, mirror * cos]])).astype(np.float32), turn, mirror, scale


class _Thinning(NamedTuple):
    """Which points are left, the same for both sweeps. every, first: of the beams; share: of the points.

    middle, half: of the azimuths that are seen, rad. seed: of which points are lost.
    """

    every: int
    first: int
    share: float
    middle: float
    half: float
    seed: int


def _thinning(points: npt.NDArray[np.int16], rng: np.random.Generator) -> _Thinning:
    beams = int(points[:, 3].max(initial=0)) + 1
    every = int(rng.choice([1, 2, 4] if beams >= 48 else [1, 2])) if beams >= 32 and rng.random() < 0.4 else 1
    share = float(rng.uniform(0.4, 1.0)) if rng.random() < 0.5 else 1.0
    half = float(rng.uniform(0.5, 2.0)) if rng.random() < 0.1 else 4.0
    first, middle, seed = int(rng.integers(4)), float(rng.uniform(-np.pi, np.pi)), int(rng.integers(2**31))
    return _Thinning(every, first, share, middle, half, seed)


def _thinned(points: npt.NDArray[np.int16], how: _Thinning) -> npt.NDArray[np.int16]:
    kept = np.ones(len(points), bool)
    if how.every > 1:
        kept &= (points[:, 3] + how.first) % how.every == 0
    if how.share < 1.0:
        kept &= np.random.default_rng(how.seed).random(len(points), np.float32) < how.share
    return points[kept & _in_view(points, how)]


def _in_view(xy: npt.NDArray[Any], how: _Thinning) -> npt.NDArray[np.bool_]:
    """(N,) of points (N, 2+)."""
    if how.half >= np.pi:
        return np.ones(len(xy), bool)
    away = np.arctan2(xy[:, 1].astype(np.float32), xy[:, 0].astype(np.float32)) - how.middle
    return np.abs((away + np.pi) % (2 * np.pi) - np.pi) < how.half
