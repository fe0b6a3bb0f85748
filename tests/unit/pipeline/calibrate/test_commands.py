"""`syncline calibrate …` on recorded data: the figures of docs/calibration.md, and how it ends on bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from calibration.cannot import CannotCalibrate
from pipeline.cli.app import app
from pipeline.core.errors import BadInput

RUNNER = CliRunner()


def calibrated(out: Path, *arguments: str) -> dict:
    result = RUNNER.invoke(app, ["calibrate", *arguments, "--out", str(out), "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads((out / "result.json").read_text())
    assert "<svg" in (out / "report.html").read_text()
    return json.loads(result.stdout)


@pytest.mark.drives
def test_camera_on_opencvs_own_pictures(drives_folder: Path, tmp_path: Path) -> None:
    folder = drives_folder / "opencv_chess"
    pictures = [str(p) for p in sorted(folder.glob("left[01]*.jpg"))]
    found = calibrated(tmp_path, "camera", *pictures, "--reference", str(folder / "left_intrinsics.yml"))
    assert found["rms_px"] <= 0.24
    assert found["parameters"]["fx"] == pytest.approx(535.9, rel=0.01)
    assert found["rms_px"] < found["reference_rms_px"]


@pytest.mark.drives
def test_camera_says_why_not(drives_folder: Path, tmp_path: Path) -> None:
    picture = str(drives_folder / "opencv_chess" / "left01.jpg")
    with pytest.raises(CannotCalibrate, match="in 1 pictures, at least 4"):
        calibrated(tmp_path, "camera", picture)
    with pytest.raises(CannotCalibrate, match="none of 1 pictures"):
        calibrated(tmp_path, "camera", picture, "--board", "4x11")
    with pytest.raises(BadInput, match="as 9x6"):
        calibrated(tmp_path, "camera", picture, "--board", "nine")
    with pytest.raises(BadInput, match="a picture"):
        calibrated(tmp_path, "camera", str(drives_folder / "README.md"))


@pytest.mark.drives
def test_time_on_comma2k19(drives_folder: Path, tmp_path: Path) -> None:
    found = calibrated(tmp_path, "time", str(drives_folder / "comma2k19"), "imu:turning", "pose:turning")
    assert found["spread_ms"] <= 5.0
    assert abs(found["offset_ms"]) < 5.0
    with pytest.raises(BadInput, match="imu:turning, pose:speed"):
        calibrated(tmp_path, "time", str(drives_folder / "comma2k19"), "imu", "pose")
