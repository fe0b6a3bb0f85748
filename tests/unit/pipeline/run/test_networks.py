"""A run says which networks it uses, in which form and on what."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from calibration.rig import Rig
from fusion.engines import choice
from pipeline.core.settings import load_yaml
from pipeline.graph import Graph
from pipeline.run.networks import networks

CONFIGS = Path(__file__).resolve().parents[4] / "configs"


@pytest.fixture(autouse=True)
def no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(choice.FLOAT_VARIABLE, raising=False)


def told(graph: str, rig: Rig) -> dict[str, str]:
    return networks(load_yaml(CONFIGS / "graphs" / f"{graph}.yaml", Graph), rig)


@pytest.fixture
def demo() -> Rig:
    return load_yaml(CONFIGS / "rigs" / "demo.yaml", Rig)


def test_the_simulated_graph_names_three_networks_and_float_without_8_bit_instructions(
    demo: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "multiplies_8_bits", lambda: False)
    found = told("simulated", demo)
    assert list(found) == ["detect_camera", "detect_lidar", "fuse"]
    assert all(": FP32 on onnxruntime " in text for text in found.values())


def test_detectors_of_sensors_that_the_rig_has_not_are_left_out(demo: Rig) -> None:
    bare = msgspec.structs.replace(demo, sensors=demo.radars)
    assert list(told("simulated", bare)) == ["fuse"]


def test_a_graph_without_networks_names_none(demo: Rig) -> None:
    bare = msgspec.structs.replace(demo, sensors=demo.lidars)
    assert told("baseline", bare) == {}
