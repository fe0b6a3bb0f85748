"""`syncline calibrate …` on recorded data: the figures of docs/calibration.md, and how it ends on bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from calibration.cannot import CannotCalibrate
from calibration.formats.autoware import read_autoware
from calibration.formats.nuscenes import read_nuscenes
from calibration.formats.transform_file import read_transform
from calibration.rig import Rig
from pipeline.cli.app import app
from pipeline.cli.calibrate import read_camera_file
from pipeline.cli.calibrate_sensors import read_known
from pipeline.core.errors import BadInput
from pipeline.core.settings import load_yaml

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
    for name in ("camera.yaml", "camera_info.yaml", "camera.json"):
        assert read_camera_file(tmp_path / name).camera.fx == pytest.approx(found["parameters"]["fx"])


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


@pytest.mark.slow
@pytest.mark.drives
def test_lidar_board_on_five_real_poses(drives_folder: Path, tmp_path: Path) -> None:
    folder = drives_folder / "acfr"
    board = ["--board", "5x7", "--square", "0.095", "--plate", "0.61x0.85", "--offset", "-0.002,0"]
    files = ["--camera", str(folder / "camera_info.yaml"), "--reference", str(folder / "calibration_quickstart.csv")]
    found = calibrated(tmp_path, "lidar-board", str(folder / "images"), str(folder / "pcd"), *files, *board)
    assert found["plane_mm"] <= 18.0
    assert found["normals_deg"] <= 0.8
    assert found["leave_one_out"]["plane_mm"] <= 18.0
    assert found["leave_one_out"]["normals_deg"] <= 0.8
    assert found["plane_mm"] < found["reference"]["plane_mm"] < 18.0
    assert found["reference"]["apart_deg"] < 1.5
    written = read_transform((tmp_path / "transform.yaml").read_text())
    assert written.dst_SE3_src.matrix == pytest.approx(np.array(found["cam_SE3_lidar"]))
    assert len(written.pose.data_sha256) == 64
    assert read_known(tmp_path / "calib_velo_to_cam.txt").matrix == pytest.approx(written.dst_SE3_src.matrix)


@pytest.mark.drives
def test_lidar_board_says_what_is_wrong(drives_folder: Path, tmp_path: Path) -> None:
    folder = drives_folder / "acfr"
    given = ["lidar-board", str(folder / "images"), str(folder / "pcd"), "--camera", str(folder / "camera_info.yaml")]
    with pytest.raises(BadInput, match="two numbers with 'x' between"):
        calibrated(tmp_path, *given, "--plate", "large")
    with pytest.raises(BadInput, match="width and height in metres"):
        calibrated(tmp_path, *given, "--plate", "0x1")
    given[2] = str(tmp_path)
    with pytest.raises(BadInput, match=r"sweep: expected one named pose1.pcd"):
        calibrated(tmp_path, *given, "--plate", "0.61x0.85")


@pytest.mark.slow
@pytest.mark.drives
def test_lidar_camera_on_kitti_from_a_degree_off(drives_folder: Path, tmp_path: Path) -> None:
    drive = drives_folder / "kitti_raw_0002/2011_09_26/2011_09_26_drive_0002_sync"
    found = calibrated(tmp_path, "lidar-camera", str(drive), "--off-deg", "1", "--trials", "2")
    assert found["off_deg"] <= 0.2
    assert found["doubts"] == []
    assert found["trials"]["worst_deg"] <= 0.2
    assert max(max(sigmas) for sigmas in found["trials"]["in_sd"]) < 3.0
    rig = load_yaml(tmp_path / "rig.yaml", Rig)
    assert rig["image_02"].extrinsic.covariance_matrix is not None
    assert len(rig["image_02"].extrinsic.data_sha256) == 64
    assert ("base_link", "image_02") in read_autoware((tmp_path / "sensors_calibration.yaml").read_text())
    assert len(read_nuscenes((tmp_path / "calibrated_sensor.json").read_text())) == len(rig.sensors)


@pytest.mark.slow
@pytest.mark.drives
def test_lidar_camera_says_that_it_is_unsure_from_too_far(drives_folder: Path, tmp_path: Path) -> None:
    drive = drives_folder / "kitti_raw_0002/2011_09_26/2011_09_26_drive_0002_sync"
    with pytest.raises(CannotCalibrate, match="not sure"):
        calibrated(tmp_path, "lidar-camera", str(drive), "--off-deg", "4")
    assert json.loads((tmp_path / "result.json").read_text())["alerts"]
    assert not (tmp_path / "rig.yaml").exists()


@pytest.mark.slow
@pytest.mark.drives
def test_radar_yaw_on_astyx(drives_folder: Path, tmp_path: Path) -> None:
    found = calibrated(tmp_path, "radar-yaw", str(drives_folder / "astyx"), "--off-deg", "3")
    assert abs(found["from_rig_deg"]) <= 0.5
    assert found["yaw_deg"] == pytest.approx(-3.0, abs=0.5)
    assert abs(found["from_rig_deg"]) < 3 * found["sd_deg"]
    cov = load_yaml(tmp_path / "rig.yaml", Rig)["front_radar"].extrinsic.covariance_matrix
    assert cov is not None
    assert cov[5, 5] < cov[4, 4]
