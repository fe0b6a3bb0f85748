from __future__ import annotations

import numpy as np
import pytest

from calibration.rig import Extrinsic, RadarSensor
from calibration.se3 import SE3
from nodes.detect_radar import DetectRadar, DetectRadarSettings
from pipeline.core.messages import RADAR_POINT, EgoPose, Message, RadarScan, Stamp, WheelSpeed

MOUNT = SE3.from_yaw(0.5, (3.5, 0.8, 0.5))
SENSOR = RadarSensor(name="left", extrinsic=Extrinsic.from_se3(MOUNT))


def stamp(time_ns: int) -> Stamp:
    return Stamp(sensor_ns=0, arrival_ns=time_ns, time_ns=time_ns, sequence=7, epoch=2)


def scan(time_ns: int, own_velocity: np.ndarray) -> Message:
    """Five returns of one thing that stands still 20 m in front of the radar: too few to tell the own velocity."""
    points = np.zeros(5, RADAR_POINT)
    points["x"], points["y"] = 20.0, np.linspace(-0.5, 0.5, 5)
    sight = np.stack([points["x"], points["y"]], axis=1) / np.hypot(points["x"], points["y"])[:, None]
    points["range_rate"] = -sight @ own_velocity
    points["snr"] = 60.0
    return Message("radar/left", stamp(time_ns), RadarScan(points=points))


def pose(time_ns: int, speed: float, yaw_rate: float) -> Message:
    """On a circle through the origin at t = 1 s."""
    angle = yaw_rate * (time_ns * 1e-9 - 1.0)
    at = speed / yaw_rate * np.array([np.sin(angle), 1.0 - np.cos(angle)])
    turn = (float(np.cos(angle / 2)), 0.0, 0.0, float(np.sin(angle / 2)))
    return Message("pose/ego", stamp(time_ns), EgoPose(position=(*at.tolist(), 0.0), rotation_wxyz=turn))


def at_radar(speed: float, yaw_rate: float) -> np.ndarray:
    """Velocity of the radar over ground in its own axes: it sits off the axle and looks aside."""
    x, y, _ = MOUNT.translation
    return MOUNT.inverse().rotate([speed - yaw_rate * y, yaw_rate * x, 0.0])[:2]


def test_the_poses_velocity_at_the_radars_place_serves_where_returns_are_few() -> None:
    node = DetectRadar(DetectRadarSettings(), SENSOR)
    given = scan(10**9, at_radar(12.0, 0.4))
    out = []
    for message in (*(pose(t, 12.0, 0.4) for t in range(900_000_000, 10**9, 20_000_000)), given):
        out += list(node.step(message, 0))
    assert out == []
    for t in range(10**9, 1_100_000_000, 20_000_000):
        out += list(node.step(pose(t, 12.0, 0.4), 0))
    (only,) = out
    assert only.topic == "detections/left"
    assert only.stamp == given.stamp
    assert only.payload.radial_speed == pytest.approx([0.0], abs=0.02)
    assert only.payload.position[0, :2] == pytest.approx((MOUNT @ np.array([21.3, 0.0, 0.0]))[:2], abs=0.2)


def test_without_poses_few_returns_say_nothing_of_speed() -> None:
    (out,) = DetectRadar(DetectRadarSettings(), SENSOR, has_poses=False).step(scan(10**9, at_radar(12.0, 0.0)), 0)
    assert np.isnan(out.payload.radial_speed).all()
    assert len(out.payload) == 1


def test_what_still_waits_comes_at_the_end() -> None:
    node = DetectRadar(DetectRadarSettings(), SENSOR)
    assert list(node.step(scan(10**9, at_radar(12.0, 0.0)), 0)) == []
    assert len(list(node.finish())) == 1


def test_empty_scans_and_other_messages() -> None:
    node = DetectRadar(DetectRadarSettings(), SENSOR, has_poses=False)
    (out,) = node.step(Message("radar/left", stamp(1), RadarScan(points=np.zeros(0, RADAR_POINT))), 0)
    assert len(out.payload) == 0
    with pytest.raises(TypeError, match="wheel/rear"):
        node.step(Message("wheel/rear", stamp(1), WheelSpeed(speed=1.0)), 0)
    assert list(node.tick(0)) == list(node.finish()) == []
