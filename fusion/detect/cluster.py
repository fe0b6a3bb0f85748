"""Obstacle points to clusters: connected cells of a bird's-eye grid, with a reach that grows with range."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.settings import Settings

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Image = npt.NDArray[np.uint8]


class ClusterSettings(Settings, frozen=True):
    """cell_m: grid cell; two occupied cells that touch belong together.

    min_height_m, max_height_m: only returns between these heights above ground connect cells, so that neither kerbs nor
    tree crowns tie objects together; higher ones join the cluster that they stand over.
    reach_m: from each range (first number) on, cells within twice the second number belong together.
    structure_height_m, structure_extent_m: what rises above this height over more than this extent is a building, and
    its cells are taken out before clustering, or a wall would swallow the cars parked along it.
    min_points: smaller clusters are dropped.
    """

    cell_m: float = 0.2
    min_height_m: float = 0.3
    max_height_m: float = 2.5
    reach_m: tuple[tuple[float, float], ...] = ((30.0, 0.2), (60.0, 0.4))
    structure_height_m: float = 2.8
    structure_extent_m: float = 14.0
    min_points: int = 5


class Grid(NamedTuple):
    """Square bird's-eye grid around the ego origin: `cells` by `cells`, first index along x."""

    range_m: float
    cell_m: float
    cells: int

    def cells_of(self, xy: FloatArray) -> IntArray:
        """(N,) flat cell number of (N, 2) points; points outside go to the nearest edge."""
        at = ((xy + np.float32(self.range_m)) * np.float32(1 / self.cell_m)).astype(np.int64)
        np.clip(at, 0, self.cells - 1, out=at)
        return at[:, 0] * self.cells + at[:, 1]


def cluster(cell: IntArray, height: FloatArray, grid: Grid, settings: ClusterSettings) -> IntArray:
    """Cluster number of each obstacle point, -1 for none.

    Args:
        cell: (N,) int64, flat cell of each point.
        height: (N,) float32, metres above ground.

    Returns:
        (N,) int64, numbers from 0 without gaps.
    """
    occupied = np.zeros((grid.cells, grid.cells), np.uint8)
    occupied.reshape(-1)[cell[(height > settings.min_height_m) & (height < settings.max_height_m)]] = 1
    occupied[_structure(cell, height, grid, settings)] = 0
    _, labels = cv2.connectedComponents(_reach(occupied, grid, settings), connectivity=8)
    labels[occupied == 0] = 0

    label = labels.reshape(-1)[cell]
    count = np.bincount(label, minlength=1)
    count[0] = 0
    kept = count >= settings.min_points
    renumber = np.where(kept, np.cumsum(kept) - 1, -1)
    return np.asarray(renumber[label], dtype=np.int64)


def _reach(image: Image, grid: Grid, settings: ClusterSettings) -> Image:
    """The occupancy, widened in rings: samples of one surface lie further apart far away."""
    axis = (np.arange(grid.cells, dtype=np.float32) + 0.5) * grid.cell_m - grid.range_m
    squared = axis[:, None] ** 2 + axis[None, :] ** 2
    out = image.copy()
    for start, reach in settings.reach_m:
        size = 2 * max(1, round(reach / grid.cell_m)) + 1
        widened = cv2.dilate(image, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
        np.copyto(out, widened, where=squared > start**2)
    return out


def _structure(cell: IntArray, height: FloatArray, grid: Grid, settings: ClusterSettings) -> npt.NDArray[np.bool_]:
    """The cells that belong to something as tall and as long as a building."""
    tall = np.zeros(grid.cells**2, np.uint8)
    tall[cell[height > settings.structure_height_m]] = 1
    joined = cv2.dilate(tall.reshape(grid.cells, grid.cells), np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    extent = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) * grid.cell_m
    extent[0] = 0.0
    return np.asarray((extent > settings.structure_extent_m)[labels])
