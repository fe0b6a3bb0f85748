"""Whether TensorRT takes a network, by its documented support: known before the device sees the file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings, load_yaml

_TYPES = {
    TensorProto.FLOAT: "FP32", TensorProto.FLOAT16: "FP16", TensorProto.BFLOAT16: "BF16", TensorProto.INT8: "INT8",
    TensorProto.UINT8: "UINT8", TensorProto.INT32: "INT32", TensorProto.INT64: "INT64", TensorProto.BOOL: "BOOL",
    TensorProto.DOUBLE: "FP64",
}  # fmt: skip
_QUANTISE, _DEQUANTISE = "QuantizeLinear", "DequantizeLinear"


class Support(Settings, frozen=True):
    """Types of each operator's data; opsets: lowest and highest. resize: settings of that operator."""

    version: str
    opsets: tuple[int, int]
    ends_only: tuple[str, ...]
    operators: dict[str, tuple[str, ...]]
    resize: dict[str, tuple[str, ...]]


@cache
def support() -> Support:
    return load_yaml(Path(__file__).with_name("tensorrt_operators.yaml"), Support)


def objections(model: onnx.ModelProto) -> list[str]:
    """What stands against building an engine from ``model``, by TensorRT's documentation; empty where nothing does."""
    told, known = [], support()
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if not known.opsets[0] <= opset <= known.opsets[1]:
        told.append(f"opset {opset}: TensorRT {known.version} takes {known.opsets[0]} to {known.opsets[1]}")
    shaped = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*shaped.value_info, *shaped.input, *shaped.output)}
    weights = {w.name: w for w in model.graph.initializer}
    types |= {name: w.data_type for name, w in weights.items()}
    ends = {v.name for v in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        where = f"{node.op_type} that makes {node.output[0]}"
        able = known.operators.get(node.op_type)
        if node.domain not in ("", "ai.onnx") or able is None:
            told.append(f"{where}: no such operator in TensorRT {known.version}'s table")
            continue
        name = node.input[0] if node.input else node.output[0]
        kind = _TYPES.get(types.get(name, 0), "a type that is not known")
        if kind not in able:
            told.append(f"{where}: {kind}, expected one of {', '.join(able)}")
        if kind in known.ends_only and name not in ends:
            told.append(f"{where}: {kind} within the network")
        told += [f"{where}: {text}" for text in (*_of_scales(node, weights), *_of_resize(node, known))]
    return told


def check(model: onnx.ModelProto, source: object) -> None:
    """Raises BadInput with the first objection, and how many more there are."""
    told = objections(model)
    if told:
        more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
        raise BadInput(source, "operators", f"what TensorRT {support().version} takes", told[0] + more)


def _of_scales(node: onnx.NodeProto, weights: dict[str, TensorProto]) -> list[str]:
    if node.op_type not in (_QUANTISE, _DEQUANTISE):
        return []
    told = []
    if node.input[1] not in weights:
        told.append("a scale that is computed")
    elif (np.asarray(numpy_helper.to_array(weights[node.input[1]]), np.float32) <= 0).any():
        told.append("a scale that is not positive")
    if len(node.input) > 2 and (node.input[2] not in weights or numpy_helper.to_array(weights[node.input[2]]).any()):
        told.append("a zero point that is not 0")
    return told


def _of_resize(node: onnx.NodeProto, known: Support) -> list[str]:
    if node.op_type != "Resize":
        return []
    said = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    given = {k: v.decode() if isinstance(v, bytes) else v for k, v in said.items()}
    return [f"{k} {given[k]}" for k, able in known.resize.items() if k in given and given[k] not in able]
