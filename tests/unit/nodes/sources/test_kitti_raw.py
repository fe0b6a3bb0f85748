"""The KITTI raw reader: against drive 0002, and against small broken drives."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree

from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from nodes.sources.kitti_files import read_stamps
from nodes.sources.kitti_raw import KittiRawDrive, velodyne_points
from nodes.sources.open_drive import open_drive
from pipeline.core.errors import BadInput

SPEED = 5.0  # m/s to the east
EAST_PER_DEGREE = np.cos(np.radians(49.0)) * 6_378_137.0 * np.pi / 180
CAM_TO_CAM = """calib_time: 09-Jan-2012 13:57:47
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: 60 0 32 6.0 0 60 24 0 0 0 1 0
"""
VELO_TO_CAM = "R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n"
IMU_TO_VELO = "R: 1 0 0 0 1 0 0 0 1\nT: -0.81 0.32 -0.8\n"


def stamp(second: float) -> str:
    return f"2011-09-26 13:02:{int(second):02d}.{round(second % 1 * 1e9):09d}"


@pytest.fixture
def drive_folder(tmp_path: Path) -> Path:
    """Four frames, driving east at 5 m/s, heading east; the timestamp files list six."""
    date = tmp_path / "2011_09_26"
    drive = date / "2011_09_26_drive_0900_sync"
    for name in ("image_02", "velodyne_points", "oxts"):
        (drive / name / "data").mkdir(parents=True)
    (date / "calib_cam_to_cam.txt").write_text(CAM_TO_CAM)
    (date / "calib_velo_to_cam.txt").write_text(VELO_TO_CAM)
    (date / "calib_imu_to_velo.txt").write_text(IMU_TO_VELO)
    middles = [44.1 + 0.1 * i for i in range(6)]
    for name, offset in (
        ("velodyne_points/timestamps.txt", 0.0),
        ("velodyne_points/timestamps_start.txt", -0.05),
        ("velodyne_points/timestamps_end.txt", 0.05),
        ("image_02/timestamps.txt", 0.01),
        ("oxts/timestamps.txt", 0.02),
    ):
        (drive / name).write_text("\n".join(stamp(t + offset) for t in middles) + "\n")
    image = cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    points = np.array([[10, 0, -1.73, 0.5], [0, 10, 0, 0.25], [0, -10, 0, 0]], "<f4")  # ahead, left, right
    for i in range(4):
        (drive / f"image_02/data/{i:010d}.png").write_bytes(image)
        (drive / f"velodyne_points/data/{i:010d}.bin").write_bytes(points.tobytes())
        (drive / f"oxts/data/{i:010d}.txt").write_text(oxts(east_m=SPEED * 0.1 * i))
    return drive


def oxts(east_m: float) -> str:
    values = {0: 49.0, 1: 8.0 + east_m / EAST_PER_DEGREE, 2: 116.0, 7: SPEED, 13: 9.8, 23: 0.05}
    return " ".join(repr(float(values.get(i, 0.0))) for i in range(30))


def read(drive: KittiRawDrive, topic: str) -> list:
    return list(drive.messages([topic]))


def test_what_a_drive_gives(drive_folder: Path) -> None:
    drive = KittiRawDrive(drive_folder)
    assert drive.counts == dict.fromkeys(
        ["camera/image_02", "lidar/velodyne", "pose/ego", "imu/oxts", "gnss/oxts_gnss"], 4
    )
    assert len(list(drive.messages())) == 20
    assert drive.unreadable == {}
    assert read(drive, "gnss/oxts_gnss")[0].payload.accuracy == pytest.approx(0.05)
    assert read(drive, "imu/oxts")[0].payload.linear_acceleration == (0, 0, 9.8)


def test_sensors_stand_where_they_are_published(drive_folder: Path) -> None:
    rig = KittiRawDrive(drive_folder).rig
    np.testing.assert_allclose(rig["velodyne"].ego_SE3_sensor.translation, [0.76, 0, 1.73], atol=1e-9)
    # P_rect_02 puts the second camera 0.1 m to the right of its own origin's rectified reference, so it sits 0.1 m left
    np.testing.assert_allclose(rig["image_02"].ego_SE3_sensor.translation, [0.76, 0.1, 1.73], atol=1e-9)
    np.testing.assert_allclose(rig["image_02"].ego_SE3_sensor.rotation @ [0, 0, 1], [1, 0, 0], atol=1e-9)


def test_azimuth_gives_time_clockwise_from_the_back(drive_folder: Path) -> None:
    points = read(KittiRawDrive(drive_folder), "lidar/velodyne")[0].payload.points
    np.testing.assert_allclose(points["t_ns"], [-50e6, -75e6, -25e6], atol=100)
    np.testing.assert_allclose(points["intensity"], [0.5, 0.25, 0])


def test_a_laser_starts_over_at_azimuth_zero() -> None:
    azimuth = np.radians([1, 90, 181, 359, 0.5, 180, 350, 2, 3])
    xyzr = np.stack([np.cos(azimuth), np.sin(azimuth), 0 * azimuth, 0 * azimuth], axis=1).astype(np.float32)
    assert velodyne_points(xyzr, 100)["ring"].tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2]


def test_poses_run_east_from_zero(drive_folder: Path) -> None:
    poses = [m.payload for m in read(KittiRawDrive(drive_folder), "pose/ego")]
    np.testing.assert_allclose([p.position for p in poses], [[0.5 * i, 0, 0] for i in range(4)], atol=1e-6)
    np.testing.assert_allclose(poses[0].linear_velocity, [SPEED, 0, 0], atol=1e-9)


def test_images_are_exposed_before_their_stamp(drive_folder: Path) -> None:
    first = read(KittiRawDrive(drive_folder), "camera/image_02")[0].stamp
    assert first.sensor_ns - first.time_ns == 8_000_000
    assert first.sensor_ns % 10**9 == 110_000_000


def test_stamps_keep_their_nanoseconds(tmp_path: Path) -> None:
    path = tmp_path / "timestamps.txt"
    path.write_text("2011-09-26 13:02:44.327963904\n\nyesterday\n2463-01-01 00:00:00.5\n1970-01-01 00:00:01.5\n")
    stamps = read_stamps(path)
    assert stamps[0] == 1_317_042_164_327_963_904
    assert stamps[1:3].tolist() == [0, 0]
    assert stamps[3] > 4 * 10**18  # beyond every plausible time, and no overflow
    assert stamps[4] == 1_500_000_000


@pytest.mark.parametrize(
    ("path", "spoil", "topic", "reason"),
    [
        ("image_02/data/0000000001.png", Path.unlink, "camera/image_02", "file"),
        ("image_02/data/0000000001.png", lambda p: p.write_bytes(p.read_bytes()[:70]), "camera/image_02", "image"),
        ("velodyne_points/data/0000000001.bin", lambda p: p.write_bytes(b"1" * 33), "lidar/velodyne", "size"),
        ("velodyne_points/data/0000000001.bin", lambda p: p.write_bytes(b""), "lidar/velodyne", "empty sweep"),
        ("oxts/data/0000000001.txt", lambda p: p.write_text("49.0 8.0 nan"), "pose/ego", "record"),
        ("oxts/timestamps.txt", lambda p: _replace_line(p, ""), "pose/ego", "stamp missing"),
        ("oxts/timestamps.txt", lambda p: _replace_line(p, stamp(3)), "pose/ego", "stamp out of order"),
        ("oxts/timestamps.txt", lambda p: _replace_line(p, "2463" + stamp(44)[4:]), "pose/ego", "stamp absurd"),
        ("velodyne_points/timestamps_start.txt", lambda p: _replace_line(p, stamp(50)), "lidar/velodyne", "sweep time"),
    ],
)
def test_a_bad_frame_is_skipped_and_counted(drive_folder: Path, path: str, spoil, topic: str, reason: str) -> None:
    spoil(drive_folder / path)
    drive = KittiRawDrive(drive_folder)
    assert [m.stamp.sequence for m in read(drive, topic)] == [0, 2, 3]
    assert drive.unreadable[f"{topic} {reason}"] == 1


def _replace_line(path: Path, line: str) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, *lines[2:]]) + "\n")


@pytest.mark.parametrize(
    ("path", "text", "field"),
    [
        ("calib_cam_to_cam.txt", "R_rect_00: 1 0 0 0 1 0 0 0 1\n", "P_rect_02"),
        ("calib_cam_to_cam.txt", CAM_TO_CAM.replace("6.0 0 60", "6.0 0 sixty"), "P_rect_02"),
        ("calib_cam_to_cam.txt", CAM_TO_CAM.replace("P_rect_02: 60", "P_rect_02: 0"), "P_rect"),
        ("calib_velo_to_cam.txt", "R: 9 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n", "R"),
        ("calib_imu_to_velo.txt", "T: 0 0 0\n", "R"),
        ("2011_09_26_drive_0900_sync/velodyne_points/timestamps_end.txt", stamp(3), "lines"),
        ("2011_09_26_drive_0900_sync/image_02/timestamps.txt", "\n\n\n\n", "timestamps"),
    ],
)
def test_a_broken_structure_is_refused_at_open(drive_folder: Path, path: str, text: str, field: str) -> None:
    (drive_folder.parent / path).write_text(text)
    with pytest.raises(BadInput) as error:
        KittiRawDrive(drive_folder)
    assert error.value.field == field
    assert Path(error.value.source).name == Path(path).name


def test_damaged_files_are_refused_or_skipped(drive_folder: Path, survive_damage) -> None:
    survive_damage(drive_folder.parent, lambda: KittiRawDrive(drive_folder))


def test_a_folder_above_opens_its_only_drive(drive_folder: Path) -> None:
    for path in (drive_folder, drive_folder.parent, drive_folder.parent.parent):
        assert open_drive(path).name == "kitti_2011_09_26_drive_0900"
    (drive_folder.parent / "2011_09_26_drive_0901_sync").mkdir()
    with pytest.raises(BadInput, match=r"0900_sync, 2011_09_26_drive_0901_sync"):
        open_drive(drive_folder.parent)


@pytest.fixture(scope="module")
def recorded(drives_folder: Path) -> KittiRawDrive:
    drive = open_drive(drives_folder / "kitti_raw_0002")
    assert isinstance(drive, KittiRawDrive)
    return drive


@pytest.mark.drives
def test_recorded_drive_is_complete(recorded: KittiRawDrive) -> None:
    assert set(recorded.counts.values()) == {10}
    assert len(list(recorded.messages())) == 50
    assert recorded.unreadable == {}


@pytest.mark.drives
def test_recorded_sweeps_have_64_lasers(recorded: KittiRawDrive) -> None:
    for m in read(recorded, "lidar/velodyne"):
        assert m.payload.points["ring"].max() == 63


@pytest.mark.drives
def test_recorded_road_is_at_height_zero(recorded: KittiRawDrive) -> None:
    lidar = recorded.rig["velodyne"].ego_SE3_sensor
    for m in read(recorded, "lidar/velodyne"):
        xyz = lidar @ m.payload.xyz
        lane = xyz[(xyz[:, 0] > 4) & (xyz[:, 0] < 12) & (np.abs(xyz[:, 1]) < 1.5)]
        assert abs(np.median(lane[:, 2])) < 0.1


@pytest.mark.drives
def test_recorded_sweeps_agree_best_when_deskewed_clockwise(recorded: KittiRawDrive) -> None:
    poses = read(recorded, "pose/ego")
    ego = Trajectory([m.stamp.time_ns for m in poses], SE3.stack([m.payload.odom_SE3_ego for m in poses]), 200_000_000)
    sweeps = read(recorded, "lidar/velodyne")
    mounting = recorded.rig["velodyne"].ego_SE3_sensor

    def disagreement(direction: int) -> float:
        clouds = []
        for m in (sweeps[1], sweeps[8]):
            t_ns = m.payload.points["t_ns"].astype(np.int64)
            middle_ns = m.stamp.time_ns - 51_500_000
            times_ns = middle_ns + direction * (t_ns + 51_500_000)
            near = (m.payload.xyz[:, 2] > -1.3) & (np.linalg.norm(m.payload.xyz, axis=1) < 25)
            clouds.append(ego.at(times_ns[near]) @ (mounting @ m.payload.xyz[near].astype(np.float64)))
        distance, _ = cKDTree(clouds[1]).query(clouds[0][::5])
        return float(np.mean(distance[distance < 0.5]))

    clockwise, rigid, counterclockwise = (disagreement(d) for d in (1, 0, -1))
    assert clockwise < rigid < counterclockwise
