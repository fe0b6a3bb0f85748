"""Ground height from one LiDAR sweep: a smooth surface under the lowest returns.

The lowest return of every cell bounds the ground from above: it lies on the ground, or on something that hides it. The
surface is therefore fitted as a lower envelope, from coarse to fine: first one plane, then smooth corrections of
shrinking width, each a normalised convolution of the residuals (Knutsson and Westin, 1993) under asymmetric weights
that forgive a residual above the surface less and less. Where no ground is seen the coarser level stands, so that the
surface continues behind a parked car and does not climb a wall.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.settings import Settings

FloatArray = npt.NDArray[np.float32]


class GroundSettings(Settings, frozen=True):
    """cell_m: size of a height cell. widths_m: smoothing widths, coarse to fine (1-sigma of the Gaussian).

    tolerance_m: height above the surface at which a cell's weight has fallen to a quarter, for the plane and for each
    width. below_m: a return this far under the current surface is taken for a reflection and ignored.
    support: weight that the coarser level has against the cells at hand, in cells.
    """

    cell_m: float = 1.0
    widths_m: tuple[float, ...] = (12.0, 5.0, 2.0)
    tolerance_m: tuple[float, ...] = (0.6, 0.5, 0.3, 0.2)
    below_m: float = 1.5
    support: float = 0.5

    def __post_init__(self) -> None:
        if not (self.cell_m > 0 and len(self.tolerance_m) == len(self.widths_m) + 1):
            raise ValueError("tolerance_m: expected one for the plane and one for each of widths_m")


def ground_grid(x: FloatArray, y: FloatArray, z: FloatArray, range_m: float, settings: GroundSettings) -> FloatArray:
    """Height of the ground on a square grid around the ego origin.

    Args:
        x, y, z: (N,) float32 each, metres, ego frame, x and y within ``range_m``.
        range_m: half the side of the grid.

    Returns:
        (K, K) float32, metres, ego frame; [i, j] is the height at
        x = (i + 0.5) cell - range, y = (j + 0.5) cell - range.
    """
    cells = int(np.ceil(2 * range_m / settings.cell_m))
    lowest = _lowest(x, y, z, range_m, cells, settings.cell_m)
    seen = np.isfinite(lowest)
    lowest[~seen] = 0.0

    centre = ((np.arange(cells) + 0.5) * settings.cell_m - range_m).astype(np.float32)
    surface = _plane(lowest, seen, centre, settings)
    for width, tolerance in zip(settings.widths_m, settings.tolerance_m[1:], strict=True):
        sigma = width / settings.cell_m
        kernel = 2 * round(sigma * np.sqrt(6.0)) + 1  # of the stack blur, which costs the same at any width
        # a kernel of this width sums to 2 pi sigma^2 cells at its peak weight: make `support` count such cells
        prior = settings.support / (2 * np.pi * sigma**2)
        for _ in range(2):
            residual = lowest - surface
            weight = _envelope_weight(residual, seen, tolerance, settings.below_m)
            total = cv2.stackBlur(weight, (kernel, kernel))
            pull = cv2.stackBlur(weight * residual, (kernel, kernel))
            surface += pull / (total + np.float32(prior))
    return surface


def _lowest(x: FloatArray, y: FloatArray, z: FloatArray, range_m: float, cells: int, cell_m: float) -> FloatArray:
    """(cells, cells) height of the lowest return of each cell, to the millimetre; inf where there is none.

    Cell and height are sorted as one integer, which is several times faster than `np.minimum.at`.
    """
    row, column = (
        ((v + np.float32(range_m)) * np.float32(1 / cell_m)).astype(np.int64).clip(0, cells - 1) for v in (x, y)
    )
    millimetres = ((z.clip(-500.0, 500.0) + 500.0) * 1000.0).astype(np.int64)
    key = np.sort(((row * cells + column) << 20) | millimetres)
    cell = key >> 20
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    lowest = np.full((cells, cells), np.inf, np.float32)
    lowest.reshape(-1)[cell[first]] = (key[first] & ((1 << 20) - 1)) / 1000.0 - 500.0
    return lowest


def _envelope_weight(
    residual: FloatArray, seen: npt.NDArray[np.bool_] | bool, tolerance: float, below: float
) -> FloatArray:
    """1 below the surface, a Geman-McClure fall-off above it, 0 where nothing was seen or far below."""
    above = np.maximum(residual, 0.0) / np.float32(tolerance)
    return np.where(seen & (residual > -below), 1.0 / (1.0 + above**2) ** 2, 0.0).astype(np.float32)


def _plane(lowest: FloatArray, seen: npt.NDArray[np.bool_], centre: FloatArray, settings: GroundSettings) -> FloatArray:
    """Plane through the lowest cells near the vehicle, by reweighted least squares from z = 0."""
    x, y = np.meshgrid(centre, centre, indexing="ij")
    near = seen & (x**2 + y**2 < 30.0**2)
    basis = np.stack([x[near], y[near], np.ones(int(near.sum()), np.float32)], axis=1).astype(np.float64)
    height = lowest[near].astype(np.float64)
    coefficients: npt.NDArray[np.float64] = np.zeros(3)
    # the mounting is known, so z = 0 under the vehicle; slopes beyond some 10 % over 30 m are left to the finer levels
    prior = np.diag([20.0**2 * 10, 20.0**2 * 10, 10.0])
    for _ in range(5):
        weight = _envelope_weight(
            (height - basis @ coefficients).astype(np.float32), True, settings.tolerance_m[0], settings.below_m
        )
        gram = basis.T @ (weight[:, None] * basis) + prior
        coefficients = np.asarray(np.linalg.solve(gram, basis.T @ (weight * height)))
    return np.asarray(x * coefficients[0] + y * coefficients[1] + coefficients[2], dtype=np.float32)
