"""The nuScenes reader, on a miniature in the official layout that the official devkit opens too."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.sources.nuscenes import CLASS_OF_CATEGORY, NuScenesDrive
from nodes.sources.open_drive import open_drive
from nodes.sources.pcd import read_pcd
from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES

START_US = 1_532_402_927_600_000
SAMPLES = 4
EGO_SPEED, CAR_SPEED = 5.0, 8.0  # m/s along global x
ROTATIONS = {  # sensor to ego
    "CAM_FRONT": [0.5, -0.5, 0.5, -0.5],  # z forward, x right, y down
    "LIDAR_TOP": [0.5**0.5, 0.0, 0.0, -(0.5**0.5)],  # x right, y forward
    "RADAR_FRONT": [1.0, 0.0, 0.0, 0.0],
}
RADAR_FIELDS = (
    "x y z dyn_prop id rcs vx vy vx_comp vy_comp is_quality_valid ambig_state "
    "x_rms y_rms invalid_state pdh0 vx_rms vy_rms"
)
RADAR_HEADER = f"""# .PCD v0.7 - Point Cloud Data file format
VERSION 0.7
FIELDS {RADAR_FIELDS}
SIZE 4 4 4 1 2 4 4 4 4 4 1 1 1 1 1 1 1 1
TYPE F F F I I F F F F F I I I I I I I I
COUNT {" ".join(["1"] * 18)}
WIDTH %d
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS %d
DATA binary
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One scene of four key frames: camera, LiDAR, radar, a car ahead that drives away."""
    write_miniature(tmp_path)
    return tmp_path


def write_miniature(root: Path) -> None:
    tables: dict[str, list[dict]] = {
        "attribute": [],
        "visibility": [{"token": str(i), "level": "", "description": ""} for i in range(1, 5)],
        "log": [{"token": "log", "logfile": "", "vehicle": "n015", "date_captured": "2018-07-24", "location": "here"}],
        "map": [{"token": "map", "log_tokens": ["log"], "category": "semantic_prior", "filename": "maps/m.png"}],
        "category": [
            {"token": "category-car", "name": "vehicle.car", "description": "", "index": 17},
            {"token": "category-animal", "name": "animal", "description": "", "index": 1},
        ],
        "instance": [
            {"token": name, "category_token": f"category-{name}", "nbr_annotations": SAMPLES}
            | {"first_annotation_token": f"{name}-0", "last_annotation_token": f"{name}-{SAMPLES - 1}"}
            for name in ("car", "animal")
        ],
        "scene": [
            {"token": "scene", "log_token": "log", "nbr_samples": SAMPLES, "name": "scene-0061", "description": ""}
            | {"first_sample_token": "sample-0", "last_sample_token": f"sample-{SAMPLES - 1}"}
        ],
        "sensor": [
            {"token": f"sensor-{channel}", "channel": channel, "modality": modality}
            for channel, modality in (("CAM_FRONT", "camera"), ("LIDAR_TOP", "lidar"), ("RADAR_FRONT", "radar"))
        ],
        "calibrated_sensor": [
            {"token": f"calibrated-{channel}", "sensor_token": f"sensor-{channel}", "rotation": rotation}
            | {"translation": [1.0, 0.0, 1.8]}
            | {"camera_intrinsic": [[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]] if channel == "CAM_FRONT" else []}
            for channel, rotation in ROTATIONS.items()
        ],
        "sample": [],
        "sample_data": [],
        "ego_pose": [],
        "sample_annotation": [],
    }
    for i in range(SAMPLES):
        time_us = START_US + i * 500_000
        link = {"prev": f"%s-{i - 1}" if i else "", "next": f"%s-{i + 1}" if i < SAMPLES - 1 else ""}

        def chain(name: str, link: dict = link) -> dict:
            return {key: value and value % name for key, value in link.items()}

        tables["sample"].append(
            {"token": f"sample-{i}", "timestamp": time_us, "scene_token": "scene"} | chain("sample")
        )
        for channel, folder, suffix, delay_us in (
            ("CAM_FRONT", "camera", ".jpg", -38_000),
            ("LIDAR_TOP", "lidar", ".pcd.bin", 0),
            ("RADAR_FRONT", "radar", ".pcd", 12_000),
        ):
            stamp = time_us + delay_us
            name = f"samples/{channel}/n015__{channel}__{stamp}{suffix}"
            tables["sample_data"].append(
                {"token": f"{folder}-{i}", "sample_token": f"sample-{i}", "ego_pose_token": f"pose-{folder}-{i}"}
                | {"calibrated_sensor_token": f"calibrated-{channel}", "timestamp": stamp, "filename": name}
                | {"fileformat": suffix.rpartition(".")[2], "is_key_frame": True}
                | {"height": 48 if suffix == ".jpg" else 0, "width": 64 if suffix == ".jpg" else 0}
                | chain(folder)
            )
            x = 100.0 + EGO_SPEED * (stamp - START_US) * 1e-6
            tables["ego_pose"].append(
                {"token": f"pose-{folder}-{i}", "timestamp": stamp, "rotation": [1.0, 0, 0, 0]}
                | {"translation": [x, 50.0, 0.0]}
            )
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sensor_bytes(suffix))
        for name, y in (("car", 50.0), ("animal", 60.0)):
            tables["sample_annotation"].append(
                {"token": f"{name}-{i}", "sample_token": f"sample-{i}", "instance_token": name}
                | {"translation": [120.0 + CAR_SPEED * 0.5 * i, y, 0.8], "size": [1.8, 4.5, 1.6]}
                | {"rotation": [1.0, 0.0, 0.0, 0.0], "visibility_token": "3", "attribute_tokens": []}
                | {"num_lidar_pts": 7, "num_radar_pts": 1}
                | chain(name)
            )
    (root / "v1.0-mini").mkdir()
    for table, rows in tables.items():
        (root / f"v1.0-mini/{table}.json").write_text(json.dumps(rows))
    (root / "maps").mkdir()
    cv2.imwrite(str(root / "maps/m.png"), np.zeros((8, 8), np.uint8))


def sensor_bytes(suffix: str) -> bytes:
    if suffix == ".jpg":
        return cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    if suffix == ".pcd.bin":
        return np.array([[0, 20, -1, 102, 5], [1, 21, 0, 0, 31]], "<f4").tobytes()
    # a car ahead, an ambiguous return, an invalid one, one to the side that only carries its radial part forward
    rows = [(20.0, 0.0, 3.0, 3, 0), (30.0, 0, 9.0, 1, 0), (30.0, 0, 9.0, 3, 7), (30.0, 40.0, -5.0, 3, 0)]
    body = b"".join(
        struct.pack("<3fbh5f8b", x, y, 0, 0, 1, 12.5, vx, 0, 0, 0, 1, ambiguity, 19, 19, invalid, 1, 16, 3)
        for x, y, vx, ambiguity, invalid in rows
    )
    return (RADAR_HEADER % (len(rows), len(rows))).encode() + body + b"\0"  # the devkit wants one byte more


def edit(root: Path, table: str, change) -> None:
    path = root / f"v1.0-mini/{table}.json"
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows))


def read(drive: NuScenesDrive, topic: str) -> list:
    return list(drive.messages([topic]))


def test_what_a_scene_gives(root: Path) -> None:
    drive = open_drive(root)
    assert drive.name == "scene-0061"
    assert drive.counts == {
        "camera/cam_front": 4,
        "lidar/lidar_top": 4,
        "radar/radar_front": 4,
        "pose/ego": 12,
        "truth/objects": 4,
    }
    assert len(list(drive.messages())) == 28
    assert drive.unreadable == {"truth/objects labels of no class": 4}  # the animal, in each frame


def test_lidar_points_stand_in_front_of_the_car(root: Path) -> None:
    drive = NuScenesDrive(root)
    sweep = read(drive, "lidar/lidar_top")[0]
    np.testing.assert_allclose(
        drive.rig["lidar_top"].ego_SE3_sensor @ sweep.payload.xyz, [[21, 0, 0.8], [22, -1, 1.8]], atol=1e-5
    )
    np.testing.assert_allclose(sweep.payload.points["intensity"], [0.4, 0], atol=1e-6)
    assert sweep.payload.points["ring"].tolist() == [5, 31]
    assert sweep.payload.motion_compensated


def test_range_rate_is_the_part_along_the_line_of_sight(root: Path) -> None:
    scan = read(NuScenesDrive(root), "radar/radar_front")[0].payload
    np.testing.assert_allclose(scan.points["range_rate"], [3.0, -3.0], atol=1e-6)
    np.testing.assert_allclose(scan.points["rcs"], 12.5)


def test_truth_has_class_identity_and_velocity(root: Path) -> None:
    truth = [m.payload for m in read(NuScenesDrive(root), "truth/objects")]
    for payload in truth:
        assert payload.class_id.tolist() == [CLASSES.index("car"), -1]
        np.testing.assert_allclose(payload.size[0], [4.5, 1.8, 1.6])
        np.testing.assert_allclose(payload.velocity, [[CAR_SPEED, 0]] * 2, atol=1e-4)
        np.testing.assert_allclose(payload.visibility, 0.7)
        assert payload.lidar_points.tolist() == [7, 7]
    assert len({tuple(p.object_id.tolist()) for p in truth}) == 1


@pytest.mark.slow  # the devkit takes ten seconds to import
@pytest.mark.filterwarnings("ignore")
def test_the_official_devkit_reads_the_same(root: Path) -> None:
    devkit = pytest.importorskip("nuscenes.nuscenes", reason="nuscenes-devkit is not installed")
    from nuscenes.utils.data_classes import LidarPointCloud, RadarPointCloud

    nusc = devkit.NuScenes(version="v1.0-mini", dataroot=str(root), verbose=False)
    drive = NuScenesDrive(root)
    for i, message in enumerate(read(drive, "truth/objects")):
        sample = nusc.get("sample", f"sample-{i}")
        boxes = nusc.get_boxes(sample["data"]["LIDAR_TOP"])
        np.testing.assert_allclose([box.center for box in boxes], message.payload.position)
        np.testing.assert_allclose([box.wlh[[1, 0, 2]] for box in boxes], message.payload.size, rtol=1e-6)
        np.testing.assert_allclose([box.orientation.yaw_pitch_roll[0] for box in boxes], message.payload.yaw)
        velocity = [nusc.box_velocity(token)[:2] for token in sample["anns"]]
        np.testing.assert_allclose(velocity, message.payload.velocity, atol=1e-4)
        scan = RadarPointCloud.from_file(nusc.get_sample_data_path(sample["data"]["RADAR_FRONT"]))
        np.testing.assert_allclose(scan.points[:3].T, read(drive, "radar/radar_front")[i].payload.xyz)
        sweep = LidarPointCloud.from_file(nusc.get_sample_data_path(sample["data"]["LIDAR_TOP"]))
        np.testing.assert_allclose(sweep.points[:3].T, read(drive, "lidar/lidar_top")[i].payload.xyz)


def test_one_of_several_scenes_is_named_in_the_path(root: Path) -> None:
    other = {"token": "other", "log_token": "log", "nbr_samples": 0, "name": "scene-0103", "description": ""}
    edit(root, "scene", lambda rows: rows.append(other))
    assert open_drive(root / "scene-0061").name == "scene-0061"
    with pytest.raises(BadInput, match="one of scene-0061, scene-0103"):
        open_drive(root)
    with pytest.raises(BadInput, match="one of scene-0061, scene-0103"):
        open_drive(root / "scene-0062")


def test_sweeps_between_key_frames_need_their_folder(root: Path) -> None:
    edit(
        root, "sample_data", lambda rows: [row.update(is_key_frame=False) for row in rows if row["token"] == "lidar-1"]
    )
    assert NuScenesDrive(root).counts["lidar/lidar_top"] == 3
    (root / "sweeps/LIDAR_TOP").mkdir(parents=True)
    assert NuScenesDrive(root).counts["lidar/lidar_top"] == 4


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("pattern", "spoil", "topic", "reason"),
    [
        ("samples/CAM_FRONT/*", Path.unlink, "camera/cam_front", "file"),
        ("samples/CAM_FRONT/*", _cut, "camera/cam_front", "image"),
        ("samples/LIDAR_TOP/*", _cut, "lidar/lidar_top", "size"),
        ("samples/LIDAR_TOP/*", lambda p: p.write_bytes(b""), "lidar/lidar_top", "empty sweep"),
        ("samples/RADAR_FRONT/*", _cut, "radar/radar_front", "data"),
        ("samples/RADAR_FRONT/*", lambda p: p.write_bytes(b"x" * 9000), "radar/radar_front", "header"),
    ],
)
def test_a_bad_frame_is_skipped_and_counted(root: Path, pattern: str, spoil, topic: str, reason: str) -> None:
    spoil(sorted(root.glob(pattern))[1])
    drive = NuScenesDrive(root)
    assert [m.stamp.sequence for m in read(drive, topic)] == [0, 2, 3]
    assert drive.unreadable == {f"{topic} {reason}": 1}


def test_a_path_out_of_the_data_set_is_not_read(root: Path) -> None:
    edit(root, "sample_data", lambda rows: rows[3].update(filename="../../etc/passwd"))
    drive = NuScenesDrive(root)
    assert len(read(drive, "camera/cam_front")) == 3
    assert drive.unreadable == {"camera/cam_front filename": 1}


@pytest.mark.parametrize(
    ("table", "change", "field"),
    [
        ("scene", lambda rows: rows.clear(), "scene"),
        ("sample_data", lambda rows: rows[0].update(calibrated_sensor_token="lost"), "calibrated_sensor_token"),
        ("sample_data", lambda rows: rows[0].update(timestamp="noon"), "$[0].timestamp"),
        ("sample_data", lambda rows: [row.update(timestamp=row["timestamp"] * 10) for row in rows], "timestamps"),
        ("sample_data", lambda rows: rows[0].update(width=None), "cam_front: width, height"),
        ("calibrated_sensor", lambda rows: rows[0].update(camera_intrinsic=[]), "cam_front: camera_intrinsic"),
        ("calibrated_sensor", lambda rows: rows[1].update(rotation=[0, 0, 0, 0]), "rotation, translation"),
        ("calibrated_sensor", lambda rows: rows[2].update(sensor_token="lost"), "sensor_token"),
        ("ego_pose", lambda rows: rows.clear(), "rows"),
        ("ego_pose", lambda rows: rows[0].pop("rotation"), "$[0]"),
    ],
)
def test_a_broken_table_is_refused_at_open(root: Path, table: str, change, field: str) -> None:
    edit(root, table, change)
    with pytest.raises(BadInput) as error:
        NuScenesDrive(root)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("DATA binary", "DATA binary_compressed", "DATA"),
        ("POINTS 4", "POINTS 4000000", "data"),
        ("POINTS 4", "POINTS 99999999999", "POINTS"),
        ("POINTS 4", "POINTS -4", "POINTS"),
        ("TYPE F", "TYPE Q", "TYPE"),
        ("SIZE 4", "SIZE 3", "TYPE"),
        ("FIELDS x y", "FIELDS x x", "FIELDS"),
        ("FIELDS x y", "FIELDS x", "FIELDS"),
    ],
)
def test_a_hostile_pcd_header_is_refused(old: str, new: str, field: str) -> None:
    data = sensor_bytes(".pcd").replace(old.encode(), new.encode(), 1)
    with pytest.raises(BadInput) as error:
        read_pcd(data, "test.pcd")
    assert error.value.field == field


def test_damaged_files_are_refused_or_skipped(root: Path, survive_damage) -> None:
    survive_damage(root, lambda: NuScenesDrive(root))


def test_every_mapped_class_exists() -> None:
    assert set(CLASS_OF_CATEGORY.values()) == set(CLASSES)
