"""torch runs every operator of our networks as ONNX Runtime does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fusion.detect.weights import resolve
from fusion.engines.engine import EngineSettings
from fusion.engines.onnx_runtime import OnnxRuntime
from fusion.engines.torch_engine import Torch
from fusion.engines.trial import trial_input
from fusion.quantise.form import deployed
from pipeline.core.errors import BadInput
from tests.graphs import random_input

SETTINGS = EngineSettings()


@pytest.mark.parametrize("name", ["camera_simulated", "lidar_simulated"])
def test_the_detectors_say_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(deployed(onnx.load(str(resolve(name)))), str(path))
    reference, ours = OnnxRuntime(path, SETTINGS), Torch(path, SETTINGS)
    assert (ours.inputs, ours.outputs) == (reference.inputs, reference.outputs)
    (given,) = ours.inputs
    rng = np.random.default_rng(0)
    feed = {given: rng.integers(0, 2, [n or 1 for n in ours.inputs[given].shape]).astype(np.uint8)}
    for output, expected in reference(feed).items():
        np.testing.assert_allclose(ours(feed)[output], expected, rtol=1e-3, atol=1e-3)


def test_the_graph_says_the_same_whatever_its_size() -> None:
    reference, ours = OnnxRuntime(resolve("graph"), SETTINGS), Torch(resolve("graph"), SETTINGS)
    assert ours.metadata == reference.metadata
    for sizes in ((60, 30, 5, 6), (1, 1, 1, 1)):
        feed = {name: array.numpy() for name, array in random_input(*sizes).items()}
        for output, expected in reference(feed).items():
            np.testing.assert_allclose(ours(feed)[output], expected, rtol=1e-3, atol=1e-4)


def test_the_heads_say_the_same() -> None:
    reference, ours = OnnxRuntime(resolve("heads"), SETTINGS), Torch(resolve("heads"), SETTINGS)
    feed = trial_input(resolve("heads"))
    for output, expected in reference(feed).items():
        np.testing.assert_allclose(ours(feed)[output], expected, rtol=1e-3, atol=1e-4)


def net(node: onnx.NodeProto, shapes: dict[str, list[int]], kinds: dict[str, int] | None = None) -> onnx.ModelProto:
    kind = {"x": TensorProto.FLOAT, "y": TensorProto.FLOAT} | (kinds or {})
    ends = [helper.make_tensor_value_info(name, kind[name], shapes[name]) for name in "xy"]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_in_both_orders(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    node = helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2, mode=mode)
    onnx.save(net(node, {"x": [1, 8, 3, 5], "y": [1, 2, 6, 10]}), str(path))
    feed = {"x": np.random.default_rng(0).random((1, 8, 3, 5), np.float32)}
    np.testing.assert_array_equal(Torch(path, SETTINGS)(feed)["y"], OnnxRuntime(path, SETTINGS)(feed)["y"])


def test_an_operator_that_it_lacks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(net(helper.make_node("Erf", ["x"], ["y"]), {"x": [1, 3], "y": [1, 3]}), str(path))
    with pytest.raises(BadInput, match=r"operators: expected those of an ONNX model that torch can run, found Erf"):
        Torch(path, SETTINGS)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (helper.make_node("Resize", ["x", "", "s"], ["y"], mode="linear"), "Resize by linear"),
        (helper.make_node("Slice", ["x", "a", "b", "c", "d"], ["y"]), "Slice backwards"),
        (helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=1), "GatherND in batches"),
    ],
    ids=["resize", "slice", "gather"],
)
def test_what_it_does_not_do_of_an_operator_is_named_when_the_file_is_opened(
    node: onnx.NodeProto, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(net(node, {"x": [1, 3], "y": [1, 3]}), str(path))
    with pytest.raises(BadInput, match=said):
        Torch(path, SETTINGS)
