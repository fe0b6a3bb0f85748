"""The PandaSet reader: against the recorded sequence, and against small broken ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from nodes.sources.pandaset import PandaSetDrive
from nodes.sources.pandaset_cuboids import CLASS_OF_LABEL
from pipeline.core.errors import BadInput
from pipeline.core.labels import held_ns
from pipeline.core.messages import CLASSES, Message

START_S = 1_557_539_956.5
FRAMES = 5
SPEED = 2.0  # m/s along world y, which is forward at heading 0
COLUMNS = ["uuid", "label", "yaw", "cuboids.sibling_id", "cuboids.sensor_id"]
COLUMNS += [f"{part}.{axis}" for part in ("position", "dimensions") for axis in "xyz"]


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """Five frames of a vehicle driving along world y, one camera, both LiDARs, a car ahead that both of them see."""
    folder = tmp_path / "pandaset_900"
    _write_stream(folder / "lidar", offset_s=0.0, position=(0, 0, 0), heading=(1, 0, 0, 0))
    camera = folder / "camera/front_camera"
    # looking along world y: x right = world x, y down = -world z, z = world y
    _write_stream(camera, offset_s=-0.05, position=(0, 1, 2), heading=(0.5**0.5, -(0.5**0.5), 0, 0))
    (camera / "intrinsics.json").write_text(json.dumps({"fx": 60.0, "fy": 60.0, "cx": 32.0, "cy": 24.0}))
    (folder / "cuboids").mkdir()
    image = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    for i in range(FRAMES):
        (camera / f"{i:02d}.jpg").write_bytes(image)
        write_sweep(
            folder / f"lidar/{i:02d}.npz", np.array([[0, 20.0 + i, 1], [1, 30, 0.5], [0, 20.5 + i, 1], [5, 9, 0]])
        )
        write_cuboids(folder / f"cuboids/{i:02d}.csv", [cuboid(y=20 + 1.0 * i), cuboid("b", sibling="a", sensor="1")])
    return folder


def _write_stream(folder: Path, offset_s: float, position: tuple[float, ...], heading: tuple[float, ...]) -> None:
    folder.mkdir(parents=True)
    stamps = [START_S + 0.1 * i + offset_s for i in range(FRAMES)]
    poses = [
        {
            "position": dict(zip("xyz", (position[0], position[1] + SPEED * (t - START_S), position[2]), strict=True)),
            "heading": dict(zip("wxyz", heading, strict=True)),
        }
        for t in stamps
    ]
    (folder / "timestamps.json").write_text(json.dumps(stamps))
    (folder / "poses.json").write_text(json.dumps(poses))


def write_sweep(path: Path, xyz: np.ndarray) -> None:
    n = len(xyz)
    np.savez(
        path,
        xyz=xyz.astype(np.float32),
        intensity=np.full(n, 51, np.uint8),
        t_offset_us=np.linspace(-90_000, 0, n).astype(np.int32),
        sensor=(np.arange(n) % 2).astype(np.uint8),
    )


def cuboid(uuid: str = "a", y: float = 20.0, label: str = "Car", sibling: str = "b", sensor: str = "0") -> dict:
    row = {"uuid": uuid, "label": label, "yaw": 0.0, "position.x": 0.0, "position.y": y, "position.z": 1.0}
    row |= {"dimensions.x": 1.8, "dimensions.y": 4.5, "dimensions.z": 1.6}
    return row | {"cuboids.sibling_id": sibling, "cuboids.sensor_id": sensor}


def write_cuboids(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def read(drive: PandaSetDrive, *topics: str) -> list[Message]:
    return list(drive.messages(topics or None))


def test_what_a_sequence_gives(sequence: Path) -> None:
    drive = PandaSetDrive(sequence)
    assert drive.counts == {
        "camera/front": 5,
        "lidar/pandar64": 5,
        "lidar/pandargt": 5,
        "pose/ego": 10,
        "truth/objects": 5,
    }
    assert drive.unreadable == {}
    messages = read(drive)
    assert [m.stamp.arrival_ns for m in messages] == sorted(m.stamp.arrival_ns for m in messages)
    assert all(not sensor.clock.has_arrival for sensor in drive.rig.sensors)


def test_the_camera_sits_where_the_poses_put_it(sequence: Path) -> None:
    camera = PandaSetDrive(sequence).rig["front"]
    # 1 m ahead of the pose frame and 2 m above it, which is itself 0.33 m above ground; z looks along ego x
    np.testing.assert_allclose(camera.ego_SE3_sensor.translation, [1.0, 0.0, 2.33], atol=1e-6)
    np.testing.assert_allclose(camera.ego_SE3_sensor.rotation @ [0, 0, 1], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(camera.ego_SE3_sensor.rotation @ [1, 0, 0], [0, -1, 0], atol=1e-6)


def test_ego_drives_along_its_own_x(sequence: Path) -> None:
    for pose in read(PandaSetDrive(sequence), "pose/ego"):
        np.testing.assert_allclose(pose.payload.linear_velocity, [SPEED, 0, 0], atol=1e-4)


def test_points_come_back_to_the_world(sequence: Path) -> None:
    drive = PandaSetDrive(sequence)
    pose = {m.stamp.time_ns: m.payload.odom_SE3_ego for m in read(drive, "pose/ego")}
    sweep = read(drive, "lidar/pandar64")[3]
    odom_SE3_lidar = pose[sweep.stamp.time_ns] @ drive.rig["pandar64"].ego_SE3_sensor
    np.testing.assert_allclose(odom_SE3_lidar @ sweep.payload.xyz, [[0, 23, 1], [0, 23.5, 1]], atol=1e-5)
    assert sweep.payload.motion_compensated
    np.testing.assert_allclose(sweep.payload.points["intensity"], 0.2)
    np.testing.assert_array_equal(sweep.payload.points["t_ns"], [-90_000_000, -30_000_000])


def test_an_object_that_both_lidars_see_counts_once(sequence: Path) -> None:
    truth = read(PandaSetDrive(sequence), "truth/objects")
    assert [len(m.payload.class_id) for m in truth] == [1] * FRAMES
    assert len({int(m.payload.object_id[0]) for m in truth}) == 1
    first = truth[0].payload
    assert first.class_id[0] == CLASSES.index("car")
    np.testing.assert_allclose(first.size[0], [4.5, 1.8, 1.6], atol=1e-6)
    np.testing.assert_allclose(first.yaw, np.pi / 2)
    np.testing.assert_allclose(first.velocity, [[0, 10.0]], atol=1e-3)
    assert first.lidar_points[0] == 2


def test_a_label_is_of_when_its_lidar_met_the_object(sequence: Path) -> None:
    for message in read(PandaSetDrive(sequence), "truth/objects"):
        time_ns = message.stamp.time_ns
        assert held_ns(message.payload, time_ns) - time_ns == [
            -60_000_000
        ]  # median of the Pandar64's two points, 90 and 30 ms


def test_identity_holds_when_only_the_sibling_is_left(sequence: Path) -> None:
    write_cuboids(sequence / "cuboids/02.csv", [cuboid("b", y=22, sibling="a", sensor="1")])
    truth = read(PandaSetDrive(sequence), "truth/objects")
    assert len({int(m.payload.object_id[0]) for m in truth}) == 1
    np.testing.assert_allclose([m.payload.velocity[0] for m in truth], [[0, 10.0]] * FRAMES, atol=1e-3)


def test_an_unknown_label_is_no_class(sequence: Path) -> None:
    write_cuboids(sequence / "cuboids/00.csv", [cuboid(label="Hovercraft")])
    assert read(PandaSetDrive(sequence), "truth/objects")[0].payload.class_id.tolist() == [-1]


def test_reading_a_part_keeps_sequence_numbers(sequence: Path) -> None:
    drive = PandaSetDrive(sequence)
    start = read(drive, "lidar/pandar64")[2].stamp.time_ns
    part = list(drive.messages(["lidar/pandar64"], start_ns=start, end_ns=start + 1))
    assert [m.stamp.sequence for m in part] == [2]
    with pytest.raises(KeyError):
        drive.messages(["lidar/roof"])


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _small_image(path: Path) -> None:
    path.write_bytes(cv2.imencode(".jpg", np.zeros((24, 32, 3), np.uint8))[1].tobytes())


@pytest.mark.parametrize(
    ("path", "spoil", "topic", "reason"),
    [
        ("camera/front_camera/02.jpg", Path.unlink, "camera/front", "file"),
        ("camera/front_camera/02.jpg", _cut, "camera/front", "image"),
        ("camera/front_camera/02.jpg", _small_image, "camera/front", "image size"),
        ("lidar/02.npz", _cut, "lidar/pandar64", "file"),
        ("lidar/02.npz", lambda p: write_sweep(p, np.zeros((0, 3))), "lidar/pandar64", "empty sweep"),
        ("lidar/02.npz", lambda p: np.savez(p, intensity=np.zeros(4, np.uint8)), "lidar/pandar64", "xyz"),
        ("cuboids/02.csv", lambda p: p.write_text("uuid,label\n"), "truth/objects", "columns"),
        ("cuboids/02.csv", lambda p: write_cuboids(p, [cuboid(y=float("nan"))]), "truth/objects", "line 2: position.y"),
    ],
)
def test_a_bad_frame_is_skipped_and_counted_once(sequence: Path, path: str, spoil, topic: str, reason: str) -> None:
    spoil(sequence / path)
    drive = PandaSetDrive(sequence)
    for _ in range(2):
        assert [m.stamp.sequence for m in read(drive, topic)] == [0, 1, 3, 4]
    assert drive.unreadable[f"{topic} {reason}"] == 1


def test_points_that_are_no_numbers_are_dropped_and_counted(sequence: Path) -> None:
    write_sweep(sequence / "lidar/02.npz", np.array([[np.nan, 20.0, 1.0], [1, 30, 0.5], [0, 20, 1], [5, np.inf, 0]]))
    drive = PandaSetDrive(sequence)
    assert [len(m.payload.points) for m in read(drive, "lidar/pandar64")] == [2, 2, 1, 2, 2]
    assert drive.unreadable == {"lidar/pandar64 points not finite": 1}


@pytest.mark.parametrize(
    ("bad_stamp", "reason"),
    [(START_S - 5, "stamp out of order"), (START_S + 3600, "stamp out of order"), (START_S * 10, "stamp absurd")],
)
def test_one_bad_stamp_costs_its_own_frame_only(sequence: Path, bad_stamp: float, reason: str) -> None:
    path = sequence / "camera/front_camera/timestamps.json"
    stamps = json.loads(path.read_text())
    path.write_text(json.dumps([*stamps[:2], bad_stamp, *stamps[3:]]))
    drive = PandaSetDrive(sequence)
    assert [m.stamp.sequence for m in read(drive, "camera/front")] == [0, 1, 3, 4]
    assert drive.unreadable == {f"camera/front {reason}": 1}


def _year_2463(path: Path) -> None:
    path.write_text(json.dumps([s * 1e1 for s in json.loads(path.read_text())]))


@pytest.mark.parametrize(
    ("path", "spoil", "field"),
    [
        ("lidar/timestamps.json", _year_2463, "timestamps"),
        ("lidar/timestamps.json", lambda p: p.write_text('["yesterday"]'), "$[0]"),
        ("lidar/poses.json", lambda p: p.write_text("[]"), "length"),
        ("lidar/poses.json", Path.unlink, "file"),
        ("lidar/poses.json", lambda p: p.write_text(p.read_text().replace('"w": 1', '"w": 3')), "heading, position"),
        ("camera/front_camera/intrinsics.json", lambda p: p.write_text('{"fx": 60.0}'), "$"),
        ("camera/front_camera/intrinsics.json", lambda p: p.write_text("{"), "file"),
        (
            "camera/front_camera/intrinsics.json",
            lambda p: p.write_text('{"fx": 0, "fy": 60, "cx": 32, "cy": 24}'),
            "fx, fy, cx, cy",
        ),
    ],
)
def test_a_broken_structure_is_refused_at_open(sequence: Path, path: str, spoil, field: str) -> None:
    spoil(sequence / path)
    with pytest.raises(BadInput) as error:
        PandaSetDrive(sequence)
    assert error.value.source.endswith(path)
    assert error.value.field == field


def test_damaged_files_are_refused_or_skipped(sequence: Path, survive_damage) -> None:
    survive_damage(sequence, lambda: PandaSetDrive(sequence))


def test_every_mapped_class_exists() -> None:
    assert set(CLASS_OF_LABEL.values()) <= set(CLASSES)


@pytest.fixture(scope="module")
def recorded(drives_folder: Path) -> PandaSetDrive:
    return PandaSetDrive(drives_folder / "pandaset_002")


@pytest.mark.drives
def test_recorded_counts(recorded: PandaSetDrive) -> None:
    # the PandarGT's first sweep stands in frames 0 and 1 alike, and one is missing after frame 12
    assert recorded.counts["lidar/pandar64"] == 30
    assert recorded.counts["lidar/pandargt"] == 29
    assert recorded.unreadable == {"lidar/pandargt stamp out of order": 1}


@pytest.mark.drives
def test_recorded_pandar64_centre_gives_the_maker_s_64_elevations(recorded: PandaSetDrive) -> None:
    sweep = next(recorded.messages(["lidar/pandar64"])).payload.xyz.astype(np.float64)
    distance = np.linalg.norm(sweep, axis=1)
    elevation = np.degrees(np.arcsin(sweep[:, 2] / distance))[(distance > 4) & (distance < 60)]
    lines = np.array([-13, -12, -11, -9, -8, -7, 3, 5, 8, 11.0])
    near = np.abs(elevation[:, None] - lines).min(axis=1)
    assert np.median(near[near < 0.3]) < 0.06


@pytest.mark.drives
def test_recorded_camera_poses_lie_on_the_lidars_trajectory(recorded: PandaSetDrive) -> None:
    for camera in recorded.rig.cameras:
        scatter = np.sqrt(np.diag(camera.extrinsic.covariance_matrix))
        assert scatter[:3].max() < 0.003  # m
        assert np.degrees(scatter[3:].max()) < 0.015


@pytest.mark.drives
def test_recorded_road_is_at_height_zero(recorded: PandaSetDrive) -> None:
    lidar = recorded.rig["pandargt"].ego_SE3_sensor
    sweep = next(m for m in recorded.messages(["lidar/pandargt"]) if m.stamp.sequence == 15)  # the car ahead is gone
    xyz = lidar @ sweep.payload.xyz
    ahead = xyz[(xyz[:, 0] < 12) & (np.abs(xyz[:, 1]) < 1)]
    assert abs(np.median(ahead[:, 2])) < 0.15


@pytest.mark.drives
def test_recorded_moving_cars_head_where_they_go(recorded: PandaSetDrive) -> None:
    truth = next(m for m in recorded.messages(["truth/objects"]) if m.stamp.sequence == 15).payload
    moving = (np.hypot(*truth.velocity.T) > 3) & (truth.class_id == CLASSES.index("car"))
    course = np.arctan2(truth.velocity[moving, 1], truth.velocity[moving, 0])
    error = np.abs(np.angle(np.exp(1j * (truth.yaw[moving] - course))))
    assert moving.sum() >= 5
    assert error.max() < np.radians(10)


@pytest.mark.drives
def test_recorded_poses_cover_every_sweep(recorded: PandaSetDrive) -> None:
    poses = list(recorded.messages(["pose/ego"]))
    trajectory = Trajectory([m.stamp.time_ns for m in poses], SE3.stack([m.payload.odom_SE3_ego for m in poses]))
    for topic in ("lidar/pandar64", "lidar/pandargt", "camera/front"):
        assert trajectory.covers([m.stamp.time_ns for m in recorded.messages([topic])])
