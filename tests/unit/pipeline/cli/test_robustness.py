from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from calibration.rig import Rig
from nodes.sources.faults.fault import parse_fault
from pipeline.cli.app import app
from pipeline.cli.paths import CONFIGS, config_file
from pipeline.core.errors import BadInput
from pipeline.core.settings import load_yaml
from pipeline.deploy_ray import spread
from pipeline.evaluate.robustness import Cell, RobustnessSettings, cells, robustness
from pipeline.evaluate.robustness_page import as_markdown, write_plots
from pipeline.run.clips import ClipRobustness, parsed
from tests.simulated import DEMO_RIG, record_street, street_drive

MAP, ERROR = "detection/fused/mAP", "uncertainty/position_rmse_m"


def test_resistance_is_what_is_left_of_the_clean_score() -> None:
    settings = RobustnessSettings(severities=(1, 2), faults=("fog", "dark"), silent=("dark",))
    numbers = (0.4, 0.3, 0.1, 0.4, None)
    scores = {cell: {MAP: number, ERROR: 2.0} for cell, number in zip(cells(settings), numbers, strict=True)}
    result = robustness(settings, "drive", {"a": scores}, ("clutter",)).fusers[0]
    assert result.rows[0].ra == pytest.approx((0.75, 0.25))
    assert result.rows[1].ra == (1.0, 0.0)
    assert result.mean_ra == pytest.approx(0.5)
    assert result.silent_ra == pytest.approx(0.5)
    assert result.values[ERROR] == (2.0, 2.0)
    with pytest.raises(BadInput, match="clean score above 0"):
        robustness(settings, "drive", {"a": {Cell(): {MAP: None}}})
    with pytest.raises(BadInput, match=r"key of metrics\.json"):
        robustness(settings, "drive", {"a": {Cell(): {}}})


def test_the_table_marks_the_best_and_the_plots_are_drawn(tmp_path: Path) -> None:
    settings = RobustnessSettings(severities=(1,), faults=("fog",))
    scores = {
        name: {Cell(): {MAP: clean, "uncertainty/coverage_0.50": 0.4}, Cell(fault="fog", severity=1): {MAP: 0.2}}
        for name, clean in (("a", 0.4), ("b", 0.5))
    }
    result = robustness(settings, "clips", scores, ("clutter",))
    text = as_markdown(result)
    assert "| **mRA** | **0.500** | 0.400 |" in text
    assert "| mAP, clean | 0.400 | **0.500** |" in text
    assert "clutter" in text
    assert [path.name for path in write_plots(result, tmp_path)] == ["resistance.png", "coverage.png"]
    assert (tmp_path / "coverage.png").stat().st_size > 1000


def test_the_lists_that_come_with_it_can_be_put_on_the_demo_drive_and_its_rig() -> None:
    settings = load_yaml(config_file("eval", "robustness"), RobustnessSettings)
    drive = street_drive(1.0, tuple(sensor.name for sensor in DEMO_RIG.sensors))
    for cell in cells(settings):
        assert all(parse_fault(fault, drive.rig, drive.topics).sensors for fault in cell.faults)
    of_clips = load_yaml(config_file("eval", "robustness_clips"), ClipRobustness)
    rig = load_yaml(CONFIGS / "rigs" / f"{of_clips.rig}.yaml", Rig)
    assert all(parsed(fault, rig).sensors for cell in cells(of_clips) for fault in cell.faults)
    with pytest.raises(BadInput, match="drawn at detection level"):
        parsed("duplicate:1", rig)


def test_clips_are_fused_side_by_side_and_a_second_call_goes_on(tmp_path: Path) -> None:
    config = tmp_path / "few.yaml"
    config.write_text(
        "faults: [lidar.misaligned, dark+radar.clutter]\nsilent: [lidar.misaligned]\nseverities: [3]\n"
        "metric: detection/fused/car/AP\nclips: {count: 1, seconds: 3}\n"
    )
    lidar = tmp_path / "lidar.yaml"
    lidar.write_text("name: only_lidar\nnodes: [{node: fuse, settings: {modalities: [lidar]}}]\n")
    call = ["robustness", "clips", "--json", "-o", str(tmp_path / "out"), "-c", str(config)]
    one = CliRunner().invoke(app, [*call, "-g", "baseline"])
    assert one.exit_code == 0, one.output
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.3.json")}
    assert len(made) == 2
    both = CliRunner().invoke(app, [*call, "-g", "baseline", "-g", str(lidar)])
    result = msgspec.json.decode(both.stdout)
    assert [fuser["fuser"] for fuser in result["fusers"]] == ["baseline", "only_lidar"]
    assert result["fusers"][0] == msgspec.json.decode(one.stdout)["fusers"][0]
    assert made == {path: path.stat().st_mtime_ns for path in made}
    rows = {row["fault"]: row for row in result["fusers"][1]["rows"]}
    assert rows["dark+radar.clutter"]["ra"] == [1.0], "a LiDAR alone does not care"
    assert (tmp_path / "out" / "robustness.md").read_text().startswith("`detection/fused/car/AP` over clips")
    lidar.write_text("name: only_lidar\nnodes: [{node: fuse, settings: {modalities: [radar]}}]\n")
    other = CliRunner().invoke(app, [*call, "-g", str(lidar)])
    assert isinstance(other.exception, BadInput), "scores of another fuser of that name are not mixed in"
    other = CliRunner().invoke(app, [*call, "--clips", "2"])
    assert isinstance(other.exception, BadInput), "scores of other clips are not mixed in"


@pytest.mark.slow
def test_cells_made_on_ray_are_those_of_this_process_and_a_second_call_goes_on(tmp_path: Path) -> None:
    config = tmp_path / "few.yaml"
    config.write_text(
        "faults: [lidar.misaligned, dark]\nseverities: [3]\nmetric: detection/fused/car/AP\n"
        "clips: {count: 1, seconds: 3}\n"
    )
    call = ["robustness", "clips", "--json", "-c", str(config), "-g", "baseline"]
    here = CliRunner().invoke(app, [*call, "-o", str(tmp_path / "here")])
    there = CliRunner().invoke(app, [*call, "-o", str(tmp_path / "there"), "--ray", "local"])
    assert there.exit_code == 0, there.output
    assert msgspec.json.decode(here.stdout) == msgspec.json.decode(there.stdout)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "there").rglob("*.json")}
    gone = next(path for path in kept if path.name == "dark.3.json")
    gone.unlink()
    again = CliRunner().invoke(app, [*call, "-o", str(tmp_path / "there"), "--ray", "local"])
    assert again.stdout == there.stdout
    same = [path for path in kept if path.parent.name == "baseline" and path != gone]
    assert same
    assert all(path.stat().st_mtime_ns == kept[path] for path in same)


@pytest.mark.slow
def test_what_fails_on_ray_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        list(spread(lambda a, b: a / b, [(1, 1), (1, 0)], "local", 1))


@pytest.mark.slow
def test_a_drive_is_run_once_for_all_fusers(tmp_path: Path) -> None:
    config = tmp_path / "few.yaml"
    config.write_text("faults: [packet_loss, gnss_loss]\nseverities: [3]\n")
    lidar = tmp_path / "lidar.yaml"
    text = config_file("graphs", "simulated").read_text()
    head, _, _ = text.replace("name: simulated", "name: only_lidar").partition("- node: fuse")
    lidar.write_text(f"{head}- node: fuse\n  settings: {{modalities: [lidar]}}\n")
    street = str(record_street(tmp_path / "street", 1.0))
    call = ["robustness", street, "-g", "simulated", "--json", "-o", str(tmp_path / "out"), "-c", str(config)]
    first = CliRunner().invoke(app, call)
    assert first.exit_code == 0, first.output
    result = msgspec.json.decode(first.stdout)
    assert [row["fault"] for row in result["fusers"][0]["rows"]] == ["packet_loss"]
    assert result["left_out"] == ["gnss_loss"]
    assert 0.0 <= result["fusers"][0]["mean_ra"] < 1.2
    recorded = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/run.mcap")}
    assert len(recorded) == 2
    again = CliRunner().invoke(app, [*call, "-g", str(lidar)])
    assert msgspec.json.decode(again.stdout)["fusers"][0] == result["fusers"][0]
    assert recorded == {path: path.stat().st_mtime_ns for path in recorded}
    other = CliRunner().invoke(app, [*call, "--fault-seed", "5"])
    assert isinstance(other.exception, BadInput), "runs of another seed are not mixed in"
    other = CliRunner().invoke(app, [*call, "-g", "baseline"])
    assert isinstance(other.exception, BadInput), "other detectors are no rival of a fuser"
