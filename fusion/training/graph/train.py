"""Trains the graph from a folder of windows. One seed, one result; goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from fusion.graph.network import GraphNetwork
from fusion.training.graph.unroll import Batch, batch_of, unroll
from fusion.training.graph.windows import Window, load_window
from fusion.training.loop import Run, Schedule
from fusion.training.parts import part_names

TERMS = ("state", "detection", "existence", "fault", "weather")


class GraphTraining(Schedule, frozen=True):
    """A sample is a window of 20 frames."""

    steps: int = 1000
    batch: int = 6
    rate: float = 2e-3
    decay: float = 1e-4
    average: float = 0.99
    clip: float = 1.0
    save_every: int = 50


def train(
    data: Path,
    out: Path,
    settings: GraphTraining,
    progress: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
    start: GraphNetwork | None = None,
) -> GraphNetwork:
    """Train, or go on with what lies in ``out``; returns the averaged network, in evaluation mode.

    Args:
        data: folder of windows, searched again now and then, since more may be on their way. out: for the state.
        progress: called after each step with the running losses. start: weights to begin with.

    Raises:
        BadInput: there are no windows.
    """
    run = Run(GraphNetwork, out, settings, None if start is None else start.state_dict())
    return run.learn(_batches(data, settings, run.step), losses_of, progress)


def losses_of(net: GraphNetwork, batch: Batch) -> dict[str, torch.Tensor]:
    """Means over the frames, and their weighted total."""
    frames = [losses for losses, *_ in unroll(net, batch)]
    means = {name: torch.stack([getattr(losses, name) for losses in frames]).mean() for name in TERMS}
    return means | {"total": torch.stack([losses.total() for losses in frames]).mean()}


def _batches(data: Path, settings: GraphTraining, step: int) -> Iterator[Batch]:
    files: list[Path] = []
    for number in range(step, settings.steps):
        rng = np.random.default_rng([settings.seed, number])
        if not files or number % 100 == 0:
            files = part_names(data)
        chosen = rng.choice(len(files), settings.batch, replace=len(files) < settings.batch)
        windows: list[Window] = [load_window(files[i]) for i in chosen]
        yield batch_of(windows, rng)
