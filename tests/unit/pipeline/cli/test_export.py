"""`syncline export` from end to end on a tiny network: files, card, report, plots, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from fusion.engines.engine import EngineSettings
from fusion.quantise.parity import Scores
from fusion.quantise.ranges import Feed
from pipeline.cli import export
from pipeline.cli.app import app
from pipeline.cli.export_subjects import Part, Told
from pipeline.core.errors import BadInput

NAME = "tiny"


class Tiny:
    name, metric = NAME, "AP of nothing"
    worlds: dict[Part, int] = {"calibrate": 1, "test": 1}
    loss_on_test = 0.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, part: Part, told: Told) -> None:
        told(1)

    def feeds(self, path: Path, part: Part) -> list[Feed]:
        rng = np.random.default_rng(len(part))
        return [{"image": rng.integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)} for _ in range(4)]

    def recorded(self, path: Path, drive: Path) -> list[Feed]:
        raise BadInput(drive, "sensors", "a camera", "none")

    def scores(self, path: Path, engine: EngineSettings, part: Part) -> Scores:
        lost = self.loss_on_test if part == "test" and path.stem.endswith("_int8") else 0.0
        return {"car": (200, 0.5 * (1.0 - lost)), "bus": (3, 0.2)}

    def data(self, part: Part) -> str:
        return f"made-up {part}"


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(export, "SUBJECTS", {NAME: Tiny})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32) / 9, name)
        for name, shape in (("w", (16, 3, 3, 3)), ("v", (16, 16, 3, 3)))
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["grid"], pads=[1, 1, 1, 1]),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 8, 8]) for n, c in (("image", 3), ("grid", 16))]
    model = helper.make_model(
        helper.make_graph(nodes, NAME, ends[:1], ends[1:], weights),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    path = tmp_path / "plain.onnx"
    onnx.save(model, str(path))
    return path


def test_a_network_comes_out_in_all_its_forms_with_card_report_and_plots(plain: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(
        app, ["export", NAME, "--weights", str(plain), "--out", str(tmp_path), "--json"], catch_exceptions=False
    )
    assert ran.exit_code == 0
    folder = tmp_path / NAME
    made = {path.name for path in folder.iterdir() if path.is_file()}
    forms = {f"{NAME}_{form}.onnx" for form in ("fp32", "fp16", "bf16", "int8", "int8_fp16")}
    assert made == forms | {f"{NAME}_int8.json", "report.json", "sensitivity.png", "classes.png"}
    report = json.loads((folder / "report.json").read_bytes())
    assert json.loads(ran.stdout.strip().splitlines()[-1]) == report
    assert report["outputs"]["grid"] > 25.0
    assert report["classes"]["car"] == {"labels": 200, "reference": 0.5, "quantised": 0.5}
    assert report["kept_in_float"] == []
    card = json.loads((folder / f"{NAME}_int8.json").read_bytes())
    assert card["sha256"] == report["sha256"]
    assert card["command"] == f"syncline export {NAME} --weights plain.onnx"


def test_a_class_that_loses_more_than_1_percent_ends_with_1(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tiny, "loss_on_test", 0.02)
    ran = CliRunner().invoke(app, ["export", NAME, "--weights", str(plain), "--out", str(tmp_path)])
    assert ran.exit_code == 1
    assert "2.00 %" in ran.stdout
    assert "not judged" in ran.stdout


def test_an_unknown_network_and_a_drive_without_the_sensor_are_named(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="model: expected one of tiny"):
        CliRunner().invoke(app, ["export", "other"], catch_exceptions=False)
    with pytest.raises(BadInput, match="sensors: expected a camera"):
        CliRunner().invoke(
            app,
            ["export", NAME, "--weights", str(plain), "--out", str(tmp_path), "--drive", str(tmp_path)],
            catch_exceptions=False,
        )
