"""Tuning picks what is right and takes least, and `auto` follows the profile of this machine only."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fusion.detect.weights import resolve
from fusion.engines import choice
from fusion.engines.engine import EngineSettings
from fusion.engines.plans import this_processor
from fusion.engines.profile import Profile, Tuned, profile_file, save_profile, this_profile
from fusion.engines.trial import trial_input
from fusion.engines.tune import Candidate, best, candidates, measured
from pipeline.core.errors import BadInput

FP32 = EngineSettings()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(choice.FLOAT_VARIABLE, raising=False)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    weight = numpy_helper.from_array(np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32), "w")
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 8, 8]) for n, c in (("image", 3), ("y", 4))]
    graph = helper.make_graph([helper.make_node("Conv", ["image", "w"], ["y"])], "tiny", ends[:1], ends[1:], [weight])
    path = tmp_path / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    return path


def took(cpu: float, wall: float, parity: float = 60.0, refused: str = "") -> Candidate:
    return Candidate("x", FP32, cpu, wall, parity, refused)


def test_least_processor_time_wins_among_those_that_are_in_time() -> None:
    quick, frugal, late = took(8.0, 4.0), took(6.0, 6.0), took(2.0, 20.0)
    assert best([quick, frugal, late], period_ms=10.0) is frugal
    assert best([quick, frugal, late], period_ms=1.0) is quick


def test_what_answers_wrongly_or_not_at_all_is_never_picked() -> None:
    right = took(9.0, 9.0)
    assert best([took(1.0, 1.0, parity=10.0), took(1.0, 1.0, refused="no such package"), right], 10.0) is right
    with pytest.raises(BadInput, match="one that runs it rightly, found 10 dB; no such package"):
        best([took(1.0, 1.0, parity=10.0), took(1.0, 1.0, refused="no such package")], 10.0)


def test_each_engine_that_is_here_is_measured_and_the_others_say_why_not(tiny: Path) -> None:
    tried = [Candidate("tiny", EngineSettings(name=name)) for name in ("onnxruntime", "torch", "tensorrt")]
    found = measured(tried, 3, lambda name: tiny)
    assert [bool(c.refused) for c in found] == [False, False, True]
    assert "tensorrt" in found[2].refused
    assert all(c.cpu_ms > 0.0 and c.parity_db > 100.0 for c in found[:2])


def test_candidates_are_both_forms_on_all_engines_with_one_thread_and_with_all() -> None:
    found = list(candidates("graph", 4))
    assert {c.engine.threads for c in found} == {1, 4}
    assert {c.engine.name for c in found} == {"onnxruntime", "openvino", "tensorrt", "torch"}
    assert ("openvino", "bf16") in {(c.engine.name, c.engine.arithmetic) for c in found}


def profile(processor: str) -> Profile:
    engine = EngineSettings(name="torch", threads=2)
    return Profile(
        processor=processor,
        networks={"graph": Tuned(weights="graph", engine=engine, cpu_ms=2.0, wall_ms=2.0, most_hz=500.0)},
    )


def test_auto_follows_the_profile_of_this_machine_and_no_other() -> None:
    save_profile(profile(this_processor()), profile_file())
    assert choice.chosen("graph", EngineSettings(name="auto")) == (
        resolve("graph"),
        EngineSettings(name="torch", threads=2),
    )
    assert choice.chosen("graph", FP32) == (resolve("graph"), FP32)
    save_profile(profile("another"), profile_file())
    assert this_profile() is None
    assert choice.chosen("graph", EngineSettings(name="auto"))[1].name == "onnxruntime"


def test_a_profile_that_is_none_is_named() -> None:
    profile_file().parent.mkdir(parents=True)
    profile_file().write_text("networks: 3\n")
    with pytest.raises(BadInput, match=r"profile\.yaml"):
        this_profile()


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    save_profile(profile(this_processor()), profile_file())
    assert msgspec.structs.asdict(this_profile() or profile("")) == msgspec.structs.asdict(profile(this_processor()))


def test_trial_inputs_fit_every_shipped_network() -> None:
    for name in ("camera_simulated", "lidar_simulated", "graph"):
        for given, array in trial_input(resolve(name)).items():
            assert array.size, given
    (occupied,) = trial_input(resolve("lidar_simulated")).values()
    assert 0.005 < occupied.mean() < 0.02
