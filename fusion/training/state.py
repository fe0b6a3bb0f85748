"""The state of a training run on disk: weights, their running average, the optimizer. One file, no pickle."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


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


def save(path: Path, net: nn.Module, averaged: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Appears under its name only when it is whole."""
    tensors = {f"net.{name}": value.contiguous() for name, value in net.state_dict().items()}
    tensors |= {f"averaged.{name}": value.contiguous() for name, value in averaged.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value.contiguous() for name, value in state.items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"step": str(step)})
    partial.replace(path)


def restore(path: Path, net: nn.Module, averaged: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Steps that were done; 0 where there is no state."""
    if not path.is_file():
        return 0
    tensors = load_file(path)
    for prefix, module in (("net.", net), ("averaged.", averaged)):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(state[0]["step"]) if state else 0
