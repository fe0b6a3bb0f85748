"""The converter of PandaSet's pickles: what it writes is what `PandaSetDrive` reads."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.sources.open_drive import open_drive
from nodes.sources.pandaset import PandaSetDrive
from nodes.sources.pandaset_convert import convert_sequence, main
from pipeline.core.errors import BadInput

pandas = pytest.importorskip("pandas", reason="pandas is not installed; only the converter needs it")

START_S = 1_557_539_956.5
XYZ = np.array([[0, 20, 1], [1, 30, 0.5], [0, 20.5, 1]])


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """Two frames in the official layout."""
    folder = tmp_path / "002"
    camera = folder / "camera/front_camera"
    for path in (folder / "lidar", folder / "annotations/cuboids", camera):
        path.mkdir(parents=True)
    stamps = [START_S, START_S + 0.1]
    pose = {"position": {"x": 0, "y": 0, "z": 0}, "heading": {"w": 1, "x": 0, "y": 0, "z": 0}}
    for stream in (folder / "lidar", camera):
        (stream / "timestamps.json").write_text(json.dumps(stamps))
        (stream / "poses.json").write_text(json.dumps([pose, pose]))
    (camera / "intrinsics.json").write_text(json.dumps({"fx": 60.0, "fy": 60.0, "cx": 32.0, "cy": 24.0}))
    for i, stamp in enumerate(stamps):
        (camera / f"{i:02d}.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes())
        sweep = pandas.DataFrame(XYZ, columns=["x", "y", "z"])
        sweep["i"], sweep["t"], sweep["d"] = 51.0, [stamp - 0.05, stamp - 0.02, stamp], [0, 1, 0]
        sweep.to_pickle(folder / f"lidar/{i:02d}.pkl.gz")
        cuboids(i).to_pickle(folder / f"annotations/cuboids/{i:02d}.pkl.gz")
    return folder


def cuboids(i: int):
    return pandas.DataFrame(
        [
            {"uuid": "a", "label": "Car", "yaw": 0.0, "stationary": False, "camera_used": -1}
            | {"position.x": 0.0, "position.y": 20.0 + i, "position.z": 1.0}
            | {"dimensions.x": 1.8, "dimensions.y": 4.5, "dimensions.z": 1.6}
            | {"cuboids.sibling_id": "-", "cuboids.sensor_id": -1}
        ]
    )


def test_a_converted_sequence_reads_back(official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "converted"
    assert main([str(official), str(target), "--i-trust-these-pickles"]) == 0
    assert "2 frames" in capsys.readouterr().out
    drive = PandaSetDrive(target)
    assert drive.counts["lidar/pandar64"] == drive.counts["lidar/pandargt"] == drive.counts["truth/objects"] == 2
    poses = [m.payload.odom_SE3_ego for m in drive.messages(["pose/ego"])]
    sweep = next(drive.messages(["lidar/pandar64"])).payload
    np.testing.assert_allclose(poses[0] @ drive.rig["pandar64"].ego_SE3_sensor @ sweep.xyz, XYZ[[0, 2]], atol=1e-5)
    np.testing.assert_allclose(sweep.points["t_ns"], [-50e6, 0], atol=2000)
    truth = next(drive.messages(["truth/objects"])).payload
    np.testing.assert_allclose(truth.velocity, [[0, 10]], atol=1e-4)
    assert drive.unreadable == {}


def test_nothing_is_opened_without_the_user_s_word(official: Path, tmp_path: Path) -> None:
    target = tmp_path / "converted"
    assert main([str(official), str(target)]) == 1
    assert not target.exists()
    with pytest.raises(PermissionError, match="i-trust-these-pickles"):
        convert_sequence(official, target, trusted=False)


def test_a_target_is_never_overwritten(official: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist yet"):
        convert_sequence(official, tmp_path, trusted=True)


def _without_time(path: Path) -> None:
    pandas.read_pickle(path).drop(columns=["t"]).to_pickle(path)


def _hours_off(path: Path) -> None:
    frame = pandas.read_pickle(path)
    frame["t"] += 3600.0
    frame.to_pickle(path)


@pytest.mark.parametrize(
    ("path", "spoil", "field"),
    [
        ("lidar/01.pkl.gz", _without_time, "columns"),
        ("lidar/01.pkl.gz", _hours_off, "t"),
        ("lidar/01.pkl.gz", lambda p: p.rename(p.with_name("07.pkl.gz")), "frame number"),
        ("lidar/01.pkl.gz", lambda p: p.rename(p.with_name("one.pkl.gz")), "file name"),
        ("lidar/timestamps.json", lambda p: p.write_text("[1.0]"), "length"),
        ("annotations/cuboids/00.pkl.gz", lambda p: pandas.DataFrame({"uuid": []}).to_pickle(p), "columns"),
    ],
)
def test_a_malformed_sequence_is_refused(official: Path, tmp_path: Path, path: str, spoil, field: str) -> None:
    spoil(official / path)
    with pytest.raises(BadInput) as error:
        convert_sequence(official, tmp_path / "converted", trusted=True)
    assert error.value.field == field
    assert [child.name for child in tmp_path.iterdir()] == ["002"]  # nothing half done is left


def test_open_drive_names_the_converter(official: Path) -> None:
    with pytest.raises(BadInput, match="pandaset_convert"):
        open_drive(official)


def test_a_folder_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"NN\.pkl\.gz"):
        convert_sequence(tmp_path, tmp_path / "converted", trusted=True)
