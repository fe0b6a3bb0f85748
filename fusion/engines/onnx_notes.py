"""What an ONNX file says of itself, for engines that do not pass it on."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import onnx

from pipeline.core.errors import BadInput


@cache
def notes(path: Path) -> dict[str, str]:
    """The metadata of the file.

    Raises:
        BadInput: not an ONNX file.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's errors share no other base
        raise BadInput(path, "file", "an ONNX model", error) from error
    return {entry.key: entry.value for entry in model.metadata_props}


@cache
def precision(path: Path) -> str:
    """What a file computes in, by its operators and weights: `INT8 and FP16`, `FP16`, …"""
    model = onnx.load(str(path))
    kinds = {w.data_type for w in model.graph.initializer}
    rest = "FP16" if onnx.TensorProto.FLOAT16 in kinds else "BF16" if onnx.TensorProto.BFLOAT16 in kinds else "FP32"
    quantised = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    return f"INT8 and {rest}" if quantised else rest
