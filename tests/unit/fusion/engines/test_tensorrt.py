"""TensorRT without TensorRT: networks against its support table, the builder against a fake that notes its calls."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fusion.detect.weights import resolve, shipped
from fusion.engines import tensorrt
from fusion.engines.engine import EngineSettings
from fusion.engines.onnx_notes import precision
from fusion.engines.tensorrt_support import check, objections, support
from fusion.quantise.form import deployed
from fusion.quantise.half import in_half
from fusion.quantise.layers import Graph
from fusion.quantise.qdq import quantised
from pipeline.core.errors import BadInput


def fake(version: str = "10.3.0", parses: bool = True, cache_fits: bool = True) -> tuple[Any, list[tuple[str, Any]]]:
    """A module with the part of TensorRT's interface that a build uses, and the calls that it gets."""
    calls: list[tuple[str, Any]] = []

    class Cache:
        def serialize(self) -> bytes:
            return b"timings of " + version.encode()

    class Config:
        def set_memory_pool_limit(self, pool: str, size: int) -> None:
            calls.append(("set_memory_pool_limit", (pool, size)))

        def create_timing_cache(self, data: bytes) -> Cache:
            calls.append(("create_timing_cache", data))
            return Cache()

        def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
            calls.append(("set_timing_cache", ignore_mismatch))
            return cache_fits

        def get_timing_cache(self) -> Cache:
            return Cache()

    class Builder:
        def __init__(self, logger: object) -> None: ...

        def create_network(self, flags: int) -> str:
            calls.append(("create_network", flags))
            return "network"

        def create_builder_config(self) -> Config:
            return Config()

        def build_serialized_network(self, network: str, config: Config) -> bytes:
            calls.append(("build_serialized_network", network))
            return b"the plan"

    class Parser:
        num_errors = 1

        def __init__(self, network: str, logger: object) -> None: ...

        def parse(self, data: bytes) -> bool:
            calls.append(("parse", len(data)))
            return parses

        def get_error(self, number: int) -> str:
            return f"error {number}: node of no known kind"

    class Logger:
        WARNING = 2

        def __init__(self, level: int) -> None: ...

    flags = types.SimpleNamespace(STRONGLY_TYPED=1)
    pool = types.SimpleNamespace(WORKSPACE="workspace")
    module = types.SimpleNamespace(
        __version__=version, Builder=Builder, OnnxParser=Parser, Logger=Logger,
        NetworkDefinitionCreationFlag=flags, MemoryPoolType=pool,
    )  # fmt: skip
    return module, calls


@pytest.fixture
def eight(tmp_path: Path) -> Path:
    """The LiDAR network in 8 bits, the rest in FP16, as a Jetson runs it."""
    model = deployed(onnx.load(str(resolve("lidar_simulated"))))
    graph = Graph(model)
    limits = dict.fromkeys(graph.quantised_tensors(graph.layers()), 4.0)
    path = tmp_path / "lidar_int8_fp16.onnx"
    onnx.save(in_half(quantised(model, graph.layers(), limits), "fp16", path), str(path))
    return path


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_network_and_its_forms_are_what_tensorrt_takes(name: str) -> None:
    model = onnx.load(str(resolve(name)))
    assert objections(model) == []
    if name in ("camera_simulated", "lidar_simulated"):
        for form in (deployed(model), in_half(deployed(model), "fp16", name), in_half(deployed(model), "bf16", name)):
            assert objections(form) == []


def test_the_8_bit_form_is_what_tensorrt_takes(eight: Path) -> None:
    assert objections(onnx.load(str(eight))) == []
    assert precision(eight) == "INT8 and FP16"
    assert precision(resolve("lidar_simulated")) == "FP32"


def one(
    node: onnx.NodeProto, weights: list[onnx.TensorProto] | None = None, kind: int = TensorProto.FLOAT, opset: int = 20
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, kind, [1, 3, 4, 4]) for name in "xy"]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], weights or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def scaled(zero: int, scale: float = 0.1) -> onnx.ModelProto:
    weights = [
        numpy_helper.from_array(np.array(scale, np.float32), "s"),
        numpy_helper.from_array(np.array(zero, np.int8), "z"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    model = one(nodes[0], weights)
    model.graph.node.append(nodes[1])
    return model


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (one(helper.make_node("Erf", ["x"], ["y"])), "Erf that makes y: no such operator"),
        (one(helper.make_node("Relu", ["x"], ["y"]), kind=TensorProto.UINT8), "Relu that makes y: UINT8, expected one"),
        (one(helper.make_node("Relu", ["x"], ["y"]), opset=7), "opset 7: TensorRT 10.15 takes 9 to 24"),
        (one(helper.make_node("Resize", ["x", "", "t"], ["y"], mode="cubic"),
             [numpy_helper.from_array(np.ones(4, np.float32), "t")]), "mode cubic"),
        (scaled(zero=3), "a zero point that is not 0"),
        (scaled(zero=0, scale=-1.0), "a scale that is not positive"),
    ],
)  # fmt: skip
def test_what_tensorrt_does_not_take_is_named(model: onnx.ModelProto, told: str) -> None:
    assert any(told in text for text in objections(model))
    with pytest.raises(BadInput, match=r"model\.onnx: operators: expected what TensorRT 10\.15 takes"):
        check(model, "model.onnx")


def test_8_bits_with_a_zero_point_of_0_are_taken() -> None:
    assert objections(scaled(zero=0)) == []


@pytest.mark.parametrize(("version", "flags"), [("10.3.0", 1 << 1), ("10.15.1", 1 << 1), ("11.2.0", 0)])
def test_networks_are_strongly_typed_in_10_by_asking_and_in_11_always(
    eight: Path, tmp_path: Path, version: str, flags: int
) -> None:
    trt, calls = fake(version)
    assert tensorrt.build(trt, eight, tmp_path / "timings") == b"the plan"
    assert calls == [
        ("create_network", flags), ("parse", eight.stat().st_size),
        ("set_memory_pool_limit", ("workspace", tensorrt.WORKSPACE_BYTES)),
        ("create_timing_cache", b""), ("set_timing_cache", False), ("build_serialized_network", "network"),
    ]  # fmt: skip


def test_what_is_not_in_8_bits_is_written_in_fp16_where_asked(tmp_path: Path) -> None:
    path = resolve("lidar_simulated")
    trt, calls = fake()
    tensorrt.build(trt, path, tmp_path / "timings", "fp16")
    (size,) = [count for name, count in calls if name == "parse"]
    assert size < 0.6 * path.stat().st_size


def test_timings_of_the_last_build_serve_the_next_but_not_those_of_another_device(eight: Path, tmp_path: Path) -> None:
    timings = tmp_path / "cache" / "timings"
    tensorrt.build(fake()[0], eight, timings)
    trt, calls = fake()
    tensorrt.build(trt, eight, timings)
    assert ("create_timing_cache", b"timings of 10.3.0") in calls
    trt, calls = fake(cache_fits=False)
    tensorrt.build(trt, eight, timings)
    assert [data for name, data in calls if name == "create_timing_cache"] == [b"timings of 10.3.0", b""]


def test_what_the_parser_says_reaches_the_user(eight: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a network that TensorRT can read, found error 0: node of no known kind"):
        tensorrt.build(fake(parses=False)[0], eight, tmp_path / "timings")


def test_a_network_of_open_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a fixed size, found a size that is open"):
        tensorrt.build(fake()[0], resolve("graph"), tmp_path / "timings")


def test_without_tensorrt_the_missing_package_is_named(eight: Path) -> None:
    with pytest.raises(BadInput, match="the package `tensorrt` to be installed"):
        tensorrt.TensorRt(eight, EngineSettings(name="tensorrt"))


def test_the_table_knows_where_it_is_from() -> None:
    assert support().version == "10.15"
    assert "INT8" in support().operators["DequantizeLinear"]
