"""The heads that steer no filter, trained again by themselves: existence, sensor faults and weather.

What they read is worked out once, with the rest of the network as it is; nothing has to be differentiated through the
filter, so minutes are enough where the courses take an hour.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as f
from torch import Tensor, nn

from fusion.graph.network import GraphNetwork, fault_logits
from fusion.training.graph.unroll import FAULT_WORTH, Frame, batch_of, unroll
from fusion.training.graph.windows import load_window
from pipeline.core.settings import Settings

_AT_ONCE = 6
_LOOK_EVERY = 25
_SETTLE = 3  # frames of a window until its memory has something in it


class HeadTraining(Settings, frozen=True):
    """steps of ``batch`` rows each, of each head; rate: of learning, falling along a cosine. held_out: share of the
    windows, the last of them, that say when a head is at its best.
    """

    steps: int = 600
    held_out: float = 0.2
    batch: int = 4096
    rate: float = 2e-3
    decay: float = 1e-3
    seed: int = 0


def learn_heads(
    network: GraphNetwork,
    files: Sequence[Path],
    settings: HeadTraining | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Train these heads of ``network`` in place. files: of windows; progress: how many have been played."""
    settings = settings or HeadTraining()
    read = _Read(network)
    for start in range(0, len(files), _AT_ONCE):
        read.play([load_window(path) for path in files[start : start + _AT_ONCE]], start)
        if start < (1.0 - settings.held_out) * len(files):
            read.teaching = read.rows
        progress(min(start + _AT_ONCE, len(files)))
    torch.manual_seed(settings.seed)
    for name, head, rows, loss in read.lessons():
        _learn(head, rows, read.teaching[name], loss, settings)


class _Read:
    """What each head read, frame by frame, and what it should have said."""

    def __init__(self, network: GraphNetwork) -> None:
        self._network = network
        self._heads: dict[str, nn.Sequential] = {
            "existence": network.of_track, "fault": network.of_fault, "weather": network.of_weather,
        }  # fmt: skip
        self._given: dict[str, list[Tensor]] = {name: [] for name in self._heads}
        self._labels: dict[str, list[tuple[Tensor, ...]]] = {name: [] for name in self._heads}
        self.teaching = dict.fromkeys(self._heads, 0)  # rows that teach; those after them say when to stop

    @property
    def rows(self) -> dict[str, int]:
        return {name: sum(map(len, parts)) for name, parts in self._given.items()}

    @torch.no_grad()
    def play(self, windows: Sequence[dict[str, np.ndarray]], seed: int) -> None:
        caught: dict[str, Tensor] = {}

        def catch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            return lambda _, given: caught.update({name: given[0]})

        hooks = [head.register_forward_pre_hook(catch(name)) for name, head in self._heads.items()]
        for number, (*_, frame) in enumerate(unroll(self._network, batch_of(windows, np.random.default_rng(seed)))):
            if number >= _SETTLE:
                for name, labels in _labels(frame).items():
                    self._given[name].append(caught[name])
                    self._labels[name].append(labels)
        for hook in hooks:
            hook.remove()

    def lessons(self) -> Iterable[tuple[str, nn.Sequential, tuple[Tensor, ...], Callable[..., Tensor]]]:
        """Each head and its name, the rows that it read with their labels, and the loss of some of them."""
        losses: dict[str, Callable[..., Tensor]] = {
            "existence": _existence,
            "fault": _fault,
            "weather": f.cross_entropy,
        }
        for name, head in self._heads.items():
            labels = [torch.cat(column) for column in zip(*self._labels[name], strict=True)]
            yield name, head, (torch.cat(self._given[name]), *labels), losses[name]


def _labels(frame: Frame) -> dict[str, tuple[Tensor, ...]]:
    c = frame.columns
    return {
        "existence": (c["evidence"], c["exists"], c["worth"]),
        "fault": (frame.given["sensor"], frame.fault),
        "weather": (frame.weather,),
    }


def _existence(said: Tensor, evidence: Tensor, exists: Tensor, worth: Tensor) -> Tensor:
    loss = f.binary_cross_entropy_with_logits(evidence + said[:, 0], exists, reduction="none")
    return (loss * worth).sum() / worth.sum()


def _fault(said: Tensor, sensor: Tensor, fault: Tensor) -> Tensor:
    return f.cross_entropy(fault_logits(said, sensor), fault, weight=FAULT_WORTH)


def _learn(
    head: nn.Sequential, rows: tuple[Tensor, ...], teaching: int, loss: Callable[..., Tensor], settings: HeadTraining
) -> None:
    """Leaves the head as it was best on the rows that do not teach, be it as it was before."""
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.rate, weight_decay=settings.decay)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    given, *labels = (column[teaching:] for column in rows)
    best, least = copy.deepcopy(head.state_dict()), float("inf")
    for step in range(settings.steps + 1):
        if step % _LOOK_EVERY == 0 and len(given):
            with torch.no_grad():
                now = float(loss(head(given), *labels))
            if now < least:
                best, least = copy.deepcopy(head.state_dict()), now
        chosen = torch.randint(teaching, (min(settings.batch, teaching),))
        lesson, *answers = (column[chosen] for column in rows)
        optimizer.zero_grad()
        loss(head(lesson), *answers).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        fall.step()
    head.load_state_dict(best)
