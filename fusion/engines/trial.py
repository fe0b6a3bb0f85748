"""Inputs to try a network with: of the right form and like what it is run on, the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from fusion.engines.engine import Array

_OPEN = {"pairs": 80, "tracks": 60, "sensors": 4, "per_track": 4, "per_sensor": 20}
"""Sizes that the graph leaves open, as large as in the scenes of the demo."""
_OCCUPIED = 0.01  # share of the pillars' slices that hold a return


def trial_input(path: Path) -> dict[str, Array]:
    """What a network in an ONNX file may be given. Sizes that are open and not the graph's are 1."""
    rng = np.random.default_rng(0)
    given = {}
    for value in onnx.load(str(path), load_external_data=False).graph.input:
        kind = value.type.tensor_type
        shape = [d.dim_value or _OPEN.get(d.dim_param, 1) for d in kind.shape.dim]
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        given[value.name] = _values(value.name, shape, rng).astype(dtype)
    return given


def _values(name: str, shape: list[int], rng: np.random.Generator) -> np.ndarray:
    if name == "occupied":
        return np.asarray(rng.random(shape) < _OCCUPIED)
    if name == "image":  # slow waves and some noise: neighbours are alike, as in images
        wave = sum(np.sin(np.arange(size) / 23.0).reshape([-1 if k == a else 1 for k in range(len(shape))])
                   for a, size in enumerate(shape))  # fmt: skip
        return np.asarray((110.0 + 30.0 * wave + rng.normal(0.0, 4.0, shape)).clip(0, 255))
    return np.asarray(rng.random(shape))
