"""Obstacle points to clusters: connected cells of a bird's-eye grid, with a reach that grows with range."""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.settings import Settings

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class ClusterSettings(Settings, frozen=True):
    """cell_m: grid cell; two occupied cells that touch belong together.

    min_height_m, max_height_m: only returns between these heights above ground connect cells, so that neither kerbs nor
    tree crowns tie objects together; higher ones join the cluster that they stand over.
    reach_m: from each range (first number) on, cells within twice the second number belong together.
    min_points: smaller clusters are dropped.
    structure_height_m, structure_extent_m: what rises above this height over more than this extent is a building; its
    returns are taken out before clustering, or a wall would swallow the cars parked along it.
    """

    cell_m: float = 0.2
    min_height_m: float = 0.3
    max_height_m: float = 2.0
    reach_m: tuple[tuple[float, float], ...] = ((30.0, 0.2), (60.0, 0.4))
    min_points: int = 3
    structure_height_m: float = 2.8
    structure_extent_m: float = 14.0


class Grid(NamedTuple):
    """Square bird's-eye grid around the ego origin: `cells` by `cells`, first index along x."""

    range_m: float
    cell_m: float

    @property
    def cells(self) -> int:
        return round(2 * self.range_m / self.cell_m)

    def cells_of(self, x: FloatArray, y: FloatArray) -> IntArray:
        """(N,) flat cell number of points; those outside go to the nearest edge."""
        row, column = (
            np.clip((v + np.float32(self.range_m)) * np.float32(1 / self.cell_m), 0, self.cells - 1).astype(np.int64)
            for v in (x, y)
        )
        flat: IntArray = row * self.cells + column
        return flat


def cluster(cell: IntArray, height: FloatArray, grid: Grid, settings: ClusterSettings) -> IntArray:
    """Cluster number of each obstacle point, -1 for none.

    Args:
        cell: (N,) int64, flat cell of each point.
        height: (N,) float32, metres above ground.

    Returns:
        (N,) int64, numbers from 0 without gaps.
    """
    occupied = np.zeros((grid.cells, grid.cells), np.uint8)
    occupied.reshape(-1)[cell[height < settings.max_height_m]] = 1
    _, labels = cv2.connectedComponents(_reach(occupied, grid, settings), connectivity=8)
    label = np.where(occupied.reshape(-1)[cell], labels.reshape(-1)[cell], 0)
    count = np.bincount(label, minlength=1)
    count[0] = 0
    kept = count >= settings.min_points
    renumber = np.where(kept, np.cumsum(kept) - 1, -1)
    return np.asarray(renumber[label], dtype=np.int64)


def _reach(image: Image, grid: Grid, settings: ClusterSettings) -> Image:
    """The occupancy, widened in rings: samples of one surface lie further apart far away."""
    out = image.copy()
    for start, reach in settings.reach_m:
        size = 2 * max(1, round(reach / grid.cell_m)) + 1
        widened = cv2.dilate(image, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
        cv2.copyTo(widened, _beyond(grid, start), out)
    return out


@functools.lru_cache(maxsize=8)
def _beyond(grid: Grid, distance: float) -> Image:
    """1 for the cells farther away than ``distance``."""
    axis = (np.arange(grid.cells, dtype=np.float32) + 0.5) * grid.cell_m - grid.range_m
    return (axis[:, None] ** 2 + axis[None, :] ** 2 > distance**2).astype(np.uint8)


class Structure(NamedTuple):
    """Where returns stand as high as only buildings and trees do. Both (cells^2,), flat."""

    building: Mask  # such cells joined to something as long as a building
    around: FloatArray  # share of such cells among the cells within 1 m


def structure(cell: IntArray, height: FloatArray, grid: Grid, settings: ClusterSettings) -> Structure:
    """Args: (N,) flat cell of each return and its height above ground, metres."""
    tall = np.zeros((grid.cells, grid.cells), np.uint8)
    tall.reshape(-1)[cell[height > settings.structure_height_m]] = 1
    _, labels, stats, _ = cv2.connectedComponentsWithStats(tall, connectivity=8)
    extent = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) * grid.cell_m
    extent[0] = 0.0
    side = 2 * round(1.0 / grid.cell_m) + 1
    around = cv2.blur(tall.astype(np.float32), (side, side), borderType=cv2.BORDER_CONSTANT)
    return Structure(
        (extent > settings.structure_extent_m)[labels].reshape(-1), np.asarray(around, np.float32).reshape(-1)
    )
