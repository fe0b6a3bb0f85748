"""The ONNX operators of our networks in torch, one function each: tensors and the node's attributes in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import onnx
import torch
import torch.nn.functional as f
from torch import Tensor

Attributes: TypeAlias = Mapping[str, Any]
Operator: TypeAlias = Callable[[Sequence[Any], Attributes], Any]
"""Gives a tensor, or a tuple where the node has several outputs."""

DTYPES: dict[int, torch.dtype] = {
    onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.DOUBLE: torch.float64,
    onnx.TensorProto.BFLOAT16: torch.bfloat16, onnx.TensorProto.INT8: torch.int8, onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.INT32: torch.int32, onnx.TensorProto.INT64: torch.int64, onnx.TensorProto.BOOL: torch.bool,
}  # fmt: skip


def _is(function: Callable[..., Tensor]) -> Operator:
    """An operator that is a function of its inputs."""
    return lambda x, a: function(*x)


def _conv(x: Sequence[Any], a: Attributes) -> Any:
    pads = a.get("pads", [0, 0, 0, 0])
    data = f.pad(x[0], (pads[1], pads[3], pads[0], pads[2])) if any(pads) else x[0]
    bias = x[2] if len(x) > 2 else None
    return f.conv2d(data, x[1], bias, a.get("strides", [1, 1]), 0, a.get("dilations", [1, 1]), a.get("group", 1))


def _gemm(x: Sequence[Any], a: Attributes) -> Any:
    left, right = (m.T if a.get(f"trans{side}", 0) else m for m, side in ((x[0], "A"), (x[1], "B")))
    product = a.get("alpha", 1.0) * (left @ right)
    return product + a.get("beta", 1.0) * x[2] if len(x) > 2 else product


def _resize(x: Sequence[Any], a: Attributes) -> Any:
    return f.interpolate(x[0], scale_factor=x[2][2:].tolist(), mode="nearest")


def _depth_to_space(x: Sequence[Any], a: Attributes) -> Any:
    if a.get("mode", b"DCR") == b"CRD":
        return f.pixel_shuffle(x[0], a["blocksize"])
    n, c, h, w = x[0].shape
    b = a["blocksize"]
    return x[0].reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)


def _along(scale: Tensor, data: Tensor, axis: int) -> Tensor:
    return scale.reshape([-1 if k == axis % data.ndim else 1 for k in range(data.ndim)]) if scale.ndim else scale


def _quantise(x: Sequence[Any], a: Attributes) -> Any:
    zero = x[2] if len(x) > 2 else torch.zeros((), dtype=torch.uint8)
    kind = torch.iinfo(zero.dtype)
    steps = torch.round(x[0] / _along(x[1], x[0], a.get("axis", 1))) + _along(zero, x[0], a.get("axis", 1))
    return steps.clamp(kind.min, kind.max).to(zero.dtype)


def _dequantise(x: Sequence[Any], a: Attributes) -> Any:
    axis, data = a.get("axis", 1), x[0].to(x[1].dtype)
    if len(x) > 2:
        data = data - _along(x[2], data, axis).to(x[1].dtype)
    return data * _along(x[1], data, axis)


def _slice(x: Sequence[Any], a: Attributes) -> Any:
    data, starts, ends = x[0], x[1].tolist(), x[2].tolist()
    axes = x[3].tolist() if len(x) > 3 and x[3] is not None else list(range(len(starts)))
    steps = x[4].tolist() if len(x) > 4 and x[4] is not None else [1] * len(starts)
    parts = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        parts[axis] = slice(start, end, step)
    return data[tuple(parts)]


def _gather(x: Sequence[Any], a: Attributes) -> Any:
    axis, rows = a.get("axis", 0) % x[0].ndim, x[1].long()
    rows = torch.where(rows < 0, rows + x[0].shape[axis], rows)
    return torch.index_select(x[0], axis, rows.reshape(-1)).reshape(
        *x[0].shape[:axis], *rows.shape, *x[0].shape[axis + 1 :]
    )


def _gather_nd(x: Sequence[Any], a: Attributes) -> Any:
    return x[0][tuple(x[1].long().unbind(-1))]


def _pad(x: Sequence[Any], a: Attributes) -> Any:
    pads = x[1].tolist()
    axes = x[3].tolist() if len(x) > 3 and x[3] is not None else list(range(x[0].ndim))
    each = [(0, 0)] * x[0].ndim
    for k, axis in enumerate(axes):
        each[axis] = (pads[k], pads[k + len(axes)])
    value = float(x[2]) if len(x) > 2 and x[2] is not None else 0.0
    return f.pad(x[0], [size for pair in reversed(each) for size in pair], value=value)


def _reshape(x: Sequence[Any], a: Attributes) -> Any:
    wanted = x[1].tolist()
    return x[0].reshape(
        [x[0].shape[k] if size == 0 and not a.get("allowzero") else size for k, size in enumerate(wanted)]
    )


def _unsqueeze(x: Sequence[Any], a: Attributes) -> Any:
    out, rank = x[0], x[0].ndim + x[1].numel()
    for axis in sorted(k % rank for k in x[1].reshape(-1).tolist()):
        out = out.unsqueeze(axis)
    return out


def _squeeze(x: Sequence[Any], a: Attributes) -> Any:
    return torch.squeeze(x[0], tuple(x[1].reshape(-1).tolist())) if len(x) > 1 else torch.squeeze(x[0])


def _reduce_sum(x: Sequence[Any], a: Attributes) -> Any:
    axes = x[1].reshape(-1).tolist() if len(x) > 1 and x[1] is not None else list(range(x[0].ndim))
    return x[0].sum(dim=axes, keepdim=bool(a.get("keepdims", 1)))


def _split(x: Sequence[Any], a: Attributes) -> tuple[Tensor, ...]:
    axis = a.get("axis", 0)
    if len(x) > 1:
        return torch.split(x[0], x[1].tolist(), axis)
    return torch.split(x[0], -(-x[0].shape[axis] // a["num_outputs"]), axis)


def _layer_norm(x: Sequence[Any], a: Attributes) -> Any:
    axis = a.get("axis", -1) % x[0].ndim
    return f.layer_norm(x[0], x[0].shape[axis:], x[1], x[2] if len(x) > 2 else None, a.get("epsilon", 1e-5))


def _clip(x: Sequence[Any], a: Attributes) -> Any:
    low, high = (x[k] if len(x) > k else None for k in (1, 2))
    return x[0] if low is None and high is None else torch.clamp(x[0], low, high)


def _concat(x: Sequence[Any], a: Attributes) -> Any:
    return torch.cat(list(x), a["axis"])


OPERATORS: dict[str, Operator] = {
    "Abs": _is(torch.abs), "Add": _is(torch.add), "Div": _is(torch.div), "Exp": _is(torch.exp), "Log": _is(torch.log),
    "MatMul": _is(torch.matmul), "Mul": _is(torch.mul), "Neg": _is(torch.neg), "Pow": _is(torch.pow),
    "Relu": _is(torch.relu), "Sigmoid": _is(torch.sigmoid), "Sign": _is(torch.sign), "Sqrt": _is(torch.sqrt),
    "Sub": _is(torch.sub), "Tanh": _is(torch.tanh), "Identity": lambda x, a: x[0],
    "Cast": lambda x, a: x[0].to(DTYPES[a["to"]]),
    "Clip": _clip, "Concat": _concat, "Conv": _conv, "DepthToSpace": _depth_to_space, "DequantizeLinear": _dequantise,
    "Expand": lambda x, a: x[0] * torch.ones(x[1].tolist(), dtype=x[0].dtype, device=x[0].device),
    "Gather": _gather, "GatherND": _gather_nd, "Gemm": _gemm, "LayerNormalization": _layer_norm, "Pad": _pad,
    "QuantizeLinear": _quantise, "Reciprocal": _is(torch.reciprocal),
    "ReduceSum": _reduce_sum, "Reshape": _reshape, "Resize": _resize,
    "Shape": lambda x, a: torch.tensor(x[0].shape[a.get("start", 0) : a.get("end")]),
    "Slice": _slice, "Softmax": lambda x, a: torch.softmax(x[0], a.get("axis", -1)),
    "Split": _split, "Squeeze": _squeeze,
    "Transpose": lambda x, a: x[0].permute(a.get("perm", list(range(x[0].ndim))[::-1])),
    "Unsqueeze": _unsqueeze,
}  # fmt: skip


def refused(node: onnx.NodeProto, constants: Mapping[str, Tensor]) -> str:
    """What of a node is not done here, in a few words; empty where all is. constants: the file's weights by name."""
    a = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type not in OPERATORS:
        return node.op_type
    if node.op_type == "Resize" and a.get("mode", b"nearest") != b"nearest":
        return f"Resize by {a['mode'].decode()}"
    if node.op_type == "GatherND" and a.get("batch_dims", 0):
        return "GatherND in batches"
    if node.op_type == "Slice" and len(node.input) > 4 and node.input[4]:
        steps = constants.get(node.input[4])
        if steps is None or bool((steps < 1).any()):
            return "Slice backwards, or by steps that are no constants"
    return ""
