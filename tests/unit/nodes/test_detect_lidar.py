from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from calibration.rig import Extrinsic, LidarSensor
from fusion.detect.pillar_net import PillarNet
from fusion.detect.pillars import PillarSettings
from fusion.training.lidar_export import export_onnx
from nodes.detect_lidar import DetectLidar, DetectLidarSettings
from nodes.sources.pandaset import PandaSetDrive
from pipeline.core.messages import (
    CLASSES,
    POINT,
    Detections,
    EgoPose,
    Message,
    PointCloud,
    Stamp,
    StreamStatus,
    WheelSpeed,
)

SENSOR = LidarSensor(name="top", extrinsic=Extrinsic(translation=(1.0, 0.0, 2.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0)))
SWEEP_NS = 100_000_000
SPEED = 20.0  # m/s


def stamp(time_ns: int, sequence: int = 0) -> Stamp:
    return Stamp(sensor_ns=time_ns + 5, arrival_ns=time_ns + 9, time_ns=time_ns, sigma_ns=3, sequence=sequence, epoch=1)


def pose(time_ns: int) -> Message:
    at = (SPEED * time_ns * 1e-9, 0.0, 0.0)
    return Message("pose/ego", stamp(time_ns), EgoPose(position=at, rotation_wxyz=(1.0, 0.0, 0.0, 0.0)))


def sweep(end_ns: int, sequence: int = 0, compensated: bool = False) -> Message:
    """A car-sized corner 15 m ahead and flat ground, seen over 100 ms from a car that drives at it."""
    rng = np.random.default_rng(0)
    along = np.stack([rng.uniform(13.0, 17.5, 500), np.full(500, -0.9), rng.uniform(0.1, 1.5, 500)], axis=1)
    back = np.stack([np.full(300, 13.0), rng.uniform(-0.9, 0.9, 300), rng.uniform(0.1, 1.5, 300)], axis=1)
    road = np.stack([rng.uniform(-30, 30, 6000), rng.uniform(-30, 30, 6000), rng.normal(0, 0.01, 6000)], axis=1)
    ego = np.concatenate([along, back, road])  # static world in the ego frame at the end of the sweep
    t_ns = rng.integers(-SWEEP_NS, 0, len(ego))
    then = ego if compensated else ego - np.outer(SPEED * t_ns * 1e-9, [1.0, 0.0, 0.0])
    xyz = SENSOR.ego_SE3_sensor.inverse() @ then
    points = np.zeros(len(xyz), POINT)
    points["x"], points["y"], points["z"] = xyz.T
    points["t_ns"] = t_ns
    return Message("lidar/top", stamp(end_ns, sequence), PointCloud(points=points, motion_compensated=compensated))


def node(has_poses: bool = True) -> DetectLidar:
    return DetectLidar(DetectLidarSettings(), SENSOR, has_poses)


def car_length(message: Message) -> float:
    """Along-track spread of the car in front; smeared by 2 m when it was not deskewed."""
    found = message.payload
    assert isinstance(found, Detections)
    k = int(np.hypot(found.position[:, 0] - 15.2, found.position[:, 1]).argmin())
    return float(found.size[k, 0])


def test_a_sweep_waits_for_the_pose_at_its_end_and_is_deskewed() -> None:
    detect = node()
    end = 1_000_000_000
    for time_ns in range(end - 150_000_000, end, 50_000_000):
        assert list(detect.step(pose(time_ns), 0)) == []
    assert list(detect.step(sweep(end), 0)) == []
    (out,) = detect.step(pose(end + 10_000_000), 0)
    assert out.topic == "detections/top"
    assert out.stamp == sweep(end).stamp
    found = out.payload
    k = int(np.hypot(found.position[:, 0] - 15.2, found.position[:, 1]).argmin())
    assert found.position[k, :2] == pytest.approx([15.25, 0.0], abs=0.3)
    assert CLASSES[found.class_score[k].argmax()] == "car"
    assert car_length(out) < 5.0
    assert detect.not_deskewed == 0
    assert found.origin == pytest.approx((1.0, 0.0, 2.0))


def test_compensated_sweeps_are_taken_as_they_are() -> None:
    (out,) = node(has_poses=False).step(sweep(10**9, compensated=True), 0)
    assert car_length(out) < 5.0


def test_without_poses_it_goes_on_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    detect = node()
    with caplog.at_level(logging.WARNING):
        assert list(detect.step(sweep(10**9), 0)) == []
        (out,) = detect.step(Message("stream/ego", stamp(0), StreamStatus(sent=0, watermark_ns=0, ended=True)), 0)
    assert car_length(out) > 5.5
    assert detect.not_deskewed == 1
    assert [r.message.count("no poses") for r in caplog.records] == [1]


def test_where_nobody_gives_poses_nothing_waits_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (out,) = node(has_poses=False).step(sweep(10**9), 0)
    assert car_length(out) > 5.5
    assert not caplog.records


def test_finish_gives_out_what_is_held_in_order() -> None:
    detect = node()
    for k in range(3):
        assert list(detect.step(sweep(10**9 + k * SWEEP_NS, k), 0)) == []
    assert list(detect.tick(0)) == []
    assert [m.stamp.sequence for m in detect.finish()] == [0, 1, 2]
    assert list(detect.finish()) == []


def test_empty_and_all_nan_sweeps_give_no_detections() -> None:
    empty = Message("lidar/top", stamp(1), PointCloud(points=np.zeros(0, POINT)))
    points = np.zeros(50, POINT)
    points["x"] = np.nan
    nan = Message("lidar/top", stamp(2, 1), PointCloud(points=points, motion_compensated=True))
    detect = node(has_poses=False)
    assert [len(m.payload) for given in (empty, nan) for m in detect.step(given, 0)] == [0, 0]


def test_a_message_of_another_kind_is_a_failed_step() -> None:
    with pytest.raises(TypeError, match="wheel/rear"):
        node().step(Message("wheel/rear", stamp(1), WheelSpeed(speed=1.0)), 0)


@pytest.mark.drives
def test_finds_most_cars_of_a_real_sweep(drives_folder: Path) -> None:
    drive = PandaSetDrive(drives_folder / "pandaset_002")
    cloud = next(drive.messages(["lidar/pandar64"]))
    truth = next(
        m for m in drive.messages(["truth/objects"]) if abs(m.stamp.time_ns - cloud.stamp.time_ns) < SWEEP_NS / 2
    )
    odom_SE3_ego = next(
        m for m in drive.messages(["pose/ego"]) if m.stamp.time_ns >= cloud.stamp.time_ns
    ).payload.odom_SE3_ego
    sensor = drive.rig["pandar64"]
    assert isinstance(sensor, LidarSensor)
    (out,) = DetectLidar(DetectLidarSettings(), sensor, has_poses=False).step(cloud, 0)
    cars = (odom_SE3_ego.inverse() @ truth.payload.position)[truth.payload.class_id == CLASSES.index("car"), :2]
    cars = cars[np.hypot(cars[:, 0], cars[:, 1]) < 40.0]
    sure = out.payload.position[out.payload.score > 0.3, :2]
    off = np.linalg.norm(cars[:, None] - sure[None], axis=2).min(axis=1)
    assert np.mean(off < 1.0) > 0.75


def test_the_pillar_detector_takes_a_sweep_and_an_earlier_one(tmp_path: Path) -> None:
    net = PillarNet(8)
    with torch.no_grad():
        net.answer.bias.zero_()  # says something everywhere
    export_onnx(net, tmp_path / "net.onnx")
    settings = DetectLidarSettings(detector=PillarSettings(weights=str(tmp_path / "net.onnx"), earlier_s=0.2))
    detect = DetectLidar(settings, SENSOR)
    out = []
    for k in range(4):
        end = 1_000_000_000 + k * SWEEP_NS
        for time_ns in range(end - 150_000_000, end + 20_000_000, 50_000_000):
            out += list(detect.step(pose(time_ns), 0))
        out += list(detect.step(sweep(end, k), 0))
    out += list(detect.finish())
    assert [message.stamp.sequence for message in out] == [0, 1, 2, 3]
    found = [message.payload for message in out]
    assert all(len(seen) > 0 for seen in found)
    assert np.isnan(found[0].velocity).all()
    assert np.isfinite(found[2].velocity).all()
    alone = list(DetectLidar(settings, SENSOR, has_poses=False).step(sweep(1_000_000_000), 0))
    assert np.isnan(alone[0].payload.velocity).all()
