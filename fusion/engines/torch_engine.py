"""torch as an engine: runs the ONNX file node by node, on CUDA where there is a device, else on the processor.

For machines where torch is what there is, and as an independent second opinion on the other engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from fusion.engines.engine import Array, EngineSettings, Port, check_feed
from fusion.engines.onnx_notes import notes, precision
from fusion.engines.torch_operators import DTYPES, OPERATORS, refused
from pipeline.core.errors import BadInput


class Torch:
    """Raises:
    BadInput: not an ONNX model, an operator that is not in `torch_operators`, or arithmetic other than the file's.
    """

    def __init__(self, path: Path, settings: EngineSettings) -> None:
        if settings.arithmetic != "fp32":
            raise BadInput(path, "arithmetic", "fp32: torch computes as the file says", settings.arithmetic)
        try:
            model = onnx.load(str(path), load_external_data=False)
        except Exception as error:  # protobuf's errors share no other base
            raise BadInput(path, "file", "an ONNX model that torch can run", error) from error
        weights = {w.name: _tensor(w) for w in model.graph.initializer}
        unknown = sorted({refused(node, weights) for node in model.graph.node} - {""})
        if unknown or not model.graph.node:
            raise BadInput(path, "operators", "those of an ONNX model that torch can run", ", ".join(unknown) or "none")
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._threads, self._path = settings.threads, path
        self._weights = {name: weight.to(self._device) for name, weight in weights.items()}
        self._nodes = [(OPERATORS[n.op_type], list(n.input), list(n.output), _attributes(n)) for n in model.graph.node]
        self._last_use = {name: k for k, node in enumerate(self._nodes) for name in node[1]}
        self.inputs: Mapping[str, Port] = {v.name: _port(v) for v in model.graph.input}
        self.outputs: Mapping[str, Port] = {v.name: _port(v) for v in model.graph.output}
        self.metadata: Mapping[str, str] = notes(path)
        self.describe = (
            f"torch {torch.__version__} on {self._device.type}, {precision(path)}, threads {settings.threads}"
        )

    @torch.no_grad()
    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        check_feed(self._path, self.inputs, feed)
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            return self._run(feed)
        finally:
            torch.set_num_threads(before)

    def _run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        held = {name: torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for name, array in feed.items()}
        for k, (operator, given, made, attributes) in enumerate(self._nodes):
            x = [self._weights.get(name, held.get(name)) if name else None for name in given]
            answer = operator(x, attributes)
            held |= zip(made, answer if isinstance(answer, tuple) else (answer,), strict=True)
            for name in given:
                if self._last_use.get(name) == k and name not in self.outputs:
                    held.pop(name, None)
        return {name: held[name].cpu().numpy().copy() for name in self.outputs}


def _tensor(weight: onnx.TensorProto) -> Tensor:
    if weight.data_type == onnx.TensorProto.BFLOAT16:
        return torch.from_numpy(numpy_helper.to_array(weight).astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(numpy_helper.to_array(weight).copy())


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _port(value: onnx.ValueInfoProto) -> Port:
    kind = value.type.tensor_type
    shape = tuple(d.dim_value or None for d in kind.shape.dim)
    return Port(shape, np.dtype(torch.empty(0, dtype=DTYPES[kind.elem_type]).numpy().dtype))
