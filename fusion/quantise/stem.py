"""A network's first two halvings of an image, written for blocks of pixels: the same numbers, other shapes.

A convolution over three channels fills a matrix unit badly. Blocks of 4 x 4 pixels have 48 channels; on them the first
convolution gives the 2 x 2 outputs of each block at once, as channels, and the second reads those. Zeros are multiplied
along, which in 8 bits costs nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from fusion.quantise.layers import Graph

Floats = npt.NDArray[np.float32]
BLOCK = 4
"""Pixels along the side of a block. Channels of a block: row, column, channel of the image."""


def in_blocks(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` for an input (n, 16 c, h / 4, w / 4) instead of (n, c, h, w), where its first two layers halve an image
    each, with nothing but a ReLU between, and all before them works on each number by itself; else ``model`` itself."""
    graph = Graph(model)
    found = _two_halvings(graph)
    if found is None:
        return model
    out = onnx.ModelProto()
    out.CopyFrom(model)
    arrays: dict[str, Floats] = {}
    for node, block in zip(found, (2, 1), strict=True):
        weight, *bias = (np.asarray(graph.array(name), np.float32) for name in node.input[1:])
        arrays[node.input[1]] = blocked(weight, block)
        arrays |= {name: np.tile(values, block * block) for name, values in zip(node.input[2:], bias, strict=True)}
    names = {node.output[0] for node in found}
    for k, node in enumerate(out.graph.node):
        if node.output[0] in names:
            settings: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [1, 1, 0, 0]}
            out.graph.node[k].CopyFrom(helper.make_node("Conv", list(node.input), list(node.output), **settings))
    for tensor in out.graph.initializer:
        if tensor.name in arrays:
            tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    given = out.graph.input[0]
    n, c, h, w = (d.dim_value for d in given.type.tensor_type.shape.dim)
    shape = [n, BLOCK * BLOCK * c, h // BLOCK, w // BLOCK]
    given.CopyFrom(helper.make_tensor_value_info(given.name, onnx.TensorProto.FLOAT, shape))
    del out.graph.value_info[:]
    onnx.checker.check_model(out)
    return out


def blocked(weight: Floats, block: int) -> Floats:
    """The weights of a 3 x 3 convolution of stride 2 and padding 1, (n_out, n_in, 3, 3), for inputs in blocks of
    2 * ``block`` and outputs in blocks of ``block``: (block^2 n_out, 4 block^2 n_in, 2, 2) of stride 1, over the blocks
    above and at each place; padding is 1 before and 0 behind. Channels: row in block, column in block, channel.
    """
    n_out, n_in = weight.shape[:2]
    of_in = 2 * block
    out = np.zeros((block, block, n_out, of_in, of_in, n_in, 2, 2), np.float32)
    for i, j, s, t in np.ndindex(block, block, 3, 3):
        y, x = 2 * i + s - 1, 2 * j + t - 1
        out[i, j, :, y % of_in, x % of_in, :, y // of_in + 1, x // of_in + 1] = weight[:, :, s, t]
    return out.reshape(block * block * n_out, of_in * of_in * n_in, 2, 2)


def _two_halvings(graph: Graph) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
    shapes = [[d.dim_value for d in value.type.tensor_type.shape.dim] for value in graph.model.graph.input]
    layers = graph.layers()
    if len(shapes) != 1 or len(layers) < 2 or len(shapes[0]) != 4:
        return None
    if not all(shapes[0]) or any(size % BLOCK for size in shapes[0][2:]):
        return None
    first, second = layers[0].node, layers[1].node
    relu = graph.maker.get(second.input[0])
    fits = relu is not None and relu.op_type == "Relu" and list(relu.input) == [first.output[0]]
    alone = all(len(graph.readers[name]) == 1 for name in (first.output[0], second.input[0]))
    if fits and alone and _halves(graph, first) and _halves(graph, second) and _by_itself(graph, first.input[0]):
        return first, second
    return None


def _halves(graph: Graph, node: onnx.NodeProto) -> bool:
    said = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return (
        node.op_type == "Conv" and graph.array(node.input[1]).shape[2:] == (3, 3)
        and said.get("group", 1) == 1 and list(said.get("strides", ())) == [2, 2]
        and list(said.get("pads", ())) == [1, 1, 1, 1] and list(said.get("dilations", (1, 1))) == [1, 1]
    )  # fmt: skip


def _by_itself(graph: Graph, name: str) -> bool:
    """Whether ``name`` is the input, or made of it by arithmetic with single numbers."""
    maker = graph.maker.get(name)
    if maker is None:
        return True
    others = [graph.weights[n] for n in maker.input if n in graph.weights]
    single = maker.op_type in ("Sub", "Div", "Mul", "Add") and all(np.prod(w.dims, initial=1) == 1 for w in others)
    return single and len(others) == len(maker.input) - 1 and _by_itself(graph, maker.input[0])
