"""The state of a training run on disk: weights, their running average, the optimizer. One file, no pickle."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings


def rate_at(step: int, steps: int, peak: float) -> float:
    """Up in the first tenth, then down along a cosine (Smith and Topin, 2018)."""
    share = step / steps
    if share < 0.1:
        return peak * (0.05 + 0.95 * share / 0.1)
    return peak * (0.002 + 0.499 * (1 + math.cos(math.pi * (share - 0.1) / 0.9)))


@torch.no_grad()
def follow(averaged: nn.Module, net: nn.Module, keep: float) -> None:
    """Move the running average towards the weights."""
    for mean, now in zip(averaged.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(now, 1.0 - keep)
        else:
            mean.copy_(now)


def save(
    path: Path, settings: Settings, net: nn.Module, averaged: nn.Module, optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Appears under its name only when it is whole."""
    tensors = {f"net.{name}": value.contiguous() for name, value in net.state_dict().items()}
    tensors |= {f"averaged.{name}": value.contiguous() for name, value in averaged.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value.contiguous() for name, value in state.items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"step": str(step), "settings": _as_json(settings)})
    partial.replace(path)


def restore(
    path: Path, settings: Settings, net: nn.Module, averaged: nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    """Steps that were done; 0 where there is no state.

    Raises:
        BadInput: the state is of a run with other settings, whose schedule would not fit.
    """
    if not path.is_file():
        return 0
    with safe_open(path, "pt") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # no mapping
    if about.get("settings") != _as_json(settings):
        raise BadInput(path, "settings", _as_json(settings), about.get("settings", "none"))
    for prefix, module in (("net.", net), ("averaged.", averaged)):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(about["step"])


def _as_json(settings: Settings) -> str:
    return msgspec.json.encode(settings).decode()
