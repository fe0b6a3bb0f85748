"""Writes quantised graphs: QuantizeLinear and DequantizeLinear around what is computed in 8 bits.

    x -> Q -> DQ -> Conv(w: int8 -> DQ) -> y       scale of x: limit / 127; of w: one for each output channel

Zero points are all 0 and values lie in -127..127, the form that TensorRT wants and the others take. Biases stay float:
engines put them into their 32-bit sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from fusion.quantise.layers import WEIGHED, Graph, Layer

_LARGEST = 127
_LARGE = 1024  # numbers: of fewer the scale and the names take as much


def quantised(model: onnx.ModelProto, layers: list[Layer], limits: Mapping[str, float]) -> onnx.ModelProto:
    """``model`` with these layers, and what lies between them, in 8 bits. limits: of the tensors between."""
    graph = Graph(model)
    tensors = graph.quantised_tensors(layers)
    scales = _shared(graph, tensors, {name: limits[name] / _LARGEST for name in tensors})
    out = onnx.ModelProto()
    out.CopyFrom(model)
    del out.graph.node[:], out.graph.initializer[:], out.graph.value_info[:]
    quantised_weights = {layer.weight: layer.axis for layer in layers}
    constants = [name for name in graph.weights if _is_data(graph, name)]
    for name, tensor in graph.weights.items():
        if name not in quantised_weights and name not in constants:
            out.graph.initializer.append(tensor)
    zero = numpy_helper.from_array(np.zeros((), np.int8), "zero")
    out.graph.initializer.append(zero)
    names = set(tensors)
    for weight, axis in quantised_weights.items():
        _put_weight(out.graph, weight, np.asarray(graph.array(weight), np.float32), axis)
    for name in constants:
        _put_constant(out.graph, name, np.asarray(graph.array(name), np.float32))
    for value in model.graph.input:
        if value.name in names:
            _put_pair(out.graph, value.name, scales[value.name])
    for node in model.graph.node:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        for k, name in enumerate(node.input):
            if name in names or name in quantised_weights or name in constants:
                copied.input[k] = f"{name}.d"
        out.graph.node.append(copied)
        for name in node.output:
            if name in names:
                _put_pair(out.graph, name, scales[name])
    onnx.checker.check_model(out)
    return out


def channel_scales(weight: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """(channels,) largest magnitude of each channel over 127; 1 where all is 0."""
    others = tuple(k for k in range(weight.ndim) if k != axis)
    largest = np.abs(weight).max(axis=others)
    return np.asarray(np.where(largest > 0, largest, _LARGEST) / _LARGEST, np.float32)


def in_steps(values: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    return np.asarray(np.rint(values / scale).clip(-_LARGEST, _LARGEST), np.int8)


def _shared(graph: Graph, tensors: list[str], scales: dict[str, float]) -> dict[str, float]:
    """One scale for all that a Concat joins, or a Resize or MaxPool copies: then it only moves bytes."""
    names, shared = set(tensors), dict(scales)
    for node in reversed(graph.model.graph.node):
        if node.op_type in ("Concat", "Resize", "MaxPool", "DepthToSpace"):
            given = node.input if node.op_type == "Concat" else node.input[:1]
            group = [n for n in (*given, node.output[0]) if n in names]
            if len(group) > 1:
                most = max(shared[name] for name in group)
                shared.update(dict.fromkeys(group, most))
    return shared


def _put_weight(graph: onnx.GraphProto, name: str, weight: npt.NDArray[np.float32], axis: int) -> None:
    scale = channel_scales(weight, axis)
    along = scale.reshape([-1 if k == axis else 1 for k in range(weight.ndim)])
    _put_dequantised(graph, name, in_steps(weight, along), scale, axis)


def _is_data(graph: Graph, name: str) -> bool:
    """Whether a constant is data that a layer reads, such as a map: it is stored in 8 bits as well."""
    tensor = graph.weights[name]
    if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < _LARGE:
        return False
    return all(node.op_type in WEIGHED and node.input[0] == name for node in graph.readers.get(name, []))


def _put_constant(graph: onnx.GraphProto, name: str, values: npt.NDArray[np.float32]) -> None:
    one = np.array((np.abs(values).max() or 1.0) / _LARGEST, np.float32)
    _put_dequantised(graph, name, in_steps(values, one), one, None)


def _put_dequantised(
    graph: onnx.GraphProto, name: str, steps: npt.NDArray[np.int8], scale: npt.NDArray[np.float32], axis: int | None
) -> None:
    graph.initializer.append(numpy_helper.from_array(steps, f"{name}.q"))
    graph.initializer.append(numpy_helper.from_array(np.asarray(scale), f"{name}.s"))
    inputs = [f"{name}.q", f"{name}.s"]  # no zero point: it is 0
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    graph.node.append(helper.make_node("DequantizeLinear", inputs, [f"{name}.d"], **attributes))


def _put_pair(graph: onnx.GraphProto, name: str, scale: float) -> None:
    graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), f"{name}.s"))
    q, dq = f"{name}.q", f"{name}.d"
    graph.node.append(helper.make_node("QuantizeLinear", [name, f"{name}.s", "zero"], [q]))
    graph.node.append(helper.make_node("DequantizeLinear", [q, f"{name}.s", "zero"], [dq]))
