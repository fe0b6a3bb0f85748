"""Trains the pillar network from a folder of labelled sweeps.

One seed, one result; goes on where it was stopped. `lidar_calibrate` makes its scores and sigmas honest and
`lidar_export` writes it as ONNX.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fusion.detect.pillar_grid import RANGE_M
from fusion.detect.pillar_layout import AWAY, CELL_M, CELLS
from fusion.detect.pillar_net import PillarNet
from fusion.training.lidar_augment import View, varied
from fusion.training.lidar_targets import MIN_POINTS, Targets, loss, targets, total
from fusion.training.loop import Run, Schedule, load_averaged
from fusion.training.sweeps import LabelledSweep, read_folder


class LidarTraining(Schedule, frozen=True):
    """A sample is a random crop. crop: its side, cells. crops: from each view of a sweep. width: of the network."""

    steps: int = 10000
    batch: int = 8
    crop: int = 48
    crops: int = 2
    width: int = 48
    rate: float = 3e-3
    decay: float = 1e-3
    average: float = 0.998


class _Crops(Dataset[tuple[Tensor, ...]]):
    """Item i is always the same crop, in whichever process it is made; neighbours share a view, which costs most."""

    def __init__(self, sweeps: list[LabelledSweep], settings: LidarTraining, first: int) -> None:
        self._sweeps, self._settings, self._first = sweeps, settings, first
        self._last: tuple[int, View, Targets] | None = None

    def __len__(self) -> int:
        return self._settings.steps * self._settings.batch - self._first

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        s = self._settings
        number, which = divmod(self._first + index, s.crops)
        view, wanted = self._view(number)
        rng = np.random.default_rng([s.seed, number, which])
        row, column = _corner(view, s.crop, rng)
        rows, columns = slice(row, row + s.crop), slice(column, column + s.crop)
        parts = (view.occupied, AWAY, *wanted)
        return tuple(torch.from_numpy(part[..., rows, columns].copy()) for part in parts)

    def _view(self, number: int) -> tuple[View, Targets]:
        if self._last is None or self._last[0] != number:
            rng = np.random.default_rng([self._settings.seed, number])
            view = varied(self._sweeps[int(rng.integers(len(self._sweeps)))], rng)
            self._last = number, view, targets(view.boxes, view.class_id, view.points, view.gap_s)
        return self._last[1:]


def _corner(view: View, crop: int, rng: np.random.Generator) -> tuple[int, int]:
    """Of a crop: mostly one with an object in it, for most of a sweep is empty. Even, as the network's strides want."""
    seen = np.flatnonzero((view.points >= MIN_POINTS) & (np.abs(view.boxes[:, :2]).max(axis=1, initial=0.0) < RANGE_M))
    if len(seen) and rng.random() < 0.8:
        centre = (view.boxes[rng.choice(seen), :2] + RANGE_M) / CELL_M + rng.uniform(-0.4, 0.4, 2) * crop
    else:
        centre = rng.uniform(0.0, CELLS, 2)
    row, column = np.clip((centre - crop / 2) // 4 * 4, 0, CELLS - crop).astype(int).tolist()
    return row, column


def train(
    data: Path,
    out: Path,
    settings: LidarTraining,
    start: Path | None = None,
    progress: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
    workers: int = 0,
) -> PillarNet:
    """Train, or go on with what lies in ``out``; returns the averaged network, in evaluation mode.

    Args:
        data: folder that `fusion.training.sweeps` reads. out: folder for the state, made where it is missing.
        start: state of another training, from whose averaged network this one starts.
        progress: called after each step with the running losses.

    Raises:
        BadInput: the data cannot be read.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sweeps = read_folder(data)

    def losses(net: PillarNet, batch: list[Tensor]) -> dict[str, Tensor]:
        occupied, away, *wanted = (tensor.to(device) for tensor in batch)
        parts = loss(net(occupied.float().contiguous(memory_format=torch.channels_last), away), *wanted)
        return parts | {"total": total(parts)}

    weights = None if start is None else load_averaged(start)
    run = Run(lambda: PillarNet(settings.width).to(device), out, settings, weights)
    crops = _Crops(sweeps, settings, run.step * settings.batch)
    return run.learn(DataLoader(crops, settings.batch, num_workers=workers, drop_last=True), losses, progress)
