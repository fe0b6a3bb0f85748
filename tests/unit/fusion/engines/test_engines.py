"""Every engine gives what the reference gives, keeps its answers apart, and says what is wrong with its input."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fusion.detect.weights import resolve, shipped
from fusion.engines import openvino
from fusion.engines.engine import Array, Engine, EngineName, EngineSettings
from fusion.engines.opened import open_engine
from fusion.engines.trial import trial_input
from fusion.engines.tune import LEAST_DB
from fusion.quantise.parity import sqnr_db
from fusion.training.graph.export import export
from pipeline.core.errors import BadInput
from tests.graphs import random_input, random_network

ENGINES: tuple[EngineName, ...] = ("onnxruntime", "openvino")
GRIDS = [name for name in shipped() if not name.startswith("graph") and not name.endswith("_int8")]


@pytest.fixture(autouse=True)
def plans_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def opened(name: str, engine: EngineName) -> Engine:
    return open_engine(resolve(name), EngineSettings(name=engine))


def some(engine: Engine, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.random([size or 1 for size in port.shape]).astype(port.dtype) for name, port in engine.inputs.items()
    }


@pytest.mark.parametrize("name", GRIDS)
def test_engines_agree_on_the_shipped_networks(name: str) -> None:
    reference, other = (opened(name, engine) for engine in ENGINES)
    assert other.inputs == reference.inputs
    assert other.outputs == reference.outputs
    assert other.metadata == reference.metadata
    given = some(reference)
    expected, found = reference(given), other(given)
    assert expected.keys() == found.keys() == reference.outputs.keys()
    for output, array in expected.items():
        np.testing.assert_allclose(found[output], array, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_answer_stays_what_it_was_when_the_next_comes(engine: EngineName) -> None:
    network = opened("camera_simulated", engine)
    (first,) = network(some(network, 0)).values()
    kept = first.copy()
    (second,) = network(some(network, 1)).values()
    np.testing.assert_array_equal(first, kept)
    assert (first != second).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_input_gives_the_same_bytes(engine: EngineName) -> None:
    given = some(opened("camera_simulated", engine))
    answers = [next(iter(opened("camera_simulated", engine)(given).values())).tobytes() for _ in range(2)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda x: x.astype(np.float64), "input image: expected float32"),
        (lambda x: x[:, :, :-1], r"expected float32 \(1, 3, 384, 640\), found float32 \(1, 3, 383, 640\)"),
        (lambda x: x[0], r"found float32 \(3, 384, 640\)"),
    ],
)
def test_a_wrong_input_is_named(engine: EngineName, spoil: object, told: str) -> None:
    network = opened("camera_simulated", engine)
    given = some(network)
    with pytest.raises(BadInput, match=told):
        network({"image": spoil(given["image"])})  # type: ignore[operator]
    with pytest.raises(BadInput, match="inputs: expected image, found pixels"):
        network({"pixels": given["image"]})


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_no_network_is_refused(engine: EngineName, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        open_engine(tmp_path / "none.onnx", EngineSettings(name=engine))
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"\x00garbage" * 100)
    with pytest.raises(BadInput, match="expected an ONNX model"):
        open_engine(garbage, EngineSettings(name=engine))


def test_arithmetic_that_an_engine_does_not_have_is_refused_and_not_replaced_in_silence() -> None:
    with pytest.raises(BadInput, match="arithmetic: expected fp32"):
        open_engine(resolve("camera_simulated"), EngineSettings(arithmetic="bf16"))


def test_the_graph_runs_on_either(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    export(random_network(), path)
    given = {name: array.numpy() for name, array in random_input(60, 30, 5, 6).items()}
    expected, found = (open_engine(path, EngineSettings(name=engine))(given) for engine in ENGINES)
    for output, array in expected.items():
        np.testing.assert_allclose(found[output], array, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in shipped() if name.endswith("_int8")])
def test_engines_agree_on_8_bits_as_far_as_their_rounding_goes(name: str) -> None:
    given = trial_input(resolve(name))
    expected, *others = (opened(name, engine)(given) for engine in ("onnxruntime", "openvino", "torch"))
    for output, array in expected.items():
        for other in others:
            assert sqnr_db(array, other[output]) > LEAST_DB


def test_an_engine_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    openvino._core.cache_clear()
    with pytest.raises(BadInput, match="the package `openvino` to be installed"):
        opened("camera_simulated", "openvino")
