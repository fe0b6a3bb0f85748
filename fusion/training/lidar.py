"""Trains the pillar network from a folder of labelled sweeps.

One seed, one result; goes on where it was stopped. `lidar_calibrate` makes its scores and sigmas honest and
`lidar_export` writes it as ONNX.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fusion.detect.pillar_grid import RANGE_M
from fusion.detect.pillar_layout import AWAY, CELL_M, CELLS
from fusion.detect.pillar_net import PillarNet
from fusion.training import state
from fusion.training.lidar_augment import View, varied
from fusion.training.lidar_targets import MIN_POINTS, Targets, loss, targets, total
from fusion.training.sweeps import LabelledSweep, part_names, read_part
from pipeline.core.settings import Settings

STATE = "state.safetensors"


class LidarTraining(Settings, frozen=True):
    """steps: optimizer steps of `batch` random crops each. crop: their side, cells. crops: from each view of a sweep.
    rate: peak of the learning rate, which rises over the first tenth (Smith and Topin, 2018). average: share of the
    running weights kept at each step."""

    steps: int = 10000
    batch: int = 8
    crop: int = 48
    crops: int = 2
    width: int = 48
    rate: float = 3e-3
    decay: float = 1e-3
    average: float = 0.998
    seed: int = 0
    save_every: int = 100


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
    torch.manual_seed(settings.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sweeps = [sweep for part in part_names(data) for sweep in read_part(part)]
    net = PillarNet(settings.width).to(device)
    averaged = PillarNet(settings.width).to(device)
    if start is not None:
        net.load_state_dict(load_averaged(start))
    averaged.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.rate, weight_decay=settings.decay)
    out.mkdir(parents=True, exist_ok=True)
    step = state.restore(out / STATE, settings, net, averaged, optimizer)
    crops = _Crops(sweeps, settings, step * settings.batch)
    running: dict[str, float] = {}
    for batch in DataLoader(crops, settings.batch, num_workers=workers, drop_last=True):
        for group in optimizer.param_groups:
            group["lr"] = state.rate_at(step, settings.steps, settings.rate)
        occupied, away, *wanted = (tensor.to(device) for tensor in batch)
        losses = loss(net(occupied.float().contiguous(memory_format=torch.channels_last), away), *wanted)
        optimizer.zero_grad(set_to_none=True)
        total(losses).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        step += 1
        state.follow(averaged, net, min(settings.average, step / (step + 10.0)))
        for name, value in losses.items():
            running[name] = 0.98 * running.get(name, value.item()) + 0.02 * value.item()
        progress(step, running)
        if step % settings.save_every == 0 or step == settings.steps:
            state.save(out / STATE, settings, net, averaged, optimizer, step)
    return averaged.eval()


def load_averaged(path: Path) -> dict[str, Tensor]:
    """The averaged network of a saved state."""
    return {k.removeprefix("averaged."): v for k, v in load_file(path).items() if k.startswith("averaged.")}
