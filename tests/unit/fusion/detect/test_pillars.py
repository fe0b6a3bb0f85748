"""The pillar detector: the network as ONNX, its answers as boxes, and sweeps of all kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from fusion.detect.onnx_detectors import GridNetwork
from fusion.detect.pillar_decode import decode
from fusion.detect.pillar_grid import BLOCKS, CHANNELS, RANGE_M
from fusion.detect.pillar_layout import CELL_M, CELLS, FIELDS, OUTPUTS
from fusion.detect.pillar_net import PillarNet
from fusion.detect.pillars import Earlier, PillarDetector, PillarSettings
from fusion.engines.engine import EngineSettings
from fusion.training.lidar_export import export_onnx
from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES, C, Detections

ORIGIN = np.array([1.0, 0.0, 1.9])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[PillarNet, Path]:
    """A network of random weights, so that every cell says something, and its file."""
    torch.manual_seed(5)
    net = PillarNet(16).eval()
    with torch.no_grad():
        net.answer.weight.mul_(20.0)
        net.answer.bias.zero_()
    path = tmp_path_factory.mktemp("pillars") / "net.onnx"
    export_onnx(net, path)
    return net, path


def detector(path: Path, min_score: float = 0.3) -> PillarDetector:
    return PillarDetector(PillarSettings(weights=str(path), min_score=min_score))


def street(seed: int = 0, n: int = 20_000) -> np.ndarray:
    """(N, 3) a flat road with clutter up to 3 m."""
    rng = np.random.default_rng(seed)
    xyz = rng.normal(0.0, [25.0, 25.0, 0.02], (n, 3))
    xyz[: n // 4, 2] = rng.uniform(0.0, 3.0, n // 4)
    return xyz.astype(np.float32)


def ask(found: PillarDetector, xyz: np.ndarray, earlier: Earlier | None = None) -> Detections:
    return found(xyz, np.arange(len(xyz), dtype=np.int32), ORIGIN, "top", earlier)


def test_the_file_answers_as_the_network_does_and_holds_no_scatter(trained: tuple[PillarNet, Path]) -> None:
    net, path = trained
    occupied = (np.random.default_rng(0).random((1, CHANNELS, BLOCKS, BLOCKS)) < 0.02).astype(np.float32)
    answer = GridNetwork(path, EngineSettings())(occupied)
    with torch.no_grad():
        expected = net(torch.from_numpy(occupied)).numpy()
    assert answer.shape == (1, OUTPUTS, CELLS, CELLS)
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert operators <= {"Conv", "Relu", "Add", "Resize", "DepthToSpace", "Concat", "Constant"}


def answer(boxes: list[tuple[str, float, float, float, tuple[float, float, float], float]]) -> np.ndarray:
    """An answer that says exactly these boxes: class, logit, x, y, size, yaw; 0.1 m and 0.1 rad uncertain."""
    grid = np.zeros((OUTPUTS, CELLS, CELLS), np.float32)
    grid[:C] = -9.0
    first = dict(zip(FIELDS, C + np.cumsum([0, *FIELDS.values()])[:-1], strict=True))
    grid[first["log_sigma"] :] = np.log(0.1)
    for kind, logit, x, y, size, yaw in boxes:
        row, column = int((x + RANGE_M) // CELL_M), int((y + RANGE_M) // CELL_M)
        cell = grid[:, row, column]
        cell[CLASSES.index(kind)] = logit
        cell[first["offset"] : first["offset"] + 2] = [(v + RANGE_M) / CELL_M % 1 - 0.5 for v in (x, y)]
        cell[first["height"]] = size[2] / 2
        cell[first["log_size"] : first["log_size"] + 3] = np.log(size)
        cell[first["axis"] : first["axis"] + 2] = np.cos(2 * yaw), np.sin(2 * yaw)
        cell[first["heading"] : first["heading"] + 2] = np.cos(yaw), np.sin(yaw)
        cell[first["moved"] : first["moved"] + 2] = 1.0, -2.0
    return grid


def test_an_answer_is_read_as_it_was_meant() -> None:
    car, walker = (4.5, 1.8, 1.5), (0.6, 0.7, 1.8)
    for yaw in (0.3, 2.0, -2.9, np.pi / 2):
        grid = answer([("car", 3.0, 20.3, -7.8, car, yaw), ("pedestrian", 1.0, 22.6, -7.1, walker, 0.0)])
        found = decode(grid, 0.05, 0.3)
        assert [CLASSES[k] for k in found.class_score.argmax(axis=1)] == ["car", "pedestrian"]
        np.testing.assert_allclose(found.xy, [[20.3, -7.8], [22.6, -7.1]], atol=1e-4)
        np.testing.assert_allclose(found.size, [car, walker], rtol=1e-5)
        assert found.yaw[0] == pytest.approx(yaw, abs=1e-5)
        assert found.score[0] == pytest.approx(1 / (1 + np.exp(-3.0)), abs=0.01)
        np.testing.assert_allclose(found.sigma, 0.1, rtol=1e-5)


def test_of_two_of_a_group_in_one_place_the_better_stays_and_a_driver_stands_in_his_car() -> None:
    bus, car = (11.0, 2.9, 3.2), (4.5, 1.8, 1.5)
    grid = answer([("bus", 2.0, 10.2, 0.4, bus, 0.0), ("car", 1.0, 14.6, 0.6, car, 0.0)])
    assert len(decode(grid, 0.05, 0.3).score) == 1
    beside = answer([("bus", 2.0, 10.2, 0.4, bus, 0.0), ("car", 1.0, 14.6, 3.6, car, 0.0)])
    assert len(decode(beside, 0.05, 0.3).score) == 2
    inside = answer([("bus", 2.0, 10.2, 0.4, bus, 0.0), ("pedestrian", 1.0, 14.6, 0.6, (0.6, 0.6, 1.7), 0.0)])
    assert len(decode(inside, 0.05, 0.3).score) == 2


def test_detections_are_whole_and_the_same_each_time(trained: tuple[PillarNet, Path]) -> None:
    found, xyz = detector(trained[1]), street()
    first = ask(found, xyz, Earlier(street(1), 0.2))
    again = ask(detector(trained[1]), xyz[::-1], Earlier(street(1), 0.2))
    assert len(first) > 20
    for field in ("position", "position_cov", "size", "yaw", "velocity", "score", "class_score", "points"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
    assert (np.linalg.eigvalsh(first.position_cov.astype(float)) > 0).all()
    assert np.isfinite(first.velocity).all()
    assert (np.diff(first.score) <= 0).all()
    np.testing.assert_allclose(first.class_score.sum(axis=1), 1.0, atol=1e-5)
    assert first.points.max() > 0
    assert np.abs(first.time_offset_ns).max() > 0
    alone = ask(found, xyz)
    assert np.isnan(alone.velocity).all()
    assert np.isnan(alone.velocity_cov).all()


def test_points_that_are_no_numbers_change_nothing(trained: tuple[PillarNet, Path]) -> None:
    found, xyz = detector(trained[1]), street()
    bad = np.array([[np.nan, 1.0, 1.0], [5.0, np.inf, 0.5], [5.0, 5.0, -np.inf], [1e9, 0.0, 1.0]], np.float32)
    clean, mixed = ask(found, xyz), ask(found, np.concatenate([xyz, bad]))
    np.testing.assert_array_equal(clean.position, mixed.position)
    np.testing.assert_array_equal(clean.points, mixed.points)


@pytest.mark.parametrize("n", [0, 1, 2_000_000])
def test_sweeps_of_any_size_are_answered(trained: tuple[PillarNet, Path], n: int) -> None:
    seen = ask(detector(trained[1]), street(n=n))
    assert len(seen) <= 1000
    assert np.isfinite(seen.position).all()


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    same = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([same], "same", ends[:1], ends[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)
    with pytest.raises(BadInput, match=r"other\.onnx.*input"):
        detector(path)
    with pytest.raises(BadInput, match="an ONNX model"):
        detector(tmp_path / "none.onnx")
