"""Biases of a quantised network, corrected for what rounding shifts on average.

Rounded weights and cut-off values shift the mean of a channel; over many layers the shifts add up. From the first layer
to the last each bias takes up the difference between the float network's mean and the quantised one's, those before it
already corrected (Nagel et al., Data-Free Quantization, 2019, there without data).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from fusion.quantise.layers import Layer
from fusion.quantise.ranges import Feed, session_of

Floats = npt.NDArray[np.float64]


def corrected(
    model: onnx.ModelProto, quantised: onnx.ModelProto, layers: Sequence[Layer], samples: Sequence[Feed]
) -> onnx.ModelProto:
    """``quantised`` with corrected biases of these convolutions. model: the float one. Layers without a bias stay."""
    able = [layer for layer in layers if layer.node.op_type == "Conv" and len(layer.node.input) > 2]
    if not able:
        return quantised
    wanted = _means(model, [layer.output for layer in able], samples)
    out = onnx.ModelProto()
    out.CopyFrom(quantised)
    biases = {tensor.name: tensor for tensor in out.graph.initializer}
    for layer in able:
        (found,) = _means(out, [layer.output], samples)
        bias = biases[layer.node.input[2]]
        mended = numpy_helper.to_array(bias) + (wanted[able.index(layer)] - found)
        bias.CopyFrom(numpy_helper.from_array(mended.astype(np.float32), bias.name))
    return out


def _means(model: onnx.ModelProto, tensors: Sequence[str], samples: Sequence[Feed]) -> list[Floats]:
    """(channels,) mean of each tensor (n, channels, h, w) over the samples."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    ends = {value.name for value in tapped.graph.output}
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in ends)
    session = session_of(tapped, optimise=False)  # which fuses away even what is asked for
    sums: list[Floats] = [np.zeros(1) for _ in tensors]
    for feed in samples:
        for k, answer in enumerate(session.run(list(tensors), dict(feed))):
            sums[k] = sums[k] + np.asarray(answer, np.float64).mean(axis=(0, 2, 3))
    return [total / len(samples) for total in sums]
