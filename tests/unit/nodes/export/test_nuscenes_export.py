"""Drives written in the nuScenes layout: our own reader gives them back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.camera import KannalaBrandt
from calibration.rig import CameraSensor, Extrinsic
from nodes.export.nuscenes import SCENE, export_nuscenes
from nodes.export.nuscenes_files import ImageWriter, scan_bytes
from nodes.sources.drive import Drive
from nodes.sources.open_drive import open_drive
from nodes.sources.pcd import read_pcd
from pipeline.core.errors import BadInput
from pipeline.core.messages import RADAR_POINT, PointCloud, RadarScan
from pipeline.core.truth import TruthObjects
from tests.simulated import street_drive


@pytest.fixture(scope="module")
def drive() -> Drive:
    return street_drive()


@pytest.fixture(scope="module")
def root(drive: Drive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nuscenes")
    export_nuscenes(drive, root)
    return root


def test_our_reader_gives_the_drive_back(drive: Drive, root: Path) -> None:
    again = open_drive(root)
    assert again.counts["camera/cam_front"] == drive.counts["camera/camera_front"]
    assert again.counts["lidar/lidar_top"] == drive.counts["lidar/lidar_top"]
    assert again.counts["radar/radar_front"] == drive.counts["radar/radar_front"]
    labels = {
        m.stamp.time_ns: m.payload for m in drive.messages(["truth/objects"]) if isinstance(m.payload, TruthObjects)
    }
    for message in again.messages(["truth/objects"]):
        assert isinstance(message.payload, TruthObjects)
        time_ns = min(labels, key=lambda at: abs(at - message.stamp.time_ns))
        assert abs(time_ns - message.stamp.time_ns) < 50_000  # labels are of when the sweep ended, keys of its stamp
        truth = labels[time_ns]
        for field in ("class_id", "position", "size", "yaw"):
            found, made = getattr(message.payload, field), getattr(truth, field)
            np.testing.assert_allclose(
                found[np.argsort(message.payload.position[:, 0])], made[np.argsort(truth.position[:, 0])], atol=1e-3
            )


def test_sweeps_are_deskewed_and_their_returns_counted(drive: Drive, root: Path) -> None:
    again = open_drive(root)
    sweep = next(m for m in again.messages(["lidar/lidar_top"]) if isinstance(m.payload, PointCloud))
    assert isinstance(sweep.payload, PointCloud)
    assert sweep.payload.motion_compensated
    truth = next(m.payload for m in again.messages(["truth/objects"]))
    assert isinstance(truth, TruthObjects)
    assert truth.lidar_points.max() > 50
    assert (truth.lidar_points >= 0).all()


def test_radar_returns_survive_the_file() -> None:
    points = np.array([(10.0, 5.0, 0.5, -4.0, 12.0, 20.0), (30.0, 0.0, 0.0, 2.0, np.nan, np.nan)], RADAR_POINT)
    rows = read_pcd(scan_bytes(RadarScan(points=points), np.array([1.0, 0.0], np.float32)), "scan")
    np.testing.assert_allclose(rows["x"], points["x"])
    rate = (rows["vx"] * rows["x"] + rows["vy"] * rows["y"]) / np.hypot(rows["x"], rows["y"])
    np.testing.assert_allclose(rate, points["range_rate"], rtol=1e-5)
    assert rows["rcs"].tolist() == [12.0, 0.0]
    assert rows["dyn_prop"].tolist() == [0, 1]


def test_what_cannot_be_written_is_refused(drive: Drive, root: Path) -> None:
    with pytest.raises(BadInput, match="without a data set"):
        export_nuscenes(drive, root, SCENE)
    fisheye = CameraSensor(
        name="wide",
        extrinsic=Extrinsic(translation=(0, 0, 1), rotation_wxyz=(1, 0, 0, 0)),
        width=64,
        height=48,
        intrinsics=KannalaBrandt(fx=20.0, fy=20.0, cx=32.0, cy=24.0, k1=0.0, k2=0.0, k3=0.0, k4=0.0),
    )
    with pytest.raises(BadInput, match=r"wide.*fisheye"):
        ImageWriter(fisheye, "rig")
