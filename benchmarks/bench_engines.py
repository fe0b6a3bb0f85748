"""The shipped networks on each engine: CPU time of one answer on one thread.

CPU time, since other work on a shared machine lengthens the clock's; the engines take turns, so that all see the same
machine. The limit is what the same number of multiply-adds costs in one large matrix product (BLAS on one thread).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
from threadpoolctl import threadpool_limits

from fusion.detect.weights import resolve
from fusion.engines.engine import Array, Engine, EngineName, EngineSettings
from fusion.engines.opened import open_engine

GRIDS = ("camera_simulated", "lidar_simulated")
ENGINES: tuple[EngineName, ...] = ("onnxruntime", "openvino")
ROUNDS, WARM_UP = 60, 10
_LIMIT = "as many multiply-adds in one BLAS product"


def run() -> list[dict[str, Any]]:
    rows = []
    for name in GRIDS:
        path = resolve(name)
        engines = {engine: open_engine(path, EngineSettings(name=engine)) for engine in ENGINES}
        given = _some(engines["onnxruntime"])
        multiplications = _multiplications(path.read_bytes())
        ways: dict[str, Callable[[], Any]] = {n: partial(engine, given) for n, engine in engines.items()}
        ways["limit"] = _matrix_product(multiplications)
        with threadpool_limits(1):
            times_ms = _in_turn(ways)
        limit = float(np.median(times_ms.pop("limit")))
        for engine, times in times_ms.items():
            for what, value in zip(("p50", "p99"), np.percentile(times, (50, 99)), strict=True):
                numbers = {"value": float(value), "unit": "ms CPU", "limit": limit, "ratio": float(value) / limit}
                rows.append({"name": f"{name}, {engines[engine].describe}, {what}", **numbers, "limit_name": _LIMIT})
    return rows


def _some(engine: Engine) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {n: rng.random([size or 1 for size in p.shape]).astype(p.dtype) for n, p in engine.inputs.items()}


def _in_turn(ways: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    times_ms: dict[str, list[float]] = {name: [] for name in ways}
    for k in range(WARM_UP + ROUNDS):
        for name, way in ways.items():
            began_ns = time.process_time_ns()
            way()
            if k >= WARM_UP:
                times_ms[name].append((time.process_time_ns() - began_ns) / 1e6)
    return times_ms


def _multiplications(model: bytes) -> int:
    """Of all convolutions."""
    shaped = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*shaped.value_info, *shaped.output)}
    kernels = {w.name: list(w.dims) for w in shaped.initializer}
    return sum(
        int(np.prod(shapes[node.output[0]])) * int(np.prod(kernels[node.input[1]][1:]))
        for node in shaped.node
        if node.op_type == "Conv"
    )


def _matrix_product(multiplications: int) -> Callable[[], Any]:
    side = round(multiplications ** (1 / 3))
    a = np.random.default_rng(0).random((side, side), np.float32)
    return lambda: a @ a
