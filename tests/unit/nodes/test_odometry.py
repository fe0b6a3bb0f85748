"""The ego pose from a street of posts that a radar and a LiDAR see while the vehicle drives through."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from calibration.rig import Extrinsic, LidarSensor, RadarSensor, Rig
from calibration.se3 import SE3
from nodes.odometry import Odometry, OdometrySettings
from pipeline.core.messages import POINT, RADAR_POINT, EgoPose, Message, PointCloud, RadarScan, Stamp, StreamStatus

START = 1_600_000_000_000_000_000
S = 1_000_000_000
SPEED, TURN, AMBIGUITY = 9.0, 0.2, 10.4
RADAR = RadarSensor(
    name="front", extrinsic=Extrinsic.from_se3(SE3.from_yaw(0.0, (3.6, 0.0, 0.5))), ambiguity_mps=AMBIGUITY
)
LIDAR = LidarSensor(name="roof", extrinsic=Extrinsic.from_se3(SE3.from_yaw(0.3, (1.0, 0.0, 1.8))))
RIG = Rig(vehicle="test", sensors=(RADAR, LIDAR))
POSTS = np.random.default_rng(0).uniform(-60, 60, (300, 2))


def ego(time_ns: int) -> SE3:
    return SE3.exp(np.array([SPEED, 0.0, 0.0, 0.0, 0.0, TURN]) * (time_ns - START) * 1e-9)


def stamp(time_ns: int, late_ns: int, sequence: int) -> Stamp:
    return Stamp(sensor_ns=time_ns, arrival_ns=time_ns + late_ns, time_ns=time_ns, sequence=sequence)


def scan(time_ns: int, sequence: int) -> Message:
    here = (ego(time_ns) @ RADAR.ego_SE3_sensor).inverse() @ np.column_stack([POSTS, np.full(len(POSTS), 0.5)])
    here = here[(here[:, 0] > 2.0) & (np.abs(here[:, 1]) < 1.5 * here[:, 0])]
    x, y, _ = RADAR.ego_SE3_sensor.translation
    velocity = np.array([SPEED - TURN * y, TURN * x, 0.0])
    rate = -(here @ velocity) / np.linalg.norm(here, axis=1)
    points = np.zeros(len(here), RADAR_POINT)
    points["x"], points["y"], points["z"] = here.T
    points["range_rate"] = rate - AMBIGUITY * np.round(rate / AMBIGUITY)
    return Message(
        "radar/front", stamp(time_ns, 9_000_000, sequence), RadarScan(points=points, ambiguity_mps=AMBIGUITY)
    )


def sweep(end_ns: int, sequence: int) -> Message:
    """Posts 2 m high, each met at its own instant within the last 0.1 s."""
    base = np.repeat(POSTS, 40, axis=0) + np.random.default_rng(1).normal(0, 0.03, (40 * len(POSTS), 2))
    world = np.column_stack([base, np.tile(np.linspace(0.1, 2.0, 40), len(POSTS))])
    t_ns = np.linspace(-100_000_000, 0, len(world)).astype(np.int32)
    points = np.zeros(len(world), POINT)
    for first in range(0, len(world), 400):  # all of ten posts at once
        rows = slice(first, first + 400)
        moment = (ego(end_ns + int(t_ns[first])) @ LIDAR.ego_SE3_sensor).inverse()
        points["x"][rows], points["y"][rows], points["z"][rows] = (moment @ world[rows]).T
        points["t_ns"][rows] = t_ns[first]
    return Message("lidar/roof", stamp(end_ns, 4_000_000, sequence), PointCloud(points=points))


def given(sensors: str, seconds: float = 1.0, start_ns: int = START, first: int = 0) -> list[Message]:
    messages = []
    for k in range(round(seconds * 10)):
        end_ns = start_ns + k * S // 10
        if "r" in sensors:
            messages.append(scan(end_ns - 30_000_000, first + k))
        if "l" in sensors:
            messages.append(sweep(end_ns, first + k))
    return messages


def driven(messages: Iterable[Message], node: Odometry | None = None) -> list[Message]:
    node = node or Odometry(OdometrySettings(), RIG)
    out = [o for message in messages for o in node.step(message, 0)]
    return out + list(node.finish())


def poses(out: list[Message]) -> list[Message]:
    return [m for m in out if m.topic == "pose/ego"]


@pytest.mark.parametrize(("sensors", "slip_m"), [("r", 0.3), ("rl", 0.2)])
def test_the_vehicles_way_is_found(sensors: str, slip_m: float) -> None:
    found = poses(driven(given(sensors)))
    times = [m.stamp.time_ns for m in found]
    assert times == sorted(set(times))
    early, late = found[1], found[-1]
    assert isinstance(early.payload, EgoPose)
    assert isinstance(late.payload, EgoPose)
    moved = early.payload.odom_SE3_ego.inverse() @ late.payload.odom_SE3_ego
    truly = ego(early.stamp.time_ns).inverse() @ ego(late.stamp.time_ns)
    assert np.linalg.norm((truly.inverse() @ moved).translation) < slip_m  # of 8 m
    assert late.payload.linear_velocity[0] == pytest.approx(SPEED, abs=0.1)
    assert late.payload.angular_velocity[2] == pytest.approx(TURN, abs=0.03)
    assert late.payload.velocity_sigma[0] < 0.3


def test_the_order_of_work_changes_nothing() -> None:
    messages = given("rl", 0.5)
    lidar_first = sorted(messages, key=lambda m: m.topic)
    one, other = ([(m.topic, m.stamp, m.payload.position) for m in poses(driven(x))] for x in (messages, lidar_first))  # type: ignore[attr-defined]
    assert one == other


def test_after_a_long_gap_odom_begins_anew_in_a_new_epoch() -> None:
    node = Odometry(OdometrySettings(), RIG)
    out = driven([*given("r", 0.3), *given("r", 0.3, START + 5 * S, first=3)], node)
    epochs = {m.stamp.epoch: m.payload for m in poses(out)}
    assert sorted(epochs) == [0, 1]
    ends = [m.payload for m in out if isinstance(m.payload, StreamStatus) and m.payload.ended]
    assert [end.next_epoch for end in ends] == [1, -1]
    for epoch, end in enumerate(ends):
        assert end.sent == sum(m.stamp.epoch == epoch for m in poses(out))


def test_a_sweep_that_was_not_waited_for_gives_no_pose_that_seems_to_have_been_there_before() -> None:
    """A replay hears poses in order of arrival, so that must be the order in which they were said."""
    node = Odometry(OdometrySettings(), RIG)
    late = [scan(START - 2_000_000, 0), sweep(START, 0)]  # the scan arrives 3 ms after the sweep
    out = [o for message in late for o in node.step(message, START + S)]
    out += [o for message in given("rl", 0.3, START + S // 10, first=1) for o in node.step(message, 0)]
    found = poses(out)
    assert [m.stamp.sequence for m in found] == list(range(len(found)))
    arrivals = [m.stamp.arrival_ns for m in found]
    assert arrivals == sorted(arrivals)
    assert all(m.stamp.arrival_ns >= m.stamp.time_ns for m in found)
