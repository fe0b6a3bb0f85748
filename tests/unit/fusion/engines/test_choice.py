"""`auto` takes the 8-bit form where the machine multiplies 8 bits, and says what it took."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusion.detect.weights import resolve, shipped
from fusion.engines import choice
from fusion.engines.engine import EngineSettings

AUTO = EngineSettings(name="auto")


@pytest.fixture(autouse=True)
def no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(choice.FLOAT_VARIABLE, raising=False)


def machine(monkeypatch: pytest.MonkeyPatch, vnni: bool, openvino: bool) -> None:
    monkeypatch.setattr(choice, "multiplies_8_bits", lambda: vnni)
    monkeypatch.setattr(choice, "has_openvino", lambda: openvino)


@pytest.mark.parametrize("name", [n for n in shipped() if f"{n}_int8" in shipped()])
def test_8_bits_where_they_pay(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, vnni=True, openvino=True)
    path, engine = choice.chosen(name, AUTO)
    assert (path, engine.name) == (resolve(f"{name}_int8"), "openvino")
    assert choice.described(path, engine).startswith(f"{name}_int8: INT8 and FP32 on openvino ")


@pytest.mark.parametrize(("vnni", "openvino"), [(False, True), (True, False)])
def test_float_elsewhere(vnni: bool, openvino: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, vnni, openvino)
    path, engine = choice.chosen("camera_simulated", AUTO)
    assert (path, engine.name) == (resolve("camera_simulated"), "onnxruntime")
    assert choice.described(path, engine).startswith("camera_simulated: FP32 on onnxruntime ")


def test_weights_without_an_8_bit_form_and_settings_that_name_an_engine_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, vnni=True, openvino=True)
    assert choice.chosen("graph", AUTO)[1].name == "onnxruntime"
    named = EngineSettings(name="openvino", arithmetic="bf16")
    assert choice.chosen("camera_simulated", named) == (resolve("camera_simulated"), named)


def test_the_environment_can_ask_for_what_is_the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, vnni=True, openvino=True)
    monkeypatch.setenv(choice.FLOAT_VARIABLE, "1")
    path, engine = choice.chosen("lidar_simulated", AUTO)
    assert (path, engine.name) == (resolve("lidar_simulated"), "onnxruntime")
