"""Trained networks as ONNX files, for any runtime."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

OPSET = 20


def write_onnx(
    net: nn.Module,
    path: Path,
    inputs: dict[str, Tensor],
    outputs: Sequence[str],
    dynamic: dict[str, dict[int, Any]] | None = None,
    about: dict[str, str] | None = None,
) -> str:
    """Write ``net`` in evaluation mode; returns the file's SHA-256.

    The exporter notes of each node where it came from, paths of this machine too; those notes are left out.

    Args:
        inputs: an example of each of the network's arguments, in their order, by the name that the file gives it.
        dynamic: which of their axes may have other lengths. outputs: names. about: metadata to keep in the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own deprecated helpers, and of axes that share a name on purpose
        torch.onnx.export(
            net.eval().cpu(), tuple(inputs.values()), str(path), dynamo=True, opset_version=OPSET, verbose=False,
            external_data=False, input_names=list(inputs), output_names=list(outputs),
            dynamic_shapes=None if dynamic is None else tuple(dynamic[name] for name in inputs),
        )  # fmt: skip
    model = onnx.load(str(path))
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.helper.set_model_props(model, about or {})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()
