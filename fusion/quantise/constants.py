"""Constants that are added before a convolution, added behind it instead: W (x + c) = W x + W c.

Beside a map of large numbers that is added, what was measured has few of the 127 steps; apart, each has its own scale.
And the engine works W c out once.
"""

from __future__ import annotations

import onnx
from onnx import helper

from fusion.quantise.layers import Graph


def added_behind(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with every constant that is added to what one convolution alone reads behind that convolution."""
    graph = Graph(model)
    out = onnx.ModelProto()
    out.CopyFrom(model)
    del out.graph.node[:], out.graph.value_info[:]
    parts = {sum_.output[0]: (sum_, *_sides(graph, sum_)) for sum_ in model.graph.node if _fits(graph, sum_)}
    for node in model.graph.node:
        if node.output[0] in parts:
            continue
        if node.op_type != "Conv" or node.input[0] not in parts:
            out.graph.node.append(node)
            continue
        _, measured, constant = parts[node.input[0]]
        name = node.output[0]
        first, second = onnx.NodeProto(), onnx.NodeProto()
        for copy, given, made in ((first, measured, f"{name}.x"), (second, constant, f"{name}.c")):
            copy.CopyFrom(node)
            copy.name, copy.input[0], copy.output[0] = made, given, made
        del second.input[2:]  # the bias is added once
        out.graph.node.extend([first, second, helper.make_node("Add", [f"{name}.x", f"{name}.c"], [name])])
    onnx.checker.check_model(out)
    return out


def _fits(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type != "Add" or node.output[0] in graph.outputs:
        return False
    readers = graph.readers.get(node.output[0], [])
    one = len(readers) == 1 and readers[0].op_type == "Conv" and readers[0].input[0] == node.output[0]
    constant = [graph.is_constant(name) for name in node.input]
    return one and any(constant) and not all(constant)


def _sides(graph: Graph, node: onnx.NodeProto) -> tuple[str, str]:
    """What depends on the input, and what does not."""
    first, second = node.input
    return (second, first) if graph.is_constant(first) else (first, second)
