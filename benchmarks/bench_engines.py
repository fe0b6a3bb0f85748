"""The networks of the project in float and in 8 bits, on each engine: CPU time of one answer on one thread, and size.

CPU time, since other work on a shared machine lengthens the clock's; all take turns, so that all see the same machine.
The limit of a float network is what as many multiply-adds cost in one large matrix product; that of one in 8 bits is
the float network on the same engine. `whole detector` is what the pipeline sees: input and boxes included.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from threadpoolctl import threadpool_limits

from fusion.detect.centre_points import CentrePoints
from fusion.detect.onnx_detectors import OnnxSettings
from fusion.detect.pillars import PillarDetector, PillarSettings
from fusion.detect.weights import SHIPPED, resolve, shipped
from fusion.engines.choice import EIGHT_BITS
from fusion.engines.engine import EngineName, EngineSettings
from fusion.engines.opened import open_engine
from fusion.engines.trial import trial_input
from fusion.quantise.form import deployed
from fusion.quantise.layers import Graph
from fusion.quantise.qdq import quantised
from nodes.intent.language.classifier import LinearClassifier, load
from nodes.intent.language.understand import WEIGHTS

GRIDS = ("camera_simulated", "lidar_simulated")
ENGINES: tuple[EngineName, ...] = ("torch", "onnxruntime", "openvino")
ROUNDS, WARM_UP = 40, 5
_PRODUCT, _FLOAT = "as many multiply-adds in one BLAS product", "the float network on the same engine"


def run() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        eight = {name: _in_8_bits(name, Path(folder)) for name in (*GRIDS, "graph")}
        for name, path in eight.items():
            rows += _engines(name, resolve(name), path)
        rows += _detectors(eight)
        rows += _intent()
    return rows


def _engines(name: str, plain: Path, eight: Path) -> Iterator[dict[str, Any]]:
    ways: dict[str, Callable[[], Any]] = {}
    for form, path, engines in (("float", plain, ENGINES), ("8 bits", eight, ENGINES[1:])):
        for engine in engines:
            opened = open_engine(path, EngineSettings(name=engine))
            ways[f"{form} {engine}"] = partial(opened, trial_input(path))
    multiplications = _multiplications(plain)
    if multiplications:
        ways["product"] = _matrix_product(multiplications)
    times = _in_turn(ways)
    for way in ways:
        form, _, engine = way.rpartition(" ")
        if form:
            path = plain if form == "float" else eight
            limit = times.get(f"float {engine}") if form == "8 bits" else times.get("product")
            of = _FLOAT if form == "8 bits" else _PRODUCT
            said = form if form == "float" or path.parent == SHIPPED else f"{form} (not shipped)"
            yield from _rows(f"{name}, {said}, {engine}, {path.stat().st_size / 1e6:.2f} MB", times[way], limit, of)


def _detectors(eight: dict[str, Path]) -> Iterator[dict[str, Any]]:
    """An image and a sweep to boxes, in the form that the pipeline ran before and in that of now."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (720, 1280, 3), np.uint8)
    xyz = rng.normal(0.0, [20.0, 20.0, 0.8], (60_000, 3)).astype(np.float32)
    times_ns, origin = np.zeros(len(xyz), np.int32), np.array([1.0, 0.0, 1.9])
    openvino = EngineSettings(name="openvino")
    in_eight = PillarSettings(weights=str(eight["lidar_simulated"]), engine=openvino)
    for name, before, now in (
        (
            "image 1280x720",
            partial(CentrePoints(resolve("camera_simulated"), OnnxSettings()), image),
            partial(CentrePoints(eight["camera_simulated"], OnnxSettings(engine=openvino)), image),
        ),
        (
            "sweep of 60k points",
            partial(PillarDetector(PillarSettings()), xyz, times_ns, origin, "top"),
            partial(PillarDetector(in_eight), xyz, times_ns, origin, "top"),
        ),
    ):  # fmt: skip
        times = _in_turn({"before": before, "now": now})
        yield from _rows(
            f"whole detector, {name}, 8 bits on openvino", times["now"], times["before"], "float on onnxruntime"
        )


def _intent() -> Iterator[dict[str, Any]]:
    """The intent classifier, whose weights are 8 bits as shipped, beside the same weights in float."""
    eight = load(WEIGHTS, "intent")
    weight = eight.weight.astype(np.float32)
    plain = LinearClassifier(eight.labels, weight, eight.scale, eight.idf, eight.bias, eight.temperature)  # type: ignore[arg-type]
    text = "take me to the nearest charging station and avoid the motorway"
    times = _in_turn({"float": lambda: plain.probabilities(text), "8 bits": lambda: eight.probabilities(text)})
    yield from _rows(f"intent, float, numpy, {weight.nbytes / 1e6:.2f} MB", times["float"], None, "")
    yield from _rows(
        f"intent, 8 bits, numpy, {eight.weight.nbytes / 1e6:.2f} MB", times["8 bits"], times["float"], _FLOAT
    )


def _rows(name: str, times_ms: list[float], limit_ms: list[float] | None, of: str) -> Iterator[dict[str, Any]]:
    for what, share in (("p50", 50), ("p99", 99)):
        value = float(np.percentile(times_ms, share))
        limit = float(np.percentile(limit_ms, share)) if limit_ms else None
        numbers = {"value": value, "unit": "ms CPU", "limit": limit, "ratio": value / limit if limit else None}
        yield {"name": f"{name}, {what}", **numbers, "limit_name": of if limit else ""}


def _in_8_bits(name: str, folder: Path) -> Path:
    """The form that ships; where none does, one with made-up ranges, of which its time does not depend."""
    if name + EIGHT_BITS in shipped():
        return resolve(name + EIGHT_BITS)
    model = onnx.load(str(resolve(name)))
    model = deployed(model) if name in GRIDS else model
    layers = Graph(model).layers()
    out = folder / f"{name}_not_shipped.onnx"
    onnx.save(quantised(model, layers, dict.fromkeys(Graph(model).quantised_tensors(layers), 4.0)), str(out))
    return out


def _in_turn(ways: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    times_ms: dict[str, list[float]] = {name: [] for name in ways}
    for k in range(WARM_UP + ROUNDS):
        for name, way in ways.items():
            began_ns = time.process_time_ns()
            way()
            if k >= WARM_UP:
                times_ms[name].append((time.process_time_ns() - began_ns) / 1e6)
    return times_ms


def _multiplications(path: Path) -> int:
    """Of all convolutions."""
    shaped = onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph
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
