"""The outer form of a network: bytes with channels last in, channels last out, as arrays come and as engines compute.

In the plain form an engine spends as much on turning float images round as on computing with them in 8 bits.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from fusion.quantise.constants import added_behind
from fusion.quantise.stem import in_blocks


def deployed(model: onnx.ModelProto) -> onnx.ModelProto:
    """A network of images or maps of bytes in the form that it is run in."""
    return in_bytes(in_blocks(added_behind(model)))


def in_bytes(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model``, whose inputs (1, c, h, w) hold whole numbers 0..255, for uint8 (1, h, w, c); outputs channels last."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph, first = out.graph, []
    for value in graph.input:
        n, c, h, w = (d.dim_value for d in value.type.tensor_type.shape.dim)
        plain = f"{value.name}_plain"
        _renamed(graph, value.name, plain)
        first += [
            helper.make_node("Cast", [value.name], [f"{value.name}_float"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", [f"{value.name}_float"], [plain], perm=[0, 3, 1, 2]),
        ]
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.UINT8, [n, h, w, c]))
    last = []
    for value in graph.output:
        n, c, h, w = (d.dim_value for d in value.type.tensor_type.shape.dim)
        plain = f"{value.name}_plain"
        _renamed(graph, value.name, plain)
        last.append(helper.make_node("Transpose", [plain], [value.name], perm=[0, 2, 3, 1]))
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [n, h, w, c]))
    nodes = [*first, *graph.node, *last]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(out)
    return out


def _renamed(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for k, name in enumerate(names):
                if name == old:
                    names[k] = new
