"""The ROS 2 reader, on bags that rosbags' own writer made."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from calibration.camera import KannalaBrandt, Pinhole
from nodes.sources import ros2_messages as decode
from nodes.sources.open_drive import open_drive
from nodes.sources.ros2_bag import Ros2BagDrive
from nodes.sources.ros2_mapping import TopicMapping, sensor_name
from pipeline.core.errors import BadInput

STORE = get_typestore(Stores.ROS2_HUMBLE)
START_NS = 1_700_000_000_000_000_000
FRAMES = 4
LATENCY_NS = 7_000_000


def ros(kind: str, /, **fields: Any) -> Any:
    package, _, short = kind.partition("/")
    return STORE.types[f"{package}/msg/{short}"](**fields)


def header(time_ns: int, frame: str) -> Any:
    stamp = ros("builtin_interfaces/Time", sec=time_ns // 10**9, nanosec=time_ns % 10**9)
    return ros("std_msgs/Header", stamp=stamp, frame_id=frame)


def vector(x: float, y: float, z: float) -> Any:
    return ros("geometry_msgs/Vector3", x=float(x), y=float(y), z=float(z))


def quaternion(w: float, x: float, y: float, z: float) -> Any:
    return ros("geometry_msgs/Quaternion", x=float(x), y=float(y), z=float(z), w=float(w))


def image(time_ns: int) -> Any:
    data = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].ravel()
    return ros("sensor_msgs/CompressedImage", header=header(time_ns, "camera"), format="jpeg", data=data)


def camera_info(time_ns: int, **changes: Any) -> Any:
    fields = {
        "header": header(time_ns, "camera"),
        "height": 48,
        "width": 64,
        "distortion_model": "plumb_bob",
        "d": np.array([0.1, -0.05, 0.001, 0.002, 0.0]),
        "k": np.array([60.0, 0, 32, 0, 61, 24, 0, 0, 1]),
        "r": np.eye(3).ravel(),
        "p": np.array([50.0, 0, 32, 0, 0, 50, 24, 0, 0, 0, 1, 0]),
        "binning_x": 0,
        "binning_y": 0,
        "roi": ros("sensor_msgs/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    } | changes
    return ros("sensor_msgs/CameraInfo", **fields)


def cloud(time_ns: int, frame: str, points: np.ndarray, **changes: Any) -> Any:
    codes = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
    assert points.dtype.fields is not None
    described = [
        ros("sensor_msgs/PointField", name=name, offset=offset, datatype=codes[dtype.str[1:]], count=1)
        for name, (dtype, offset) in points.dtype.fields.items()
    ]
    step = points.dtype.itemsize
    fields = {
        "header": header(time_ns, frame),
        "height": 1,
        "width": len(points),
        "fields": described,
        "is_bigendian": False,
        "point_step": step,
        "row_step": step * len(points),
        "data": np.frombuffer(points.tobytes(), np.uint8),
        "is_dense": True,
    } | changes
    return ros("sensor_msgs/PointCloud2", **fields)


LIDAR = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", "f4"), ("ring", "u2"), ("time", "f4")])
RADAR = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("doppler", "f4"), ("rcs", "f4")])
LIDAR_POINTS = np.array([(10, 0, 0, 51, 3, -0.09), (11, 0, 0, 255, 4, -0.01)], LIDAR)
RADAR_POINTS = np.array([(20, 0, 0, 2.5, 12)], RADAR)


def imu(time_ns: int) -> Any:
    return ros(
        "sensor_msgs/Imu",
        header=header(time_ns, "imu"),
        orientation=quaternion(1, 0, 0, 0),
        orientation_covariance=np.zeros(9),
        angular_velocity=vector(0, 0, 0.1),
        angular_velocity_covariance=np.zeros(9),
        linear_acceleration=vector(0, 0, 9.8),
        linear_acceleration_covariance=np.zeros(9),
    )


def fix(time_ns: int, status: int = 0) -> Any:
    return ros(
        "sensor_msgs/NavSatFix",
        header=header(time_ns, "gnss"),
        status=ros("sensor_msgs/NavSatStatus", status=status, service=1),
        latitude=49.0,
        longitude=8.0,
        altitude=116.0,
        position_covariance=np.diag([0.04, 0.04, 0.1]).ravel(),
        position_covariance_type=2,
    )


def odometry(time_ns: int) -> Any:
    """The imu frame, 1 m above base_link, drives along x at 5 m/s."""
    x = 5.0 * (time_ns - START_NS) * 1e-9
    point = ros("geometry_msgs/Point", x=x, y=0.0, z=1.0)
    pose = ros("geometry_msgs/Pose", position=point, orientation=quaternion(1, 0, 0, 0))
    twist = ros("geometry_msgs/Twist", linear=vector(5, 0, 0), angular=vector(0, 0, 0))
    return ros(
        "nav_msgs/Odometry",
        header=header(time_ns, "odom"),
        child_frame_id="imu",
        pose=ros("geometry_msgs/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
        twist=ros("geometry_msgs/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
    )


def static_transforms(missing: str = "") -> Any:
    mounting = {
        "roof": ("base_link", vector(0, 0, 1.5), quaternion(1, 0, 0, 0)),
        "lidar": ("roof", vector(1, 0, 0.3), quaternion(1, 0, 0, 0)),
        "camera": ("roof", vector(1, 0, 0), quaternion(0.5, -0.5, 0.5, -0.5)),
        "radar": ("base_link", vector(3.5, 0, 0.5), quaternion(1, 0, 0, 0)),
        "imu": ("base_link", vector(0, 0, 1), quaternion(1, 0, 0, 0)),
        "gnss": ("roof", vector(0, 0, 0), quaternion(1, 0, 0, 0)),
    }
    return ros(
        "tf2_msgs/TFMessage",
        transforms=[
            ros(
                "geometry_msgs/TransformStamped",
                header=header(START_NS, parent),
                child_frame_id=child,
                transform=ros("geometry_msgs/Transform", translation=translation, rotation=rotation),
            )
            for child, (parent, translation, rotation) in mounting.items()
            if child != missing
        ],
    )


def messages() -> list[tuple[int, str, Any]]:
    """(log time, topic, message) of a drive with one of everything, 10 Hz."""
    made: list[tuple[int, str, Any]] = [(START_NS, "/tf_static", static_transforms())]
    for i in range(FRAMES):
        t = START_NS + i * 100_000_000
        made += [
            (t + LATENCY_NS, topic, message)
            for topic, message in (
                ("/camera/front/image_raw/compressed", image(t)),
                ("/camera/front/camera_info", camera_info(t)),
                ("/lidar/points", cloud(t, "lidar", LIDAR_POINTS)),
                ("/radar/points", cloud(t, "radar", RADAR_POINTS)),
                ("/imu/data", imu(t)),
                ("/gnss/fix", fix(t)),
                ("/odom", odometry(t)),
            )
        ]
    return made


def write_bag(path: Path, content: list[tuple[int, str, Any]], plugin: StoragePlugin = StoragePlugin.MCAP) -> Path:
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        connections: dict[str, Any] = {}
        for log_ns, topic, message in content:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], log_ns, bytes(STORE.serialize_cdr(message, kind)))
    return path


def changed(topic: str, number: int, message: Any) -> list[tuple[int, str, Any]]:
    """`messages` with the n-th message of a topic replaced."""
    content = messages()
    at = [i for i, (_, name, _) in enumerate(content) if name == topic][number]
    content[at] = (content[at][0], topic, message)
    return content


def read(drive: Ros2BagDrive, topic: str) -> list[Any]:
    return list(drive.messages([topic]))


@pytest.mark.parametrize("plugin", [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_what_a_bag_gives(tmp_path: Path, plugin: StoragePlugin) -> None:
    bag = write_bag(tmp_path / "bag", messages(), plugin)
    single_file = next(path for path in bag.iterdir() if path.suffix in (".db3", ".mcap"))
    for path in (bag, single_file):
        drive = open_drive(path)
        assert drive.counts == dict.fromkeys(
            ["camera/camera_front", "gnss/gnss", "imu/imu", "lidar/lidar", "pose/ego", "radar/radar"], FRAMES
        )
        everything = list(drive.messages())
        assert len(everything) == 6 * FRAMES
        assert [m.stamp.arrival_ns for m in everything] == sorted(m.stamp.arrival_ns for m in everything)
        assert list(drive.messages(start_ns=drive.start_ns, end_ns=drive.end_ns))[-1].stamp == everything[-1].stamp
        assert drive.unreadable == {}


def test_arrivals_are_those_of_the_recorder(tmp_path: Path) -> None:
    drive = Ros2BagDrive(write_bag(tmp_path / "bag", messages()))
    message = read(drive, "imu/imu")[1]
    assert message.stamp.arrival_ns - message.stamp.time_ns == LATENCY_NS
    assert drive.arrivals("imu/imu")[1] == message.stamp.arrival_ns
    assert drive.rig["imu"].clock.has_arrival


def test_mounting_follows_the_chain_of_static_transforms(tmp_path: Path) -> None:
    rig = Ros2BagDrive(write_bag(tmp_path / "bag", messages())).rig
    np.testing.assert_allclose(rig["lidar"].ego_SE3_sensor.translation, [1, 0, 1.8])
    np.testing.assert_allclose(rig["camera_front"].ego_SE3_sensor.rotation @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    assert rig["camera_front"].intrinsics == Pinhole(fx=60, fy=61, cx=32, cy=24, k1=0.1, k2=-0.05, p1=0.001, p2=0.002)
    assert rig["lidar"].rate_hz == pytest.approx(10.0)


def test_a_cloud_is_stamped_at_its_last_point(tmp_path: Path) -> None:
    sweep = read(Ros2BagDrive(write_bag(tmp_path / "bag", messages())), "lidar/lidar")[0]
    assert sweep.stamp.time_ns - sweep.stamp.sensor_ns == pytest.approx(-10_000_000, abs=10)
    np.testing.assert_allclose(sweep.payload.points["t_ns"], [-80_000_000, 0], atol=10)
    np.testing.assert_allclose(sweep.payload.points["intensity"], [0.2, 1.0])
    assert sweep.payload.points["ring"].tolist() == [3, 4]


def test_odometry_of_another_frame_becomes_the_ego_pose(tmp_path: Path) -> None:
    poses = [m.payload for m in read(Ros2BagDrive(write_bag(tmp_path / "bag", messages())), "pose/ego")]
    np.testing.assert_allclose([p.position for p in poses], [[0.5 * i, 0, 0] for i in range(FRAMES)], atol=1e-6)
    np.testing.assert_allclose(poses[0].linear_velocity, [5, 0, 0])


def test_the_mapping_corrects_guesses(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", messages())
    (bag / "syncline.yaml").write_text(
        """
vehicle: shuttle
topics:
  /radar/points: {kind: radar, sensor: bumper, range_rate_field: doppler, closing_positive: true, ambiguity_mps: 10.4}
  /gnss/fix: {kind: ignore}
extrinsics:
  radar: {translation: [3.9, 0, 0.4], rotation_wxyz: [1, 0, 0, 0]}
"""
    )
    drive = Ros2BagDrive(bag)
    scan = read(drive, "radar/bumper")[0].payload
    np.testing.assert_allclose(scan.points["range_rate"], -2.5)
    assert np.isnan(scan.points["rcs"]).all()
    assert scan.ambiguity_mps == 10.4
    assert drive.rig.vehicle == "shuttle"
    assert drive.rig["bumper"].ego_SE3_sensor.translation.tolist() == [3.9, 0, 0.4]
    assert "gnss/gnss" not in drive.topics


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        ("topics: {/roof/points: {kind: lidar}}", "topics: /roof/points"),
        ("topics: {/imu/data: {kind: lidar}}", "topics: /imu/data: kind"),
        ("topics: {/imu/data: {kind: imu, sensor: lidar}}", "topics: /imu/data"),
        ("topics: {/imu/data: {kind: sonar}}", "$.topics[...].kind"),
        ("ego_frame: chassis", "/tf_static"),
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path: Path, mapping: str, field: str) -> None:
    bag = write_bag(tmp_path / "bag", messages())
    (bag / "syncline.yaml").write_text(mapping)
    with pytest.raises(BadInput) as error:
        Ros2BagDrive(bag)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ([m for m in messages() if m[1] != "/camera/front/camera_info"], "/camera/front/image_raw/compressed: info"),
        ([(START_NS, "/tf_static", static_transforms(missing="lidar")), *messages()[1:]], "/tf_static"),
        (changed("/camera/front/camera_info", 0, camera_info(START_NS, k=np.zeros(9))), "k"),
        (changed("/camera/front/camera_info", 0, camera_info(START_NS, distortion_model="magic")), "distortion_model"),
        (changed("/camera/front/camera_info", 0, camera_info(START_NS, d=np.array([0.1]))), "d"),
        ([(START_NS, "/tf_static", static_transforms())], "topics"),
        ([m for m in messages() if m[1] != "/imu/data"] + [(START_NS, "/imu/data", imu(0))], "/imu/data"),
    ],
)
def test_a_bag_without_what_a_rig_needs_is_refused(tmp_path: Path, content: list, field: str) -> None:
    with pytest.raises(BadInput) as error:
        Ros2BagDrive(write_bag(tmp_path / "bag", sorted(content, key=lambda m: m[0])))
    assert error.value.field == field


def nan_points() -> np.ndarray:
    points = LIDAR_POINTS.copy()
    points["x"] = np.nan
    return points


T1 = START_NS + 100_000_000


@pytest.mark.parametrize(
    ("topic", "message", "ours", "reason"),
    [
        ("/lidar/points", cloud(T1, "lidar", LIDAR_POINTS[:0]), "lidar/lidar", "empty sweep"),
        ("/lidar/points", cloud(T1, "lidar", nan_points()), "lidar/lidar", "empty sweep"),
        ("/lidar/points", cloud(T1, "lidar", LIDAR_POINTS, width=9, row_step=9 * 22), "lidar/lidar", "data"),
        ("/lidar/points", cloud(T1, "lidar", LIDAR_POINTS, point_step=12), "lidar/lidar", "field intensity"),
        ("/lidar/points", cloud(T1, "lidar", RADAR_POINTS[["y", "z"]].copy()), "lidar/lidar", "fields"),
        ("/imu/data", imu(START_NS // 6), "imu/imu", "stamp out of order or absurd"),
        ("/imu/data", imu(START_NS - 5), "imu/imu", "stamp out of order or absurd"),
        ("/gnss/fix", fix(T1, status=-1), "gnss/gnss", "status"),
    ],
)
def test_a_bad_message_is_skipped_and_counted(tmp_path: Path, topic: str, message: Any, ours: str, reason: str) -> None:
    drive = Ros2BagDrive(write_bag(tmp_path / "bag", changed(topic, 1, message)))
    for _ in range(2):
        assert [m.stamp.sequence for m in read(drive, ours)] == [0, 2, 3]
    assert drive.unreadable == {f"{ours} {reason}": 1}


@pytest.mark.parametrize("plugin", [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_a_damaged_bag_is_refused(tmp_path: Path, plugin: StoragePlugin) -> None:
    bag = write_bag(tmp_path / "bag", messages(), plugin)
    file = next(path for path in bag.iterdir() if path.suffix in (".db3", ".mcap"))
    file.write_bytes(file.read_bytes()[:6000])
    with pytest.raises(BadInput) as error:
        Ros2BagDrive(bag)
    assert error.value.field == "bag"


def test_damaged_files_are_refused_or_skipped(tmp_path: Path, survive_damage) -> None:
    bag = write_bag(tmp_path / "bag", messages())
    survive_damage(bag, lambda: Ros2BagDrive(bag), trials=30)


def plain(array: np.ndarray) -> Any:
    return cloud(START_NS, "lidar", array)


@pytest.mark.parametrize(
    ("field", "dtype", "values"),
    [
        ("time", "f4", [-0.08, 0.0]),  # velodyne: seconds from the header
        ("t", "u4", [20_000_000, 100_000_000]),  # ouster: ns from the start
        ("timestamp", "f8", [START_NS * 1e-9 + 0.02, START_NS * 1e-9 + 0.1]),  # hesai: UNIX seconds
    ],
)
def test_times_of_points_in_the_makers_forms(field: str, dtype: str, values: list[float]) -> None:
    array = np.zeros(2, np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), (field, dtype)]))
    array[field] = values
    payload, end_ns = decode.sweep(plain(array), TopicMapping(kind="lidar"), START_NS, "test")
    np.testing.assert_allclose(payload.points["t_ns"], [-80_000_000, 0], atol=300)
    assert end_ns - START_NS == pytest.approx(0 if field == "time" else 100_000_000, abs=300)


def test_times_far_from_the_header_are_refused() -> None:
    array = np.zeros(2, np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("time", "f4")]))
    array["time"] = [0, 400]
    with pytest.raises(BadInput, match="within 10 s"):
        decode.sweep(plain(array), TopicMapping(kind="lidar"), START_NS, "test")


def raw_image(encoding: str, step: int, data: np.ndarray) -> Any:
    return SimpleNamespace(encoding=encoding, width=2, height=2, step=step, data=data.astype(np.uint8))


def test_raw_images_become_rows_of_blue_green_red() -> None:
    rgb = decode.image(raw_image("rgb8", 8, np.arange(16)), "test", 2, 2)
    assert rgb.data.tolist() == [2, 1, 0, 5, 4, 3, 10, 9, 8, 13, 12, 11]
    grey = decode.image(raw_image("mono8", 2, np.arange(4)), "test", 2, 2)
    assert grey.data.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    for bad, field in (
        (raw_image("bayer_rggb8", 2, np.arange(4)), "encoding"),
        (raw_image("bgr8", 6, np.arange(9)), "data"),
        (raw_image("bgr8", 2, np.arange(12)), "data"),
    ):
        with pytest.raises(BadInput) as error:
            decode.image(bad, "test", 2, 2)
        assert error.value.field == field


def test_a_fisheye_is_one(tmp_path: Path) -> None:
    info = camera_info(START_NS, distortion_model="equidistant", d=np.array([0.1, 0.2, 0.3, 0.4]))
    drive = Ros2BagDrive(write_bag(tmp_path / "bag", changed("/camera/front/camera_info", 0, info)))
    assert drive.rig["camera_front"].intrinsics == KannalaBrandt(
        fx=60, fy=61, cx=32, cy=24, k1=0.1, k2=0.2, k3=0.3, k4=0.4
    )


def test_names_come_from_topics() -> None:
    assert sensor_name("/camera/front/image_raw/compressed") == "camera_front"
    assert sensor_name("/velodyne_points") == "velodyne"
    assert sensor_name("/points") == "points"
