"""What of a graph can be quantised: layers with weights, and the tensors that flow between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

WEIGHED = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0, "MatMul": 1}
"""Operators with weights, and the weights' axis of output channels (Gemm: of transposed weights)."""
_ALONG = ("Add", "Concat", "Resize", "MaxPool", "DepthToSpace")
"""Operators that an engine runs in 8 bits where all around them does, so that nothing is converted back and forth."""


class Layer(NamedTuple):
    """A node with weights. name: that of its weights, since exporters leave nodes unnamed. axis: of output channels."""

    name: str
    node: onnx.NodeProto
    weight: str
    axis: int

    @property
    def output(self) -> str:
        return str(self.node.output[0])


class Graph:
    """A model, and who makes and who reads each of its tensors."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.weights = {w.name: w for w in model.graph.initializer}
        self.maker = {name: node for node in model.graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self._constant: dict[str, bool] = {}
        self.outputs = {value.name for value in model.graph.output}

    def layers(self) -> list[Layer]:
        """In the order in which they run."""
        return list(self._layers())

    def is_constant(self, name: str) -> bool:
        """Whether a tensor depends on no input: an engine works it out once."""
        if name not in self._constant:
            maker = self.maker.get(name)
            inputs = [n for n in maker.input if n] if maker is not None else []
            self._constant[name] = name in self.weights or (bool(inputs) and all(map(self.is_constant, inputs)))
        return self._constant[name]

    def array(self, name: str) -> npt.NDArray[np.generic]:
        return np.asarray(numpy_helper.to_array(self.weights[name]))

    def _layers(self) -> Iterator[Layer]:
        for node in self.model.graph.node:
            weighed = node.op_type in WEIGHED and len(node.input) > 1 and node.input[1] in self.weights
            if weighed and not self.is_constant(node.input[0]):
                weight = self.weights[node.input[1]]
                if weight.data_type == onnx.TensorProto.FLOAT and len(weight.dims) >= 2:
                    axis = WEIGHED[node.op_type]
                    if node.op_type == "Gemm":
                        axis = 0 if _attribute(node, "transB") else 1
                    if node.op_type == "MatMul":
                        axis = len(weight.dims) - 1
                    yield Layer(weight.name.removesuffix(".weight"), node, weight.name, axis)

    def quantised_tensors(self, layers: list[Layer]) -> list[str]:
        """The tensors to put in 8 bits so that these layers run in 8 bits: what they read, and what operators between
        them read. In the order in which they are made."""
        chosen = {layer.node.input[0] for layer in layers}
        made = {layer.output for layer in layers}
        while True:
            before = len(chosen)
            for node in self.model.graph.node:
                if node.op_type in _ALONG and self._between(node, chosen, made):
                    chosen |= {name for name in _data(node) if name not in self.weights}
                    made.add(node.output[0])
                if node.op_type == "Relu" and node.input[0] in made:
                    made.add(node.output[0])
            if len(chosen) == before:
                break
        chosen -= {name for name in chosen if self._summed_in_place(name)}
        order = [value.name for value in self.model.graph.input] + [n for m in self.model.graph.node for n in m.output]
        return [name for name in [*self.weights, *order] if name in chosen]

    def _summed_in_place(self, name: str) -> bool:
        """Whether a layer makes the tensor and only an Add reads it: engines do that sum in the layer."""
        readers = self.readers.get(name, [])
        if len(readers) != 1 or readers[0].op_type != "Add" or name in self.outputs:
            return False
        other = next((n for n in readers[0].input if n != name), name)
        return self._of_layer(name) and not (self._of_layer(other) and len(self.readers[other]) == 1)

    def _of_layer(self, name: str) -> bool:
        maker = self.maker.get(name)
        if maker is not None and maker.op_type == "Relu":
            maker = self.maker.get(maker.input[0])
        return maker is not None and maker.op_type in WEIGHED

    def _between(self, node: onnx.NodeProto, chosen: set[str], made: set[str]) -> bool:
        """Whether all that the node reads is in 8 bits already, and what it makes is wanted so."""
        able = all(name in made or name in chosen or name in self.weights for name in _data(node))
        return able and node.output[0] in chosen


def _data(node: onnx.NodeProto) -> list[str]:
    """Inputs that are data: of a Resize the first only."""
    return [name for name in (node.input if node.op_type in ("Add", "Concat") else node.input[:1]) if name]


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), 0)
