"""Trains the graph from a folder of windows. One seed, one result; goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from fusion.graph.network import GraphNetwork
from fusion.training import state
from fusion.training.graph.unroll import Batch, batch_of, unroll
from fusion.training.graph.windows import Window, load_window
from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings

_STATE = "state.safetensors"
TERMS = ("state", "detection", "existence", "fault", "weather")


class GraphTraining(Settings, frozen=True):
    """steps: optimizer steps of ``batch`` windows each. rate: peak of the learning rate. average: share of the running
    weights kept at each step.
    """

    steps: int = 1000
    batch: int = 6
    rate: float = 2e-3
    decay: float = 1e-4
    average: float = 0.99
    seed: int = 0
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
    torch.manual_seed(settings.seed)
    net, averaged = GraphNetwork(), GraphNetwork()
    if start is not None:
        net.load_state_dict(start.state_dict())
    averaged.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.rate, weight_decay=settings.decay)
    out.mkdir(parents=True, exist_ok=True)
    step = state.restore(out / _STATE, settings, net, averaged, optimizer)
    running: dict[str, float] = {}
    for batch in _batches(data, settings, step):
        for group in optimizer.param_groups:
            group["lr"] = state.rate_at(step, settings.steps, settings.rate)
        losses = losses_of(net, batch)
        optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        if torch.isfinite(norm):
            optimizer.step()
        step += 1
        state.follow(averaged, net, min(settings.average, step / (step + 10.0)))
        for name, value in losses.items():
            running[name] = 0.95 * running.get(name, value.item()) + 0.05 * value.item()
        progress(step, running)
        if step % settings.save_every == 0 or step == settings.steps:
            state.save(out / _STATE, settings, net, averaged, optimizer, step)
    return averaged.eval()


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
            files = sorted(data.glob("*.npz"))
        if not files:
            raise BadInput(data, "windows", "files *.npz", "none")
        chosen = rng.choice(len(files), settings.batch, replace=len(files) < settings.batch)
        windows: list[Window] = [load_window(files[i]) for i in chosen]
        yield batch_of(windows, rng)
