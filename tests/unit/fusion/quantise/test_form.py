"""The form in which networks are run says the same as the plain one, from the same images and sweeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.detect.centre_net import CentreNet
from fusion.detect.centre_points import CentrePoints
from fusion.detect.onnx_detectors import OnnxSettings
from fusion.detect.pillars import Earlier, PillarDetector, PillarSettings
from fusion.detect.weights import resolve
from fusion.engines.trial import trial_input
from fusion.quantise.bias import corrected
from fusion.quantise.constants import added_behind
from fusion.quantise.form import deployed
from fusion.quantise.layers import Graph
from fusion.quantise.parity import answers, compare
from fusion.quantise.qdq import quantised
from fusion.quantise.stem import blocked, in_blocks
from fusion.training.camera_export import export_onnx


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_two_halvings_in_blocks_are_the_same_numbers(seed: int, h: int, w: int, n_in: int, n_mid: int) -> None:
    torch.manual_seed(seed)
    first, second = (torch.nn.Conv2d(a, b, 3, 2, 1) for a, b in ((n_in, n_mid), (n_mid, 2)))
    x = torch.randn(1, n_in, 4 * h, 4 * w)
    with torch.no_grad():
        expected = second(torch.relu(first(x)))
        blocks = x.reshape(1, n_in, h, 4, w, 4).permute(0, 3, 5, 1, 2, 4).reshape(1, 16 * n_in, h, w)
        weights = [torch.from_numpy(blocked(c.weight.numpy(), b)) for c, b in ((first, 2), (second, 1))]
        middle = torch.relu(
            torch.conv2d(torch.nn.functional.pad(blocks, (1, 0, 1, 0)), weights[0], first.bias.repeat(4))
        )
        found = torch.conv2d(torch.nn.functional.pad(middle, (1, 0, 1, 0)), weights[1], second.bias)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def in_form(name: str, folder: Path) -> Path:
    path = folder / f"{name}.onnx"
    onnx.save(deployed(onnx.load(str(resolve(name)))), str(path))
    return path


@pytest.mark.parametrize("size", [(384, 640), (500, 900), (200, 300)])
def test_an_image_gives_the_same_boxes(tmp_path: Path, size: tuple[int, int]) -> None:
    bgr = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    chosen = OnnxSettings(min_score=0.005)
    plain, ours = (
        CentrePoints(path, chosen) for path in (resolve("camera_simulated"), in_form("camera_simulated", tmp_path))
    )
    assert ours.given(bgr).dtype == np.uint8
    expected, found = plain(bgr), ours(bgr)
    np.testing.assert_allclose(found.edges, expected.edges, atol=1e-2)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-4)


def test_a_sweep_gives_the_same_detections(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    xyz, before = (rng.normal(0.0, [20.0, 20.0, 0.8], (20_000, 3)).astype(np.float32) for _ in range(2))
    times, origin = np.arange(20_000, dtype=np.int32), np.array([1.0, 0.0, 1.9])
    paths = (str(resolve("lidar_simulated")), str(in_form("lidar_simulated", tmp_path)))
    plain, ours = (PillarDetector(PillarSettings(weights=path, min_score=0.02)) for path in paths)
    for earlier in (None, Earlier(before, 0.1)):
        np.testing.assert_array_equal(
            np.moveaxis(ours.given(xyz, earlier), -1, 1).astype(np.float32), plain.given(xyz, earlier)
        )
    expected, found = (one(xyz, times, origin, "top") for one in (plain, ours))
    assert len(expected) > 5
    np.testing.assert_allclose(found.position, expected.position, atol=1e-3)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-4)


def test_blocks_need_sides_of_whole_blocks_and_a_network_that_halves_twice(tmp_path: Path) -> None:
    lidar = onnx.load(str(resolve("lidar_simulated")))
    assert in_blocks(lidar) is lidar
    path = tmp_path / "camera.onnx"
    export_onnx(CentreNet(10, 16), path, 64, 96)
    camera = onnx.load(str(path))
    shape = [d.dim_value for d in in_blocks(camera).graph.input[0].type.tensor_type.shape.dim]
    assert shape == [1, 48, 16, 24]


def test_a_constant_added_before_a_convolution_is_added_behind_it_and_changes_nothing(tmp_path: Path) -> None:
    lidar = onnx.load(str(resolve("lidar_simulated")))
    apart = added_behind(lidar)
    before, after = ([n.op_type for n in m.graph.node].count("Conv") for m in (lidar, apart))
    assert after == before + 1
    rng = np.random.default_rng(0)
    feeds = [{"occupied": (rng.random((1, 192, 128, 128)) < 0.01).astype(np.float32)}]
    assert compare(answers(lidar, feeds), answers(apart, feeds))["grid"] > 100.0
    camera = onnx.load(str(resolve("camera_simulated")))
    assert [n.op_type for n in added_behind(camera).graph.node] == [n.op_type for n in camera.graph.node]


def test_biases_of_layers_behind_which_a_constant_is_added_are_corrected_too() -> None:
    model = deployed(onnx.load(str(resolve("lidar_simulated"))))
    graph = Graph(model)
    limits = dict.fromkeys(graph.quantised_tensors(graph.layers()), 3.0)
    rough, few = quantised(model, graph.layers(), limits), [trial_input(resolve("lidar_simulated"))]
    few = [{"occupied": np.moveaxis(feed["occupied"], 1, -1).astype(np.uint8)} for feed in few]
    mended = corrected(model, rough, graph.layers()[:3], few)
    names = [layer.node.input[2] for layer in graph.layers()[:3]]
    before, after = ({w.name: w for w in one.graph.initializer} for one in (rough, mended))
    assert all(before[name] != after[name] for name in names)
