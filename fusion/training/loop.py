"""How every network here is trained: one loop, seeded, that goes on where it was stopped; its state has no pickle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings

Network = TypeVar("Network", bound=nn.Module)
Batch = TypeVar("Batch")


class Schedule(Settings, frozen=True):
    """steps: optimizer steps of ``batch`` samples each. rate: peak of the learning rate, which rises over the first
    tenth and falls along a cosine (Smith and Topin, 2018). decay: of the weights. average: share of the running weights
    kept at each step. clip: greatest norm of a gradient. seed: of first weights and of the order of samples.
    """

    steps: int
    batch: int
    rate: float
    decay: float
    average: float
    clip: float = 10.0
    seed: int = 0
    save_every: int = 100


class Run(Generic[Network]):
    """A training that goes on where it was stopped: weights, their running average, the optimizer, one file for all.

    Args:
        make: an untrained network, the same each time. out: folder for the state, made where it is missing.
        start: weights to begin with.

    Raises:
        BadInput: ``out`` holds the state of a training with other settings, whose schedule would not fit.
    """

    def __init__(
        self, make: Callable[[], Network], out: Path, settings: Schedule, start: dict[str, Tensor] | None = None
    ) -> None:
        torch.manual_seed(settings.seed)
        self.net, self.averaged = make(), make()
        if start is not None:
            self.net.load_state_dict(start)
        self.averaged.load_state_dict(self.net.state_dict())
        self._settings, self._path = settings, out / "state.safetensors"
        self._optimizer = torch.optim.AdamW(self.net.parameters(), lr=settings.rate, weight_decay=settings.decay)
        out.mkdir(parents=True, exist_ok=True)
        self.step = self._restore()

    def learn(
        self,
        batches: Iterable[Batch],
        losses: Callable[[Network, Batch], dict[str, Tensor]],
        progress: Callable[[int, dict[str, float]], None],
    ) -> Network:
        """Learn from the batches of the steps that are left; the averaged network, in evaluation mode.

        losses: by name; "total" is learned. progress: told the step and the running losses.
        """
        settings, running = self._settings, dict[str, float]()
        for batch in batches:
            for group in self._optimizer.param_groups:
                group["lr"] = _rate(self.step, settings)
            found = losses(self.net, batch)
            self._optimizer.zero_grad(set_to_none=True)
            found["total"].backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), settings.clip)
            if torch.isfinite(norm):
                self._optimizer.step()
            self.step += 1
            self._average(min(settings.average, self.step / (self.step + 10.0)))
            for name, value in found.items():
                running[name] = 0.98 * running.get(name, value.item()) + 0.02 * value.item()
            progress(self.step, running)
            if self.step % settings.save_every == 0 or self.step == settings.steps:
                self._save()
        return self.averaged.eval()

    @torch.no_grad()
    def _average(self, keep: float) -> None:
        for mean, now in zip(self.averaged.state_dict().values(), self.net.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1.0 - keep)
            else:
                mean.copy_(now)

    def _save(self) -> None:
        """Appears under its name only when it is whole."""
        tensors = {f"net.{name}": value.contiguous() for name, value in self.net.state_dict().items()}
        tensors |= {f"averaged.{name}": value.contiguous() for name, value in self.averaged.state_dict().items()}
        for index, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value.contiguous() for name, value in state.items()}
        partial = self._path.with_suffix(".partial")
        save_file(tensors, partial, metadata={"step": str(self.step), "settings": _as_json(self._settings)})
        partial.replace(self._path)

    def _restore(self) -> int:
        """Steps that were done; 0 where there is no state."""
        if not self._path.is_file():
            return 0
        with safe_open(self._path, "pt") as file:
            about = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # no mapping
        wanted = _as_json(self._settings)
        if about.get("settings") != wanted:
            raise BadInput(self._path, "settings", wanted, about.get("settings", "none"))
        for prefix, module in (("net.", self.net), ("averaged.", self.averaged)):
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                state.setdefault(int(index), {})[name] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})
        return int(about["step"])


def load_averaged(path: Path) -> dict[str, Tensor]:
    """The averaged weights of a saved state."""
    return {k.removeprefix("averaged."): v for k, v in load_file(path).items() if k.startswith("averaged.")}


def _rate(step: int, settings: Schedule) -> float:
    share = step / settings.steps
    if share < 0.1:
        return settings.rate * (0.05 + 0.95 * share / 0.1)
    return settings.rate * (0.002 + 0.499 * (1 + math.cos(math.pi * (share - 0.1) / 0.9)))


def _as_json(settings: Schedule) -> str:
    return msgspec.json.encode(settings).decode()
