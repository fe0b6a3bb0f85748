"""Damaged drives through the command line: a message that names file and field, a counter in the metrics, and the rest
goes on. The inputs are copies of a recorded KITTI drive."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from nodes.sources.truth import class_name
from pipeline.cli.app import app
from pipeline.core.errors import BadInput

DRIVE = Path(__file__).resolve().parents[2].parent / "shared" / "drives" / "kitti_raw_0002"


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    if not DRIVE.is_dir():
        pytest.skip("needs the recorded KITTI drive under ../shared/drives")
    return Path(shutil.copytree(DRIVE, tmp_path / "drive"))


def replay(drive: Path, out: Path) -> dict[str, object]:
    """The metrics of a replay that ended well."""
    arguments = ["replay", str(drive), "--one-process", "--no-page", "--json", "--out", str(out)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    values: dict[str, object] = json.loads((out / "metrics.json").read_text())["values"]
    assert values["ledger/balanced"] is True
    return values


def files(drive: Path, of: str) -> list[Path]:
    return sorted(drive.rglob(f"{of}/data/*"))


@pytest.mark.drives
@pytest.mark.slow
def test_each_bad_frame_costs_itself_and_is_counted(
    kitti: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, sweeps = files(kitti, "image_02"), files(kitti, "velodyne_points")
    images[1].unlink()
    cv2.imwrite(str(images[3]), cv2.imread(str(images[3]))[:100])
    points = np.fromfile(sweeps[2], np.float32).reshape(-1, 4)
    points[::7, 0] = np.nan
    points.tofile(sweeps[2])
    sweeps[4].write_bytes(b"")
    sweeps[6].write_bytes(sweeps[6].read_bytes()[:1001])
    stamps = next(kitti.rglob("image_02/timestamps.txt"))
    lines = stamps.read_text().splitlines()
    lines[5], lines[7] = "2463-04-01 00:00:00.000000000", lines[0]
    stamps.write_text("\n".join(lines) + "\n")
    with caplog.at_level(logging.WARNING):
        values = replay(kitti, tmp_path / "out")
    lost = {key.removeprefix("run/source_lost/"): n for key, n in values.items() if key.startswith("run/source_lost/")}
    assert lost == {
        "camera/image_02 file": 1,
        "camera/image_02 image size": 1,
        "camera/image_02 stamp absurd": 1,
        "camera/image_02 stamp out of order": 1,
        "lidar/velodyne empty sweep": 1,
        "lidar/velodyne points not finite": len(points[::7]),
        "lidar/velodyne size": 1,
    }
    for file, field in ((images[1], "file"), (images[3], "image size"), (sweeps[6], "size"), (stamps, "absurd")):
        assert any(str(file) in line and field in line for line in caplog.messages), (file, field)
    assert values["run/scenes"] == 10
    assert values["run/lost_on_the_way"] == 0


@pytest.mark.drives
def test_without_an_extrinsic_nothing_starts(kitti: Path, tmp_path: Path) -> None:
    calibration = next(kitti.rglob("calib_velo_to_cam.txt"))
    calibration.unlink()
    arguments = ["replay", str(kitti), "--one-process", "--out", str(tmp_path / "out")]
    with pytest.raises(BadInput, match=r"calib_velo_to_cam\.txt: file"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert not (tmp_path / "out").exists()


def test_two_sensors_of_one_name_are_refused(tmp_path: Path) -> None:
    rig = (Path(__file__).resolve().parents[2] / "configs" / "rigs" / "three_sensors.yaml").read_text()
    (tmp_path / "rig.yaml").write_text(rig.replace("name: lidar_top", "name: radar_front"))
    live = "rig: rig.yaml\nsensors:\n  radar_front: {driver: radar_udp}\n"
    (tmp_path / "live.yaml").write_text(live)
    with pytest.raises(BadInput, match=r"rig\.yaml.*unique names, got twice: radar_front"):
        CliRunner().invoke(app, ["live", str(tmp_path / "live.yaml"), "--graph", "none"], catch_exceptions=False)


def test_an_unknown_class_is_told_once_per_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = {"Car": "car"}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert class_name("Spaceship", known, {"Signs"}, tmp_path / "7.json", "objects.classname") == "Spaceship"
        assert class_name("Signs", known, {"Signs"}, tmp_path / "7.json", "objects.classname") == "Signs"
        assert class_name("Car", known, {"Signs"}, tmp_path / "7.json", "objects.classname") == "car"
    (said,) = caplog.messages
    assert "7.json: objects.classname: unknown class 'Spaceship'" in said
