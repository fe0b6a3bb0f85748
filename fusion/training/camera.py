"""Trains the small camera network from a folder of labelled images.

One seed, one result; goes on where it was stopped. `camera_export` writes the network as ONNX, `camera_score` says how
well it does on images that it never saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fusion.detect.centre_net import CentreNet
from fusion.training.camera_augment import varied
from fusion.training.camera_targets import loss, targets
from fusion.training.images import LabelledImage, read_folder
from fusion.training.loop import Run, Schedule
from fusion.training.start import start_from
from pipeline.core.messages import C

_TO_START = 32  # views over which normalisations are unfolded


class CameraTraining(Schedule, frozen=True):
    """A sample is a random view of height x width pixels. channels: width of the network. edges: weight of the boxes'
    loss beside that of the heat maps."""

    steps: int = 12000
    batch: int = 8
    height: int = 160
    width: int = 256
    channels: int = 32
    edges: float = 5.0
    rate: float = 4e-3
    decay: float = 1e-3
    average: float = 0.996
    save_every: int = 50


class _Views(Dataset[tuple[Tensor, ...]]):
    """Item i is always the same view, in whichever process it is made."""

    def __init__(self, images: list[LabelledImage], settings: CameraTraining, first: int) -> None:
        self._images, self._settings, self._first = images, settings, first

    def __len__(self) -> int:
        return self._settings.steps * self._settings.batch - self._first

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        s = self._settings
        rng = np.random.default_rng([s.seed, self._first + index])
        view, labels = varied(self._images[int(rng.integers(len(self._images)))], s.height, s.width, rng)
        wanted = targets(labels.edges, labels.class_id, labels.visible, s.height, s.width)
        return (torch.from_numpy(view.transpose(2, 0, 1).copy()), *(torch.from_numpy(field) for field in wanted))


def train(
    data: Path,
    out: Path,
    settings: CameraTraining,
    progress: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
    workers: int = 0,
    start: Path | None = None,
) -> CentreNet:
    """Train, or go on with what lies in ``out``; returns the averaged network, in evaluation mode.

    Args:
        data: folder that `fusion.training.images` reads. out: folder for the state, made where it is missing.
        progress: called after each step with the running losses. start: ONNX file to begin with.

    Raises:
        BadInput: the data or the file to begin with cannot be read, or ``out`` holds the state of a training with other
            settings.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = read_folder(data)

    def make() -> CentreNet:
        return CentreNet(C, settings.channels).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def losses(net: CentreNet, batch: list[Tensor]) -> dict[str, Tensor]:
        bgr, *wanted = (tensor.to(device) for tensor in batch)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):  # few processors have it
            grid = net(bgr.float().contiguous(memory_format=torch.channels_last))
        of_heat, of_edges = loss(grid.float(), *wanted)
        return {"heat": of_heat, "edges": of_edges, "total": of_heat + settings.edges * of_edges}

    begin = None
    if start is not None:
        views = _Views(images, settings, 0)
        some = torch.stack([views[index][0] for index in range(min(_TO_START, len(views)))]).to(device)
        begin = start_from(make(), start, some.float().contiguous(memory_format=torch.channels_last))
    run = Run(make, out, settings, begin)
    return run.learn(_batches(images, settings, run.step, workers), losses, progress)


def _batches(images: list[LabelledImage], settings: CameraTraining, step: int, workers: int) -> Iterator[list[Tensor]]:
    views = _Views(images, settings, step * settings.batch)
    loader = DataLoader(views, settings.batch, num_workers=workers, drop_last=True)
    yield from loader
