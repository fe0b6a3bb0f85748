"""LiDAR points to the dense bird's-eye occupancy that the pillar network reads.

A pillar is a square cell of ground, cut by height into slices; what the network is told of it is which slices hold a
return (Yang et al., PIXOR, 2018). No counts and no intensities: those tell one LiDAR from another rather than one thing
from another, and a network trained on some LiDARs has to work with the next. The pillars of a 4 x 4 block are laid
behind one another as channels, so that the network's first layer is an ordinary one by one convolution, and no scatter
operator stands in its graph: the scatter is one indexed assignment here.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

RANGE_M = 64.0
"""Half the side of the square around the vehicle."""
PILLAR_M = 0.25
BLOCK = 4
"""Pillars along the side of a block, whose channels lie at one place of the network's input."""
BLOCKS = round(2 * RANGE_M / (PILLAR_M * BLOCK))
"""Blocks along the side of the square."""

EDGES_M = (-0.3, 0.15, 0.4, 0.7, 1.05, 1.4, 1.8, 2.5, 3.5)
"""Between which heights above ground the slices of a sweep lie; what is above the last belongs to the last."""
EARLIER_EDGES_M = (0.25, 0.9, 1.8)
"""The same of the sweep before, coarser: it only says what has moved."""

CHANNELS = BLOCK * BLOCK * (len(EDGES_M) + len(EARLIER_EDGES_M))
_LOWEST_M, _HIGHEST_M, _STEP_M = -0.3, 6.0, 0.05


class Pillars(NamedTuple):
    """Where the points of a sweep fell. cell: (N,) int32 flat number of the pillar, row along x; -1 outside, or not
    finite. slice: (N,) int8, -1 = lower than all or far above."""

    cell: IntArray
    slice: npt.NDArray[np.int8]


def pillars(x: Points, y: Points, height: Points, edges: tuple[float, ...] = EDGES_M) -> Pillars:
    """Args: (N,) float32 each: metres, ego frame; height above ground. NaN belongs nowhere."""
    with np.errstate(invalid="ignore", over="ignore"):  # what lies too far out to compute with is left out anyway
        inside = (np.abs(x) < RANGE_M) & (np.abs(y) < RANGE_M)
        row, column = (np.where(inside, (v + np.float32(RANGE_M)) * np.float32(1 / PILLAR_M), 0) for v in (x, y))
        side = BLOCKS * BLOCK
        # a point just inside the far edge may round onto it
        cell = np.minimum(row.astype(np.int32), side - 1) * np.int32(side) + np.minimum(
            column.astype(np.int32), side - 1
        )
        step = np.where((height >= _LOWEST_M) & (height < _HIGHEST_M), (height - _LOWEST_M) * (1 / _STEP_M), -1.0)
    return Pillars(np.where(inside, cell, -1).astype(np.int32), _slices(edges)[step.astype(np.int16)])


def occupancy(now: Pillars, before: Pillars | None = None, *, channels_last: bool = False) -> npt.NDArray[np.uint8]:
    """(CHANNELS, BLOCKS, BLOCKS) uint8, 1 where a slice of a pillar holds a return; first axis of a map along x.
    (BLOCKS, BLOCKS, CHANNELS) with the channels last.

    Channel (slice * BLOCK + row in block) * BLOCK + column in block; the slices of the sweep before follow.
    """
    out = np.zeros((BLOCKS, BLOCKS, CHANNELS) if channels_last else (CHANNELS, BLOCKS, BLOCKS), np.uint8)
    flat, place = out.reshape(-1), _places(channels_last)
    step = BLOCK * BLOCK * (1 if channels_last else BLOCKS * BLOCKS)
    for part, first in ((now, 0), (before, len(EDGES_M))):
        if part is not None:
            used = np.flatnonzero((part.cell >= 0) & (part.slice >= 0))
            flat[(part.slice[used].astype(np.int32) + first) * step + place[part.cell[used]]] = 1
    return out


@functools.cache
def _slices(edges: tuple[float, ...]) -> npt.NDArray[np.int8]:
    """Slice of each step of height; the last entry, which -1 finds, is for heights that belong to none."""
    middle = _LOWEST_M + (np.arange(round((_HIGHEST_M - _LOWEST_M) / _STEP_M)) + 0.5) * _STEP_M
    return np.append(np.searchsorted(edges, middle, side="right") - 1, -1).astype(np.int8)


@functools.cache
def _places(channels_last: bool) -> IntArray:
    """Where each pillar lies in the channels of one slice, flat."""
    row, column = np.divmod(np.arange((BLOCKS * BLOCK) ** 2, dtype=np.int64), BLOCKS * BLOCK)
    channel = (row % BLOCK) * BLOCK + column % BLOCK
    block = row // BLOCK * BLOCKS + column // BLOCK
    return np.asarray(block * CHANNELS + channel if channels_last else channel * BLOCKS**2 + block, np.int32)
