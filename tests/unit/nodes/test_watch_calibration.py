"""The monitor of how a camera sits against a LiDAR: what it waits for, and on a real drive what it says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibration.camera import Pinhole
from calibration.drift import DriftSettings
from calibration.rig import CameraSensor, Extrinsic, LidarSensor
from calibration.se3 import SE3
from nodes.sources.drive import Drive
from nodes.sources.open_drive import open_drive
from nodes.watch_calibration import WatchCalibration, WatchCalibrationSettings
from pipeline.core.messages import (
    POINT,
    CalibrationState,
    CameraImage,
    EgoPose,
    Message,
    PointCloud,
    Progress,
    Stamp,
)
from pipeline.core.wire import digest

AHEAD = Extrinsic(translation=(1.0, 0.0, 1.5), rotation_wxyz=(0.5, -0.5, 0.5, -0.5))
CAMERA = CameraSensor(
    name="front", extrinsic=AHEAD, width=160, height=120, intrinsics=Pinhole(fx=100.0, fy=100.0, cx=79.5, cy=59.5)
)
LIDAR = LidarSensor(name="top", extrinsic=Extrinsic(translation=(1.0, 0.0, 2.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0)))
MS = 1_000_000


def at(topic: str, time_ns: int, payload: object) -> Message:
    return Message(topic, Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=0), payload)


def picture(time_ns: int) -> Message:
    data = np.random.default_rng(time_ns).integers(0, 255, 160 * 120 * 3).astype(np.uint8)
    return at("camera/front", time_ns, CameraImage(height=120, width=160, encoding="bgr8", data=data))


def sweep(time_ns: int) -> Message:
    points = np.zeros(2000, POINT)
    rng = np.random.default_rng(time_ns)
    for name, low, high in (("x", 3, 30), ("y", -8, 8), ("z", -2, 2), ("intensity", 0, 1)):
        points[name] = rng.uniform(low, high, len(points))
    points["ring"] = rng.integers(0, 16, len(points))
    points["t_ns"] = rng.integers(-100 * MS, 0, len(points))
    return at("lidar/top", time_ns, PointCloud(points=points))


def pose(time_ns: int) -> Message:
    moved = (time_ns * 1e-8, 0.0, 0.0)
    return at("pose/ego", time_ns, EgoPose(position=moved, rotation_wxyz=(1.0, 0.0, 0.0, 0.0)))


def test_what_it_says_does_not_hang_on_the_order_of_the_streams() -> None:
    streams = (
        [picture(t * MS) for t in (450, 550, 660, 750, 850)],
        [sweep(t * MS) for t in range(400, 1300, 100)],
        [pose(t * MS) for t in range(0, 1300, 50)],
    )
    said = []
    for order in permutations(streams):
        node = WatchCalibration(WatchCalibrationSettings(every_ns=150 * MS), CAMERA, LIDAR)
        said.append([digest(out) for stream in order for message in stream for out in node.step(message, 0)])
    assert len(said[0]) == 3  # every second picture
    assert all(other == said[0] for other in said)


def test_a_picture_without_sweep_or_poses_is_let_go_and_nothing_is_claimed_of_few_frames() -> None:
    node = WatchCalibration(WatchCalibrationSettings(every_ns=0), CAMERA, LIDAR)
    for message in (pose(500 * MS), pose(1600 * MS), picture(300 * MS), picture(900 * MS), sweep(2000 * MS)):
        assert list(node.step(message, 0)) == []
    blind = WatchCalibration(WatchCalibrationSettings(every_ns=0), CAMERA, LIDAR, has_poses=False)
    out = [m for message in (picture(450 * MS), sweep(500 * MS)) for m in blind.step(message, 0)]
    assert [m.topic for m in out] == ["calibration/front"]
    state = out[0].payload
    assert isinstance(state, CalibrationState)
    assert not state.alarm
    assert np.isnan(state.yaw)
    assert list(node.tick(0)) == list(node.finish()) == []
    with pytest.raises(TypeError, match="takes no Progress"):
        node.step(at("progress", 0, Progress(reference_ns=0, index=0)), 0)


def looped(drive: Drive, times: int) -> Iterator[Message]:
    topics = ["camera/front", "lidar/pandar64", "pose/ego"]
    messages = list(drive.messages(topics))
    length_ns = drive.end_ns - drive.start_ns + 100 * MS
    for k in range(times):
        for message in messages:
            s = message.stamp
            moved = {name: getattr(s, name) + k * length_ns for name in ("sensor_ns", "arrival_ns", "time_ns")}
            yield Message(message.topic, msgspec.structs.replace(s, **moved), message.payload)


@pytest.mark.slow
@pytest.mark.drives
@pytest.mark.parametrize(("pitch", "yaw"), [(0.0, 0.0), (0.5, 0.0), (-0.5, 0.0), (0.0, 0.5), (0.0, -0.5)])
def test_half_a_degree_is_found_on_pandaset_within_ten_seconds(drives_folder: Path, pitch: float, yaw: float) -> None:
    """The LiDAR turns about the camera's axes after the first run through the drive, three seconds."""
    drive = open_drive(drives_folder / "pandaset_002")
    camera, lidar = drive.rig["front"], drive.rig["pandar64"]
    assert isinstance(camera, CameraSensor)
    assert isinstance(lidar, LidarSensor)
    cam_SE3_lidar = camera.ego_SE3_sensor.inverse() @ lidar.ego_SE3_sensor
    axes = SE3(cam_SE3_lidar.rotation, np.zeros(3))
    lidar_SE3_turned = axes.inverse() @ SE3.exp([0, 0, 0, *np.radians([pitch, yaw, 0.0])]) @ axes
    node = WatchCalibration(WatchCalibrationSettings(drift=DriftSettings()), camera, lidar)
    begins_ns = drive.start_ns + (drive.end_ns - drive.start_ns) + 100 * MS
    first_ns, said = None, 0
    for message in looped(drive, 3):
        if isinstance(message.payload, PointCloud) and message.stamp.time_ns >= begins_ns:
            points = message.payload.points.copy()
            points.view("<f4").reshape(-1, 6)[:, :3] = lidar_SE3_turned @ message.payload.xyz
            message = Message(message.topic, message.stamp, message.payload.updated(points=points))
        for out in node.step(message, 0):
            said += 1
            if out.payload.alarm and first_ns is None:
                first_ns = out.stamp.time_ns - begins_ns
    assert said > 30
    if pitch == yaw == 0.0:
        assert first_ns is None
    else:
        assert first_ns is not None
        assert 0 < first_ns < 10_000 * MS
        print(f"pitch {pitch:+.1f} yaw {yaw:+.1f}: alarm after {first_ns / 1e9:.1f} s")
