"""The Astyx reader: against the recorded frames, and against small broken folders."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.sources.astyx import AMBIGUITY_MPS, CLASS_OF_LABEL, DOPPLER_BIN_MPS, EGO_SE3_RADAR, AstyxDrive
from pipeline.core.errors import BadInput
from pipeline.core.labels import held_ns
from pipeline.core.messages import CLASSES

END_US = [822_000_000, 822_100_000, 922_000_000, 922_200_000]  # two bursts, 99.9 s apart
LOOK_AHEAD = [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
K = [[60.0, 0.0, 32.0], [0.0, 60.0, 24.0], [0.0, 0.0, 1.0]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four frames: a car 20 m ahead of the radar with 5 LiDAR points in it, radar returns closing at 2 m/s."""
    for name in ("camera", "lidar", "radar", "calibration", "groundtruth"):
        (tmp_path / name).mkdir()
    lines = [f"{7 + i},{end - 99_900},{end}" for i, end in enumerate(END_US)]
    (tmp_path / "frames.csv").write_text("\n".join(["frame,lidar_t_first_us,lidar_t_last_us", *lines]))
    image = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    for i, end in enumerate(END_US):
        name = f"{7 + i:06d}"
        (tmp_path / f"camera/{name}.jpg").write_bytes(image)
        write_sweep(tmp_path / f"lidar/{name}.npz", end)
        write_scan(tmp_path / f"radar/{name}.npz")
        (tmp_path / f"calibration/{name}.json").write_text(json.dumps(calibration()))
        (tmp_path / f"groundtruth/{name}.json").write_text(json.dumps({"objects": [labelled("Car")]}))
    return tmp_path


def write_sweep(path: Path, end_us: int, count: int = 5) -> None:
    np.savez(
        path,
        xyz=np.tile(np.array([[20, 0, 0]], np.float32), (count, 1)),
        reflectivity=np.full(count, 51, np.uint8),
        laser=np.arange(count, dtype=np.uint8),
        t_us=np.linspace(end_us - 99_000, end_us, count).astype(np.uint32),
    )


def write_scan(path: Path, v_r: float = 2.0) -> None:
    np.savez(
        path, xyz=np.array([[20, 0, 0]], np.float32), v_r=np.array([v_r], np.float32), mag=np.array([60], np.float32)
    )


def calibration() -> dict:
    same = np.eye(4).tolist()
    return {
        "sensors": [
            {"sensor_uid": "radar_6455", "calib_data": {"T_to_ref_COS": same}},
            {"sensor_uid": "lidar_vlp16", "calib_data": {"T_to_ref_COS": same}},
            {"sensor_uid": "camera_front", "calib_data": {"T_to_ref_COS": LOOK_AHEAD, "K": K}},
        ]
    }


def labelled(name: str) -> dict:
    return {
        "classname": name,
        "center3d": [20.0, 0.0, 0.0],
        "dimension3d": [4.5, 1.8, 1.5],
        "orientation_quat": [1.0, 0.0, 0.0, 0.0],
    }


def read(drive: AstyxDrive, topic: str) -> list:
    return list(drive.messages([topic]))


def test_bursts_stand_two_seconds_apart(folder: Path) -> None:
    times = [m.stamp.time_ns for m in read(AstyxDrive(folder), "lidar/vlp16")]
    np.testing.assert_array_equal(np.diff(times), [100_000_000, 2_000_000_000, 200_000_000])


def test_only_the_lidar_has_a_time_of_its_own(folder: Path) -> None:
    drive = AstyxDrive(folder)
    sigma = {m.topic: m.stamp.sigma_ns for m in drive.messages()}
    assert sigma == {"camera/front": 20_000_000, "lidar/vlp16": 0, "radar/front_radar": 10_000_000} | {
        "truth/objects": 10_000_000
    }
    assert "pose/ego" not in drive.topics


def test_camera_radar_and_labels_are_of_when_the_sweep_met_what_is_ahead(folder: Path) -> None:
    drive = AstyxDrive(folder)
    first = {topic: read(drive, topic)[0] for topic in drive.topics}
    end_ns = first["lidar/vlp16"].stamp.time_ns
    assert first["camera/front"].stamp.time_ns == end_ns - 51_000_000
    assert first["radar/front_radar"].stamp.time_ns == end_ns - 31_000_000
    truth = first["truth/objects"].payload
    assert truth.frame == "ego"
    assert (held_ns(truth, first["truth/objects"].stamp.time_ns) == end_ns - 51_000_000).all()


def test_a_closing_return_has_a_negative_range_rate(folder: Path) -> None:
    scan = read(AstyxDrive(folder), "radar/front_radar")[0].payload
    np.testing.assert_allclose(scan.points["range_rate"], -2.0)
    assert np.isnan(scan.points["rcs"]).all()
    assert scan.ambiguity_mps == pytest.approx(10.3936)


def test_a_point_carries_its_time_before_the_end_of_the_sweep(folder: Path) -> None:
    points = read(AstyxDrive(folder), "lidar/vlp16")[2].payload.points
    assert points["t_ns"][[0, -1]].tolist() == [-99_000_000, 0]
    assert points["ring"].tolist() == [0, 1, 2, 3, 4]


def test_a_label_goes_from_the_radar_frame_to_ego(folder: Path) -> None:
    truth = read(AstyxDrive(folder), "truth/objects")[0].payload
    np.testing.assert_allclose(truth.position[0], EGO_SE3_RADAR @ np.array([20.0, 0, 0]))
    np.testing.assert_allclose(truth.size[0], [4.5, 1.8, 1.5])
    assert truth.class_id.tolist() == [CLASSES.index("car")]
    assert truth.lidar_points.tolist() == [5]
    assert np.isnan(truth.velocity).all()


def test_an_unknown_label_is_no_class(folder: Path) -> None:
    (folder / "groundtruth/000007.json").write_text(json.dumps({"objects": [labelled("Tank")]}))
    assert read(AstyxDrive(folder), "truth/objects")[0].payload.class_id.tolist() == [-1]


@pytest.mark.parametrize(
    ("path", "spoil", "topic", "reason"),
    [
        ("lidar/000008.npz", Path.unlink, "lidar/vlp16", "file"),
        ("radar/000008.npz", lambda p: p.write_bytes(p.read_bytes()[:90]), "radar/front_radar", "file"),
        ("radar/000008.npz", lambda p: np.savez(p, xyz=np.zeros((2, 2), "f4")), "radar/front_radar", "xyz"),
        ("lidar/000008.npz", lambda p: write_sweep(p, 0, count=0), "lidar/vlp16", "empty sweep"),
        ("camera/000008.jpg", lambda p: p.write_bytes(b""), "camera/front", "image"),
        ("groundtruth/000008.json", lambda p: p.write_text("[]"), "truth/objects", "$"),
        (
            "groundtruth/000008.json",
            lambda p: p.write_text(json.dumps({"objects": [labelled("Car") | {"orientation_quat": [0, 0, 0, 0]}]})),
            "truth/objects",
            "orientation_quat, center3d",
        ),
    ],
)
def test_a_bad_frame_is_skipped_and_counted(folder: Path, path: str, spoil, topic: str, reason: str) -> None:
    spoil(folder / path)
    drive = AstyxDrive(folder)
    assert [m.stamp.sequence for m in read(drive, topic)] == [0, 2, 3]
    assert drive.unreadable == {f"{topic} {reason}": 1}


def _without_camera_matrix(path: Path) -> None:
    document = calibration()
    del document["sensors"][2]["calib_data"]["K"]
    path.write_text(json.dumps(document))


def _skewed(path: Path) -> None:
    document = calibration()
    document["sensors"][1]["calib_data"]["T_to_ref_COS"] = (np.eye(4) * [2, 1, 1, 1]).tolist()
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("path", "spoil", "field"),
    [
        ("frames.csv", Path.unlink, "file"),
        ("frames.csv", lambda p: p.write_text("frame,lidar_t_last_us\n7,soon\n"), "line 2"),
        ("frames.csv", lambda p: p.write_text("frame,lidar_t_last_us\n"), "rows"),
        ("calibration/000009.json", _without_camera_matrix, "sensors"),
        ("calibration/000007.json", lambda p: p.write_text('{"sensors": []}'), "sensors"),
        ("calibration/*.json", _without_camera_matrix, "camera: K"),
        ("calibration/*.json", _skewed, "T_to_ref_COS"),
    ],
)
def test_a_broken_structure_is_refused_at_open(folder: Path, path: str, spoil, field: str) -> None:
    for file in sorted(folder.glob(path)):
        spoil(file)
    with pytest.raises(BadInput) as error:
        AstyxDrive(folder)
    assert error.value.field == field
    assert Path(error.value.source).match(path)


def test_damaged_files_are_refused_or_skipped(folder: Path, survive_damage) -> None:
    survive_damage(folder, lambda: AstyxDrive(folder))


def test_every_mapped_class_exists() -> None:
    assert set(CLASS_OF_LABEL.values()) <= set(CLASSES)


@pytest.fixture(scope="module")
def recorded(drives_folder: Path) -> AstyxDrive:
    return AstyxDrive(drives_folder / "astyx")


@pytest.mark.drives
def test_recorded_drive_is_complete(recorded: AstyxDrive) -> None:
    assert set(recorded.counts.values()) == {56}
    assert recorded.unreadable == {}
    assert recorded.end_ns - recorded.start_ns < 30e9


@pytest.mark.drives
def test_recorded_radial_speeds_are_whole_doppler_bins(recorded: AstyxDrive) -> None:
    rates = np.concatenate([m.payload.points["range_rate"] for m in read(recorded, "radar/front_radar")])
    bins = rates / DOPPLER_BIN_MPS
    np.testing.assert_allclose(bins, np.round(bins), atol=1e-3)
    assert (round(bins.min()), round(bins.max())) == (-64, 63)


@pytest.mark.drives
def test_recorded_returns_of_the_standing_world_close_in_along_ego_x(recorded: AstyxDrive) -> None:
    """Frame 133 drives straight at 9.8 m/s, beyond half the ambiguity: most returns fit that speed wrapped."""
    scan = read(recorded, "radar/front_radar")[0].payload
    ego = EGO_SE3_RADAR.rotate(scan.xyz / np.linalg.norm(scan.xyz, axis=1, keepdims=True))
    expected = -9.8 * ego[:, 0]
    error = (scan.points["range_rate"] - expected + AMBIGUITY_MPS / 2) % AMBIGUITY_MPS - AMBIGUITY_MPS / 2
    assert (np.abs(error) < 0.3).mean() > 0.7


@pytest.mark.drives
def test_recorded_road_is_at_height_zero(recorded: AstyxDrive) -> None:
    lidar = recorded.rig["vlp16"].ego_SE3_sensor
    heights = []
    for m in read(recorded, "lidar/vlp16"):
        xyz = lidar @ m.payload.xyz
        lane = xyz[(np.abs(xyz[:, 1]) < 1.5) & (xyz[:, 0] > 3) & (xyz[:, 0] < 9)]
        heights.append(np.median(lane[:, 2]))
    assert abs(np.median(heights)) < 0.08
