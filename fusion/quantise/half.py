"""Networks in 16 bits: FP16 for GPUs, BF16 for processors that multiply it. Inputs and outputs keep their types.

What a Q/DQ graph has in float becomes 16 bits too: with strong typing an engine computes as the file says.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.core.errors import BadInput

Half = Literal["fp16", "bf16"]

_TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_BF16_OPSET = 22  # the first whose convolutions may be BF16; what else changed since 20 is of operators unused here
_FLOAT_INPUTS = {"Resize": (1, 2)}
"""Inputs that ONNX has as FLOAT whatever the data's type."""


def in_half(model: onnx.ModelProto, kind: Half, source: object) -> onnx.ModelProto:
    """``model`` with all that was FLOAT inside in 16 bits.

    Raises:
        BadInput: a weight that FP16 cannot hold.
    """
    to = _TYPES[kind]
    out = onnx.ModelProto()
    out.CopyFrom(model)
    if kind == "bf16":
        out.opset_import[0].version = max(out.opset_import[0].version, _BF16_OPSET)
    graph = out.graph
    stay = {n.input[k] for n in graph.node for k in _FLOAT_INPUTS.get(n.op_type, ()) if k < len(n.input)}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in stay:
            values = np.asarray(numpy_helper.to_array(tensor), np.float32)
            if kind == "fp16" and np.abs(values).max(initial=0.0) > np.finfo(np.float16).max:
                raise BadInput(source, f"weights {tensor.name}", "at most 65504 for FP16", np.abs(values).max())
            tensor.CopyFrom(_tensor(tensor.name, values, to))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = to
            if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
                values = np.asarray(numpy_helper.to_array(attribute.t), np.float32)
                attribute.t.CopyFrom(_tensor(attribute.t.name, values, to))
    first = [_cast(graph, value.name, f"{value.name}_half", to, value.name) for value in graph.input if _float(value)]
    last = [
        _cast(graph, value.name, f"{value.name}_half", TensorProto.FLOAT, "") for value in graph.output if _float(value)
    ]
    nodes = [*first, *graph.node, *last]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(out)
    return out


def _tensor(name: str, values: npt.NDArray[np.float32], to: int) -> onnx.TensorProto:
    return numpy_helper.from_array(values.astype(helper.tensor_dtype_to_np_dtype(to)), name)


def _float(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)


def _cast(graph: onnx.GraphProto, name: str, inner: str, to: int, from_input: str) -> onnx.NodeProto:
    """The Cast between an end of the graph and ``inner``, by which all nodes know it now."""
    for node in graph.node:
        for names in (node.input, node.output):
            for k, old in enumerate(names):
                if old == name:
                    names[k] = inner
    ends = (name, inner) if from_input else (inner, name)
    return helper.make_node("Cast", [ends[0]], [ends[1]], to=to)
