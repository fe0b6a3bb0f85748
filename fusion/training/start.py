"""Weights to begin a training with, out of an ONNX file that an earlier one wrote."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from pipeline.core.errors import BadInput


@torch.no_grad()
def start_from(net: nn.Module, path: Path, batch: Tensor) -> dict[str, Tensor]:
    """The state of ``net`` that answers as the file does, to go on training with.

    The exporter folds each batch normalisation into the convolution before it. It is unfolded here: with the mean and
    the variance that its input has over ``batch``, each normalisation gets the scale and the shift that undo it and add
    the file's bias, so that in training mode too the network starts where the file ended.

    Raises:
        BadInput: no such file, or of another network.
    """
    try:
        stored = {each.name: numpy_helper.to_array(each).copy() for each in onnx.load(str(path)).graph.initializer}
    except Exception as error:  # the parser's own, and those of the disk
        raise BadInput(path, "file", "an ONNX network", error) from error
    biases: dict[nn.Module, Tensor] = {}
    modules = dict(net.named_modules())
    for name, conv in modules.items():
        if not isinstance(conv, nn.Conv2d):
            continue
        weight, plain = stored.get(f"{name}.weight"), stored.get(f"{name}.bias")
        if weight is None or weight.shape != tuple(conv.weight.shape):
            raise BadInput(
                path, f"{name}.weight", str(tuple(conv.weight.shape)), None if weight is None else weight.shape
            )
        conv.weight.copy_(torch.from_numpy(weight))
        if conv.bias is not None and plain is not None:
            conv.bias.copy_(torch.from_numpy(plain))
            continue
        folded = stored.get(f"{name}.weight_bias")
        if folded is None:
            raise BadInput(path, f"{name}.weight_bias", "a bias", "none")
        head, _, index = name.rpartition(".")
        biases[modules[f"{head}.{int(index) + 1}"]] = torch.from_numpy(folded)

    def unfold(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(biases[norm] + mean)

    hooks = [norm.register_forward_pre_hook(unfold) for norm in biases]
    net.eval()(batch)
    for hook in hooks:
        hook.remove()
    return net.train().state_dict()
